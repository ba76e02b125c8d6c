//! Whether the token is still good: identity was proven at the handshake, its `exp` may have passed.

use crate::error::{Code, Error};
use crate::request::Request;

/// Refuses every message but `ping` once the token has expired; what was accepted goes on.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    let expires_at = request.connection.identity.expires_at;
    let expired = expires_at.is_some_and(|exp| exp <= request.received_at);
    if !expired || request.envelope.action == "ping" {
        return Ok(());
    }
    Err(Error::new(Code::TokenExpired, "the token has expired"))
}
