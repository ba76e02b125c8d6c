//! A handler's panic becomes an `INTERNAL_ERROR` whose `ref` finds the log line; others go on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::Asked;
use crate::error::Error;
use crate::request::Reply;

/// Runs the rest and answers for it if it panics.
pub async fn catch_panic(asked: &Asked, rest: impl Future<Output = Reply>) -> Reply {
    match AssertUnwindSafe(rest).catch_unwind().await {
        Ok(reply) => reply,
        Err(panic) => {
            let error = Error::internal(format!("a handler panicked: {}", text(&*panic)));
            Reply::failed(asked.id, asked.client_id.clone(), error)
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
