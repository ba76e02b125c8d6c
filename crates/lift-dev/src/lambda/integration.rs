//! In: an API's routes and the gateway's events. Out: the functions' answers to the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError};

use super::{Call, Failure, Functions};
use crate::plan;

/// Which function answers for which part of an API.
struct Routes {
    authorizer: Option<String>,
    by_key: BTreeMap<String, String>,
}

impl Routes {
    fn of(api: &plan::Api) -> Self {
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

    /// The function's name, and what the feed calls the event.
    fn find<'a>(&'a self, function: &'a Function) -> Option<(&'a str, &'a str)> {
        let cause = match function {
            Function::Authorizer => {
                return self.authorizer.as_deref().map(|name| (name, "authorizer"));
            }
            Function::Connect => "$connect",
            Function::Message { route } => route,
            Function::Disconnect => "$disconnect",
        };
        let name = self.by_key.get(cause)?;
        Some((name, cause))
    }
}

impl Functions {
    /// The functions of an API's routes as the gateway asks them.
    #[must_use]
    pub fn integration(&self, api: &plan::Api) -> Integration {
        let (functions, routes) = (self.clone(), Arc::new(Routes::of(api)));
        Integration::new(tower::service_fn(move |invocation: Invocation| {
            let (functions, routes) = (functions.clone(), Arc::clone(&routes));
            async move {
                let Some((name, cause)) = routes.find(&invocation.function) else {
                    let message = format!("no function for {:?}", invocation.function);
                    return Err(InvokeError::FunctionError { message });
                };
                let call = Call {
                    function: name.to_owned(),
                    payload: invocation.event.json(),
                    cause: cause.to_owned(),
                    request_id: None,
                    trace: None,
                    deadline: Some(invocation.deadline),
                };
                let answer = functions.invoke(call).await;
                answer.map(Answer::from).map_err(InvokeError::from)
            }
        }))
    }
}

impl From<Failure> for InvokeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Exited { .. } | Failure::ShuttingDown => Self::Crashed,
            Failure::Throttled(_) => Self::Throttled,
            // The function's own timeout is an error of the function, as API Gateway sees it.
            Failure::CallerLeft(_) => Self::TimedOut,
            // To the letter: an authorizer's `Unauthorized` is an answer.
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
