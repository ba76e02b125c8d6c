//! What surrounds every handler: a request passes each layer on its way in, its reply on the way out.
//!
//! The standard cell, outermost first: [`trace`] (the span that carries the request id, so that
//! all later lines have it) → [`metrics`] → [`catch_panic`] → [`timeout`] → [`authenticate`] → the
//! app's own layers → the router. An app adds its own with [`App::layer`](crate::app::App::layer),
//! most simply by [`from_fn`](from_fn::from_fn).

pub mod from_fn;
pub mod trace;
pub mod metrics;
pub mod catch_panic;
pub mod timeout;
pub mod authenticate;

use std::convert::Infallible;

use tower::Layer;
use tower::util::BoxCloneSyncService;

use crate::clock::Clock;
use crate::limits::Limits;
use crate::request::{Reply, Request};
use from_fn::from_fn;

/// A service from request to reply that cannot fail, with its type forgotten.
pub type Cell = BoxCloneSyncService<Request, Reply, Infallible>;

pub(crate) fn standard(router: Cell, limits: &Limits, clock: &Clock) -> Cell {
    let clock = clock.clone();
    let longest = limits.sync_timeout;
    let cell = from_fn(move |request, next| authenticate::authenticate(request, next, clock.now()))
        .layer(router);
    let cell = from_fn(move |request, next| timeout::timeout(request, next, longest)).layer(cell);
    let cell = from_fn(catch_panic::catch_panic).layer(cell);
    let cell = from_fn(metrics::metrics).layer(cell);
    from_fn(trace::trace).layer(cell)
}
