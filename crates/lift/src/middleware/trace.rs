//! A span around every message: ids and what the client calls its trace context, never a payload or a token.

use tracing::Instrument;

use super::from_fn::Next;
use crate::request::{Reply, Request};

/// Runs the rest within a span that names the request, its action, owner and connection.
pub async fn trace(request: Request, next: Next) -> Reply {
    let span = tracing::info_span!(
        "request",
        request_id = %request.id,
        action = request.envelope.action,
        owner = %request.connection.identity.owner,
        connection = %request.connection.id,
        metadata = tracing::field::Empty,
    );
    let metadata = &request.envelope.metadata;
    if !metadata.is_empty() {
        span.record("metadata", tracing::field::debug(metadata));
    }
    next.run(request).instrument(span).await
}
