//! In: an API's functions and the faults in force. Out: an integration through which the faults strike, each said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError};
use tower::service_fn;

use crate::answers::Answers;
use crate::faults::{Fault, Faults};
use crate::feed::{Entry, Feed};
use crate::lambda::{Fate, Functions, Routes};
use crate::plan;

/// The faults of the whole process.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Faults>>);

impl Shared {
    pub(crate) fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(faults)))
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Faults) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The faults as they strike one API.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    pub(crate) api: Arc<str>,
    pub(crate) faults: Shared,
    pub(crate) feed: Feed,
}

impl Faulty {
    /// Says that a fault strikes.
    pub(crate) fn say(&self, fault: Fault, connection: &str, at: &str) {
        self.feed.put(Entry::Fault {
            api: self.api.to_string(),
            connection: connection.to_owned(),
            fault: fault.name(),
            at: at.to_owned(),
        });
    }

    /// Waits as long as a fault takes, if it is in force.
    pub(crate) async fn wait(
        &self,
        fault: Fault,
        time: Option<Duration>,
        connection: &str,
        at: &str,
    ) {
        if let Some(time) = time {
            self.say(fault, connection, at);
            tokio::time::sleep(time).await;
        }
    }

    /// The API's functions, with the faults of invocations around them.
    pub(crate) fn integration(
        self,
        api: &plan::Api,
        functions: &Functions,
        answers: Answers,
    ) -> Integration {
        let around = Arc::new((self, Routes::of(api), functions.clone(), answers));
        Integration::new(service_fn(move |invocation: Invocation| {
            let around = Arc::clone(&around);
            async move {
                let (faulty, routes, functions, answers) = &*around;
                let function = invocation.function.clone();
                let answer = faulty.invoke(routes, functions, invocation).await;
                if let (Ok(answer), Some(name)) = (&answer, routes.find(&function)) {
                    answers.check(&function, name, &answer.body);
                }
                answer
            }
        }))
    }

    async fn invoke(
        &self,
        routes: &Routes,
        functions: &Functions,
        invocation: Invocation,
    ) -> Result<Answer, InvokeError> {
        let function = invocation.function.clone();
        let (connection, at) = (invocation.connection_id, Routes::cause(&function));
        let say = |fault| self.say(fault, connection.as_str(), at);
        // All are drawn, so that none moves another's sequence.
        let (lost, throttled, killed) = self.faults.with(|faults| {
            let is_disconnect = function == Function::Disconnect;
            let lost = is_disconnect && faults.strikes(Fault::LoseDisconnect);
            let throttled = faults.strikes(Fault::Throttle);
            (lost, throttled, faults.strikes(Fault::Kill))
        });
        let (late, wait) = self.faults.with(|faults| match function {
            Function::Disconnect => (faults.time(Fault::LateDisconnect), None),
            Function::Message { .. } => (None, faults.time(Fault::PostFirst)),
            Function::Authorizer | Function::Connect => (None, None),
        });
        if lost {
            say(Fault::LoseDisconnect);
            return Ok(Answer::from(r#"{"statusCode":200}"#));
        }
        self.wait(Fault::LateDisconnect, late, connection.as_str(), at)
            .await;
        if throttled {
            say(Fault::Throttle);
            return Err(InvokeError::Throttled);
        }
        let fate = if killed {
            say(Fault::Kill);
            Fate::Dies
        } else {
            Fate::Lives
        };
        let answer = functions.ask(routes, invocation, fate).await;
        self.wait(Fault::PostFirst, wait, connection.as_str(), at)
            .await;
        answer
    }
}
