//! In: a TCP listener. Out: an HTTP connection for each socket, until the gateway has drained.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Gateway;

/// A request's head, in bytes: two 8 KiB tokens and a browser's headers fit.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long nothing is accepted after the process ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn serve(
    gateway: &Gateway,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::debug!(%address, "accepting connections");
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let limits = &gateway.rules().limits;
    let drained = async {
        shutdown.cancelled().await;
        gateway.drain(limits.drain).await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            // The listener stays open in a drain, so that upgrades hear 503.
            (stream, peer) = accept(&listener) => {
                tasks.spawn(connection(gateway.clone(), stream, peer, stop.clone()));
            }
            () = &mut drained => break,
        }
    }
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(limits.closing, tasks.wait())
        .await
        .is_err()
    {
        tracing::debug!(left = tasks.len(), "HTTP connections left behind");
    }
    Ok(())
}

/// The next socket; dropping the future loses none.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client gave up before its turn.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    gateway: Gateway,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    // Small frames must not wait for the acknowledgment of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let handshake = gateway.rules().limits.handshake;
    let service = service_fn(move |request: http::Request<Incoming>| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.handle(request, peer).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(handshake)
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
