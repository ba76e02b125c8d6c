//! An async function as a layer: a request and what comes next go in, a reply comes out.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::{Layer, Service, ServiceExt};

use super::Cell;
use crate::request::{Reply, Request};

/// Makes a layer of an async function.
///
/// ```
/// use lift::middleware::from_fn::{Next, from_fn};
/// use lift::request::{Reply, Request};
///
/// async fn log(request: Request, next: Next) -> Reply {
///     let action = request.envelope.action.clone();
///     let reply = next.run(request).await;
///     println!("{action}: {:?}", reply.code());
///     reply
/// }
/// let app = lift::app::App::new().layer(from_fn(log));
/// ```
pub fn from_fn<F, Fut>(function: F) -> FromFn<F>
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    FromFn(Arc::new(function))
}

/// The layer that [`from_fn`] makes.
pub struct FromFn<F>(Arc<F>);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// The layers further in, and the router.
#[derive(Debug)]
pub struct Next(Cell);

impl Next {
    /// Passes the request on.
    pub async fn run(self, request: Request) -> Reply {
        let Ok(reply) = self.0.oneshot(request).await;
        reply
    }
}

impl<F, Fut> Layer<Cell> for FromFn<F>
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    type Service = Cell;

    fn layer(&self, inner: Cell) -> Cell {
        Cell::new(Wrapped {
            function: Arc::clone(&self.0),
            inner,
        })
    }
}

struct Wrapped<F> {
    function: Arc<F>,
    inner: Cell,
}

impl<F> Clone for Wrapped<F> {
    fn clone(&self) -> Self {
        Self {
            function: Arc::clone(&self.function),
            inner: self.inner.clone(),
        }
    }
}

impl<F, Fut> Service<Request> for Wrapped<F>
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        (self.function)(request, Next(self.inner.clone()))
            .map(Ok)
            .boxed()
    }
}
