//! Counts and times: one `lift_requests_total` and one `lift_request_seconds` for every message.

use tokio::time::Instant;

use super::from_fn::Next;
use crate::error::Code;
use crate::request::{Reply, Request};

/// Counts the reply by its kind. An action that nobody registered is not a label: clients choose
/// those freely.
pub async fn metrics(request: Request, next: Next) -> Reply {
    let started = Instant::now();
    let action = request.envelope.action.clone();
    let reply = next.run(request).await;
    let code = reply.code();
    // What was refused before its action was looked up may name anything.
    let unchecked = matches!(code, Some(Code::UnknownAction | Code::TokenExpired));
    let action = if unchecked { "-".to_owned() } else { action };
    let outcome = code.map_or("ok", Code::as_str);
    metrics::counter!("lift_requests_total", "action" => action.clone(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("lift_request_seconds", "action" => action).record(started.elapsed());
    reply
}
