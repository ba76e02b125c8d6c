//! Whether the token is still good: identity was proven at the handshake, its `exp` may have passed.

use std::sync::Arc;

use super::from_fn::Next;
use crate::app::Inner;
use crate::error::{Code, Error};
use crate::request::{Reply, Request};

/// Refuses every message but `ping` once the token has expired; what was accepted goes on. A
/// refused message counts against the rates as one that is answered does.
pub(crate) async fn authenticate(request: Request, next: Next, inner: Arc<Inner>) -> Reply {
    let expires_at = request.connection.identity.expires_at;
    let now = inner.backends.clock.now();
    if request.envelope.action == "ping" || expires_at.is_none_or(|exp| exp > now) {
        return next.run(request).await;
    }
    let error = match inner.room(&request.connection, now).await {
        Ok(()) => Error::new(Code::TokenExpired, "the token has expired"),
        Err(full) => full,
    };
    Reply::error(&request, error)
}
