//! What surrounds every handler: a request passes each layer on its way in, its reply on the way out.
//!
//! The standard ones, outermost first: [`trace`] (the span that carries the request id, so that
//! all later lines have it) → [`metrics`] → [`catch_panic`] → [`timeout`] → `authenticate` → the
//! app's own layers → the router. The standard ones are one future, since each that is boxed for
//! itself costs more than it does; an app adds its own with
//! [`App::layer`](crate::app::App::layer), most simply by [`from_fn`](from_fn::from_fn).

pub mod from_fn;
pub mod trace;
pub mod metrics;
pub mod catch_panic;
pub mod timeout;
mod authenticate;

use std::convert::Infallible;

use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tracing::Instrument;

use crate::app::Inner;
use crate::id::RequestId;
use crate::request::{Reply, Request};

/// A service from request to reply that cannot fail, with its type forgotten.
pub type Cell = BoxCloneSyncService<Request, Reply, Infallible>;

/// What an answer names when the request itself is gone.
#[derive(Debug)]
pub struct Asked {
    id: RequestId,
    client_id: Option<String>,
}

/// Answers a request by the app's own layers and the router, which are `cell`.
///
/// What an expired token asks counts against the rates as what is answered does.
pub(crate) async fn standard(request: Request, cell: Cell, inner: &Inner) -> Reply {
    let asked = Asked {
        id: request.id,
        client_id: request.envelope.id.clone(),
    };
    let (action, span) = (request.envelope.action.clone(), trace::span(&request));
    let answered = async {
        let Err(expired) = authenticate::check(&request) else {
            let Ok(reply) = cell.oneshot(request).await;
            return reply;
        };
        let room = inner.room(&request.connection, request.received_at).await;
        Reply::error(&request, room.err().unwrap_or(expired))
    };
    let longest = inner.app.limits.sync_timeout;
    let in_time = timeout::timeout(&asked, longest, answered);
    let caught = catch_panic::catch_panic(&asked, in_time);
    metrics::metrics(&inner.counters, action, caught)
        .instrument(span)
        .await
}
