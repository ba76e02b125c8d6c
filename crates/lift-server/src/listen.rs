//! In: a listener or a stream, and the routes. Out: HTTP on it, over TLS where there is a certificate.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use lift_gateway::listener::{self, Accepted, HttpLimits, Visit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::tls::Certificate;

/// What TLS holds of what the kernel has not taken, in bytes: its default of 64 KiB is counted
/// nowhere, and leaves unseen that a client reads a little all the time.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

/// Accepts until `stop`; connections that were upgraded by then live on in the gateway.
pub(crate) async fn serve(
    listener: TcpListener,
    limits: HttpLimits,
    tls: Option<Certificate>,
    router: Router,
    stop: CancellationToken,
) {
    listener::accept(listener, limits, stop.cancelled(), |accepted| {
        let (router, tls) = (router.clone(), tls.as_ref().map(Certificate::acceptor));
        async move {
            let Accepted {
                stream,
                peer,
                visit,
            } = accepted;
            let Some(tls) = tls else {
                return connection(stream, peer, visit, router).await;
            };
            match visit.before_http(tls.accept(stream)).await {
                Some(Ok(mut stream)) => {
                    let (_, tls) = stream.get_mut();
                    tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                    connection(stream, peer, visit, router).await;
                }
                Some(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
                None => tracing::debug!(%peer, "TLS handshake not completed"),
            }
        }
    })
    .await;
}

/// Serves HTTP on one stream until its end or an upgrade.
pub(crate) async fn connection<S>(stream: S, peer: SocketAddr, visit: Visit, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request).await;
            response
        }
    };
    visit.http(stream, answer).await;
}
