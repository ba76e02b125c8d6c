//! A handler's panic becomes an `INTERNAL_ERROR` whose `ref` finds the log line; others go on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::from_fn::Next;
use crate::error::Error;
use crate::request::{Reply, Request};

/// Runs the rest and answers for it if it panics.
pub async fn catch_panic(request: Request, next: Next) -> Reply {
    let (id, client_id) = (request.id, request.envelope.id.clone());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(reply) => reply,
        Err(panic) => {
            let error = Error::internal(format!("a handler panicked: {}", text(&*panic)));
            Reply::failed(id, client_id, error)
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
