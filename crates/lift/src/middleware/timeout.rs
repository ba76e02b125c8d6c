//! A deadline for the answer: a handler that is still running then is dropped, with `TIMEOUT` to
//! the client. Not the deadline of a task, which its worker keeps.

use std::time::Duration;

use super::Asked;
use crate::error::{Code, Error};
use crate::request::Reply;

/// Runs the rest for at most `longest`; the message's own `timeout_ms` is the router's affair.
pub async fn timeout(asked: &Asked, longest: Duration, rest: impl Future<Output = Reply>) -> Reply {
    tokio::time::timeout(longest, rest)
        .await
        .unwrap_or_else(|_elapsed| {
            let error = Error::new(Code::Timeout, "the request's deadline passed");
            Reply::failed(asked.id, asked.client_id.clone(), error)
        })
}
