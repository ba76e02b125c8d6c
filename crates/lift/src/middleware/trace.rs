//! A span around every message: ids and what the client calls its trace context, never a payload or a token.

use tracing::Span;

use crate::request::Request;

/// A span that names the request, its action, owner and connection.
pub fn span(request: &Request) -> Span {
    let span = tracing::info_span!(
        "request",
        request_id = %request.id,
        action = request.envelope.action,
        owner = %request.connection.identity.owner,
        connection = %request.connection.id,
        metadata = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    let metadata = &request.envelope.metadata;
    if !metadata.is_empty() {
        span.record("metadata", tracing::field::debug(metadata));
    }
    span
}
