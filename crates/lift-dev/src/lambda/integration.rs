//! In: an API's routes and the gateway's events. Out: the functions' answers to the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError};

use super::{Call, Failure, Fate, Functions};
use crate::plan;

/// Which function answers for which part of an API.
#[derive(Debug)]
pub(crate) struct Routes {
    authorizer: Option<String>,
    by_key: BTreeMap<String, String>,
}

impl Routes {
    pub(crate) fn of(api: &plan::Api) -> Self {
        let by_key = api
            .routes
            .iter()
            .filter_map(|route| match &route.integration {
                plan::Integration::Function(name) => Some((route.key.clone(), name.clone())),
                plan::Integration::Mock(_) => None,
            });
        Self {
            by_key: by_key.collect(),
            authorizer: api.authorizer.as_ref().map(|each| each.function.clone()),
        }
    }

    /// What the feed calls an event for this function.
    pub(crate) fn cause(function: &Function) -> &str {
        match function {
            Function::Authorizer => "authorizer",
            Function::Connect => "$connect",
            Function::Message { route } => route,
            Function::Disconnect => "$disconnect",
        }
    }

    /// The function's name.
    pub(crate) fn find(&self, function: &Function) -> Option<&String> {
        match function {
            Function::Authorizer => self.authorizer.as_ref(),
            Function::Connect | Function::Message { .. } | Function::Disconnect => {
                self.by_key.get(Self::cause(function))
            }
        }
    }
}

impl Functions {
    /// The functions of an API's routes as the gateway asks them.
    #[must_use]
    pub fn integration(&self, api: &plan::Api) -> Integration {
        let around = Arc::new((self.clone(), Routes::of(api)));
        Integration::new(tower::service_fn(move |invocation: Invocation| {
            let around = Arc::clone(&around);
            async move {
                let (functions, routes) = &*around;
                functions.ask(routes, invocation, Fate::Lives).await
            }
        }))
    }

    /// Asks the function of an API's route.
    pub(crate) async fn ask(
        &self,
        routes: &Routes,
        invocation: Invocation,
        fate: Fate,
    ) -> Result<Answer, InvokeError> {
        let Some(name) = routes.find(&invocation.function) else {
            let message = format!("no function for {:?}", invocation.function);
            return Err(InvokeError::FunctionError { message });
        };
        let call = Call {
            function: name.clone(),
            payload: invocation.event.json(),
            cause: Routes::cause(&invocation.function).to_owned(),
            request_id: None,
            trace: None,
            deadline: Some(invocation.deadline),
            fate,
        };
        let answer = self.invoke(call).await;
        answer.map(Answer::from).map_err(InvokeError::from)
    }
}

impl From<Failure> for InvokeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Exited { .. } | Failure::ShuttingDown => Self::Crashed,
            Failure::Throttled(_) => Self::Throttled,
            // The function's own timeout is an error of the function, as API Gateway sees it.
            Failure::CallerLeft(_) => Self::TimedOut,
            // Without its type: an authorizer's `Unauthorized` is told by its message alone.
            Failure::FunctionError { message, .. } => Self::FunctionError { message },
            Failure::InitFailed { .. }
            | Failure::ResponseTooLarge
            | Failure::TimedOut { .. }
            | Failure::NotFound { .. } => Self::FunctionError {
                message: failure.to_string(),
            },
        }
    }
}
