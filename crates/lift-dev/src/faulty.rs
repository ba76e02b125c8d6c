//! In: an API's functions and the faults in force. Out: an integration through which the faults strike.

use std::sync::Arc;

use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError};
use tower::{ServiceExt as _, service_fn};

use crate::door::{Shared, with};
use crate::faults::Fault;
use crate::lambda::Functions;
use crate::plan;

/// Puts the faults of invocations around an integration.
pub(crate) fn integration(
    inner: Integration,
    api: &plan::Api,
    functions: &Functions,
    faults: &Shared,
) -> Integration {
    let (api, functions) = (Arc::new(api.clone()), functions.clone());
    let faults = Arc::clone(faults);
    Integration::new(service_fn(move |invocation: Invocation| {
        let (inner, api) = (inner.clone(), Arc::clone(&api));
        let (functions, faults) = (functions.clone(), Arc::clone(&faults));
        async move { invoke(inner, &api, &functions, &faults, invocation).await }
    }))
}

async fn invoke(
    inner: Integration,
    api: &plan::Api,
    functions: &Functions,
    faults: &Shared,
    invocation: Invocation,
) -> Result<Answer, InvokeError> {
    let function = invocation.function.clone();
    if function == Function::Disconnect {
        let (lost, late) = with(faults, |faults| {
            let lost = faults.strikes(Fault::LoseDisconnect);
            (lost, faults.time(Fault::LateDisconnect))
        });
        if lost {
            return Ok(Answer::from(r#"{"statusCode":200}"#));
        }
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
    }
    let (throttled, killed, wait) = with(faults, |faults| {
        let throttled = faults.strikes(Fault::Throttle);
        let killed = faults.strikes(Fault::Kill);
        (throttled, killed, faults.time(Fault::PostFirst))
    });
    if throttled {
        return Err(InvokeError::Throttled);
    }
    let answering = inner.oneshot(invocation);
    tokio::pin!(answering);
    if killed {
        // Once polled, the invocation has its environment, or waits for one.
        let polled = futures_util::poll!(&mut answering);
        if let std::task::Poll::Ready(answer) = polled {
            return answer;
        }
        if let Some(name) = api.function_of(&function) {
            functions.kill_one(name);
        }
    }
    let answer = answering.await;
    if let (Function::Message { .. }, Some(wait)) = (function, wait) {
        tokio::time::sleep(wait).await;
    }
    answer
}
