//! A deadline for the answer: a handler that is still running then is dropped, with `TIMEOUT` to
//! the client. Not the deadline of a task, which its worker keeps.

use std::time::Duration;

use super::from_fn::Next;
use crate::error::{Code, Error};
use crate::request::{Reply, Request};

/// Runs the rest for at most `longest`, or the message's own shorter `timeout_ms`.
pub async fn timeout(request: Request, next: Next, longest: Duration) -> Reply {
    let (id, client_id) = (request.id, request.envelope.id.clone());
    let longest = request
        .envelope
        .timeout
        .map_or(longest, |asked| asked.min(longest));
    tokio::time::timeout(longest, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| {
            let error = Error::new(Code::Timeout, "the request's deadline passed");
            Reply::refused(Some(id), client_id, error)
        })
}
