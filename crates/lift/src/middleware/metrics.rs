//! Counts and times: one `lift_requests_total` and one `lift_request_seconds` for every message.

use tokio::time::Instant;

use super::from_fn::Next;
use crate::error::Code;
use crate::request::{Reply, Request};

/// Counts the reply by its kind. Actions that nobody registered are not a label: clients choose
/// them freely.
pub async fn metrics(request: Request, next: Next) -> Reply {
    let started = Instant::now();
    let action = request.envelope.action.clone();
    let reply = next.run(request).await;
    let code = reply.code();
    let action = if code == Some(Code::UnknownAction) {
        "-".to_owned()
    } else {
        action
    };
    let outcome = code.map_or_else(|| "ok".to_owned(), |code| format!("{code:?}"));
    metrics::counter!("lift_requests_total", "action" => action.clone(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("lift_request_seconds", "action" => action).record(started.elapsed());
    reply
}
