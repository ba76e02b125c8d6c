//! Whether the token is still good: identity was proven at the handshake, its `exp` may have passed.

use super::from_fn::Next;
use crate::clock::Timestamp;
use crate::error::{Code, Error};
use crate::request::{Reply, Request};

/// Refuses every message but `ping` once the token has expired; what was accepted goes on.
pub async fn authenticate(request: Request, next: Next, now: Timestamp) -> Reply {
    let expired = request
        .connection
        .identity
        .expires_at
        .is_some_and(|exp| exp <= now);
    if expired && request.envelope.action != "ping" {
        let error = Error::new(Code::TokenExpired, "the token has expired");
        return Reply::error(&request, error);
    }
    next.run(request).await
}
