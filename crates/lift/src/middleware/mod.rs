//! What surrounds every handler: a request passes each layer on its way in, its reply on the way out.
//!
//! The standard cell, outermost first: [`trace`] (the span that carries the request id, so that
//! all later lines have it) → [`metrics`] → [`catch_panic`] → [`timeout`] → `authenticate` → the
//! app's own layers → the router. An app adds its own with [`App::layer`](crate::app::App::layer),
//! most simply by [`from_fn`](from_fn::from_fn).

pub mod from_fn;
pub mod trace;
pub mod metrics;
pub mod catch_panic;
pub mod timeout;
mod authenticate;

use std::convert::Infallible;
use std::sync::Arc;

use tower::Layer;
use tower::util::BoxCloneSyncService;

use crate::app::Inner;
use crate::request::{Reply, Request};
use from_fn::from_fn;

/// A service from request to reply that cannot fail, with its type forgotten.
pub type Cell = BoxCloneSyncService<Request, Reply, Infallible>;

pub(crate) fn standard(router: Cell, inner: &Arc<Inner>) -> Cell {
    let longest = inner.app.limits.sync_timeout;
    let inner = Arc::clone(inner);
    let authenticate =
        move |request, next| authenticate::authenticate(request, next, Arc::clone(&inner));
    let cell = from_fn(authenticate).layer(router);
    let cell = from_fn(move |request, next| timeout::timeout(request, next, longest)).layer(cell);
    let cell = from_fn(catch_panic::catch_panic).layer(cell);
    let cell = from_fn(metrics::metrics).layer(cell);
    from_fn(trace::trace).layer(cell)
}
