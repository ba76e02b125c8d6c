//! A deadline for the answer: a handler that is still running then is dropped, with `TIMEOUT` to
//! the client. Not the deadline of a task, which its worker keeps.

use std::time::Duration;

use super::from_fn::Next;
use crate::error::{Code, Error};
use crate::request::{Reply, Request};

/// Runs the rest for at most `longest`; the message's own `timeout_ms` is the router's affair.
pub async fn timeout(request: Request, next: Next, longest: Duration) -> Reply {
    let (id, client_id) = (request.id, request.envelope.id.clone());
    tokio::time::timeout(longest, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| {
            let error = Error::new(Code::Timeout, "the request's deadline passed");
            Reply::failed(id, client_id, error)
        })
}
