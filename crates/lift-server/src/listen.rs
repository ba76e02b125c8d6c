//! In: a TCP listener. Out: an HTTP connection for each socket, over TLS where there is a certificate.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// A request's head, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Time for a TLS handshake, and for a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a certificate chain and its key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Tls {
    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let invalid = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_reader_iter(&mut open(&self.cert)?)
                .collect::<Result<_, _>>()
                .map_err(|error| named(&self.cert, error))?;
        let key = PrivateKeyDer::from_pem_reader(&mut open(&self.key)?)
            .map_err(|error| named(&self.key, error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(invalid)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| named(path, error))
}

fn named(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {error}", path.display()),
    )
}

/// Accepts until `stop`; connections that were upgraded by then live on in the gateway.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::warn!(%error, "cannot accept connections; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        // Small frames must not wait for the acknowledgment of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let (router, stop) = (router.clone(), stop.clone());
        match tls.clone() {
            None => _ = tasks.spawn(connection(stream, peer, router, stop)),
            Some(tls) => {
                tasks.spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection(stream, peer, router, stop).await,
                        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
                        Err(_elapsed) => tracing::debug!(%peer, "TLS handshake timed out"),
                    }
                });
            }
        }
    }
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(1), tasks.wait())
        .await
        .is_err()
    {
        tracing::debug!(left = tasks.len(), "HTTP connections left behind");
    }
}

/// Serves HTTP on one stream until its end, an upgrade, or `stop`.
pub(crate) async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request).await;
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .max_buf_size(HEAD_BYTES_MAX);
    let serving = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "HTTP connection ended");
    }
}
