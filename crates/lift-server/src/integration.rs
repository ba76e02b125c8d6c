//! The app as the gateway's integration: an invocation comes in, the app's answer goes out, by the
//! same code as on Lambda; a message without its detour over JSON.

use lift::app::Runtime;
use lift_aws::event::{After, Failure, answer, authorize, by_id, connection, handle, parse};
use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError, Receipt, Text};
use tokio_util::task::TaskTracker;

pub(crate) fn integration(runtime: Runtime, followers: TaskTracker) -> Integration {
    Integration::new(tower::service_fn(move |invocation: Invocation| {
        let (runtime, followers) = (runtime.clone(), followers.clone());
        async move { invoke(&runtime, &followers, invocation).await }
    }))
}

async fn invoke(
    runtime: &Runtime,
    followers: &TaskTracker,
    invocation: Invocation,
) -> Result<Answer, InvokeError> {
    let from = invocation
        .event
        .keep(|message| connection(&message.context, by_id(&message.context)));
    if let (Some(from), Some(text)) = (from, invocation.event.text()) {
        let from = from.map_err(|failure| failed(&failure))?;
        let (text, after) = answer(runtime, from, text).await;
        let text = Text::try_from(text).map_err(|error| InvokeError::FunctionError {
            message: error.to_string(),
        })?;
        let receipt = Some(receipt(runtime, followers, after));
        return Ok(Answer {
            receipt,
            ..Answer::text(text)
        });
    }
    let event = &invocation.event.json();
    if matches!(invocation.function, Function::Authorizer) {
        return authorize(runtime, event, None)
            .await
            .map(Answer::from)
            .map_err(|failure| failed(&failure));
    }
    let event = parse(event).map_err(|failure| failed(&failure))?;
    let handled = handle(runtime, &event, by_id)
        .await
        .map_err(|failure| failed(&failure))?;
    Ok(Answer::from(handled.body))
}

fn receipt(runtime: &Runtime, followers: &TaskTracker, after: After) -> Receipt {
    Receipt::new(Follower {
        after: Some(after),
        runtime: runtime.clone(),
        followers: followers.clone(),
    })
}

fn failed(failure: &Failure) -> InvokeError {
    if !matches!(failure, Failure::Unauthorized) {
        tracing::error!(
            error = lift::error::chain(failure),
            "an event was not handled"
        );
    }
    InvokeError::FunctionError {
        message: failure.to_string(),
    }
}

/// Says what follows an answer when the gateway drops it: the answer is in the queue then.
struct Follower {
    after: Option<After>,
    runtime: Runtime,
    followers: TaskTracker,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let Some(after) = self.after.take() else {
            return;
        };
        if after.is_quiet() {
            return;
        }
        let runtime = self.runtime.clone();
        self.followers
            .spawn(async move { after.run(&runtime).await });
    }
}
