//! In: the hosts that will be called. Out: connections, opened before they are needed or when they are.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::Service;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection that waited longer may have been closed by the other side.
const FRESH: Duration = Duration::from_secs(20);

/// Connects by TCP and TLS; gives out what was opened ahead first. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    ready: Arc<Mutex<Vec<Ready>>>,
}

struct Ready {
    to: Uri,
    since: Instant,
    stream: Stream,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(inner: HttpsConnector<HttpConnector>) -> Self {
        Self {
            inner,
            ready: Arc::default(),
        }
    }

    /// Opens a connection, TLS included, for a later call to take.
    pub(crate) async fn open(&self, to: Uri) -> Result<(), BoxError> {
        let stream = self.inner.clone().call(to.clone()).await?;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(Ready {
            to,
            since: Instant::now(),
            stream,
        });
        Ok(())
    }

    fn take(&self, to: &Uri) -> Option<Stream> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|opened| opened.since.elapsed() < FRESH);
        let same = |opened: &Ready| {
            opened.to.authority() == to.authority() && opened.to.scheme() == to.scheme()
        };
        let at = ready.iter().position(same)?;
        Some(ready.swap_remove(at).stream)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self.take(&to) {
            Some(stream) => Box::pin(std::future::ready(Ok(stream))),
            None => Box::pin(self.inner.call(to)),
        }
    }
}
