//! What bootstraps call in place of AWS's services: any call over TLS comes in, `{}` goes out and is counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lift_dev::authority::Authority;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Result;

const ANSWER: &str = "{}";
/// The answer's.
const CRC32: u32 = 2_745_614_147;

/// One HTTPS server; dropping it ends it.
pub(crate) struct StandIn {
    /// `https://127.0.0.1:PORT`.
    pub(crate) url: String,
    pub(crate) authority: Authority,
    /// A directory with the authority's files, and one with nothing.
    pub(crate) home: TempDir,
    calls: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl StandIn {
    pub(crate) async fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        std::fs::create_dir(home.path().join("empty"))?;
        let authority = Authority::make(home.path(), "127.0.0.1")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        let tls = authority.acceptor().clone();
        serving.spawn(accept(listener, tls, Arc::clone(&calls)));
        Ok(Self {
            url,
            authority,
            home,
            calls,
            _serving: serving,
        })
    }

    /// Calls since this was last asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, calls: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        _ = socket.set_nodelay(true);
        let (tls, calls) = (tls.clone(), Arc::clone(&calls));
        connections.spawn(async move {
            // One that is not taken shows in the bootstrap, which then has no answer.
            let Ok(socket) = tls.accept(socket).await else {
                return;
            };
            let service = service_fn(|request| answer(request, &calls));
            _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    calls: &AtomicUsize,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    _ = request.into_body().collect().await;
    calls.fetch_add(1, Ordering::Relaxed);
    let answered = Response::builder()
        .header("content-type", "application/x-amz-json-1.0")
        // Go's SDK checks it.
        .header("x-amz-crc32", CRC32)
        .body(Full::from(ANSWER))
        .unwrap_or_default();
    Ok(answered)
}
