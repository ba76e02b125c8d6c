//! In: a TCP listener. Out: HTTP/1.1 on each socket, within limits of time and number that no client can exceed.
//!
//! The one accept loop: the gateway's own server and hosts with routes beside the WebSocket use it.
//! Open sockets are bounded by [`HttpLimits::unupgraded_max`] and, once they are WebSockets, by
//! [`Limits::connections_max`](crate::Limits::connections_max), past which an upgrade gets 503.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lobby::{Lobby, Place};

/// How long nothing is accepted after the process ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A shortage is over once nothing failed for this long, so that it is said once.
const SHORTAGE_OVER_AFTER: Duration = Duration::from_secs(5);
/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 4096;
/// What the kernel holds for a client that does not read, in bytes (Linux takes twice as much, for
/// its own structures); its default grows to megabytes a socket.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;
/// What the kernel takes of what it cannot send yet, in bytes. Otherwise it says that it takes more
/// only when a third of its buffer is free, and a client that reads a little all the time looks as
/// one that reads nothing.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 16 * 1024;

/// How much of a response is handed to the HTTP connection at a time, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What a client may cost before its connection is a WebSocket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Time for a TLS handshake, and for each request's head, the wait for its first byte and the
    /// last 64 KiB of the response before it included (10 s). Past it the connection is closed.
    pub head: Duration,
    /// A request's head, in bytes: two 8 KiB tokens and a browser's headers fit (32 KiB). Above it
    /// 431.
    pub head_bytes_max: usize,
    /// Time for an answer to be found, an authorizer's and `$connect`'s 29 s included (75 s). Past
    /// it 504.
    pub answer: Duration,
    /// Time in which the client must have taken a response but for its last 64 KiB (60 s). Past it
    /// the connection is closed.
    pub write: Duration,
    /// Sockets that are not upgraded (2,048). At it, the one whose client has been silent longest
    /// is closed for the next one.
    pub unupgraded_max: usize,
    /// Time that even then a client has (500 ms); until it is over, the next socket waits in the
    /// backlog.
    pub unupgraded_patience: Duration,
    /// Time for requests that are being answered when the server stops (2 s).
    pub closing: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            head_bytes_max: 32 * 1024,
            answer: Duration::from_secs(75),
            write: Duration::from_secs(60),
            unupgraded_max: 2_048,
            unupgraded_patience: Duration::from_millis(500),
            closing: Duration::from_secs(2),
        }
    }
}

/// Listens with a backlog for a storm, and with send buffers that a client cannot make large.
///
/// # Errors
/// As the kernel says: the address is in use, or is not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The socket.
    pub stream: TcpStream,
    /// Who is at its other end.
    pub peer: SocketAddr,
    /// How long it may stay.
    pub visit: Visit,
}

/// Serves every socket of a listener in a task of its own, until `until` is over.
///
/// Then requests that are being answered have [`closing`](HttpLimits::closing). A process that is
/// out of descriptors accepts nothing for a while and serves on.
pub async fn accept<F, Fut>(
    listener: TcpListener,
    limits: HttpLimits,
    until: impl Future<Output = ()>,
    serve: F,
) where
    F: Fn(Accepted) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut sockets = Sockets {
        listener,
        lobby: lobby(limits.unupgraded_max, &limits),
        failed_at: None,
    };
    let limits = Arc::new(limits);
    tokio::pin!(until);
    loop {
        tokio::select! {
            (stream, peer, place) = sockets.next() => {
                let (limits, stop) = (Arc::clone(&limits), stop.clone());
                let visit = Visit { place, limits, stop };
                tasks.spawn(serve(Accepted { stream, peer, visit }));
            }
            () = &mut until => break,
        }
    }
    stop.cancel();
    tasks.close();
    // Each visit ends by itself in this time; what `serve` does beside it may not.
    if timeout(limits.closing * 2, tasks.wait()).await.is_err() {
        tracing::debug!(left = tasks.len(), "HTTP connections left behind");
    }
}

fn lobby(places_max: usize, limits: &HttpLimits) -> Arc<Lobby> {
    Lobby::new(places_max, limits.head, limits.unupgraded_patience)
}

struct Sockets {
    listener: TcpListener,
    lobby: Arc<Lobby>,
    /// Set in a shortage: when accepting failed last.
    failed_at: Option<Instant>,
}

impl Sockets {
    async fn next(&mut self) -> (TcpStream, SocketAddr, Arc<Place>) {
        let (stream, peer) = self.accept().await;
        // Small frames must not wait for the acknowledgment of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
            tracing::debug!(%error, "no TCP_NOTSENT_LOWAT");
        }
        (stream, peer, self.lobby.enter().await)
    }

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = match self.failed_at {
                None => self.listener.accept().await,
                Some(failed_at) => tokio::select! {
                    accepted = self.listener.accept() => accepted,
                    () = tokio::time::sleep_until(failed_at + SHORTAGE_OVER_AFTER) => {
                        tracing::warn!("accepting all connections again");
                        self.failed_at = None;
                        continue;
                    }
                },
            };
            match accepted {
                Ok(accepted) => return accepted,
                // The client gave up before its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if self.failed_at.replace(Instant::now()).is_none() {
                        tracing::warn!(%error, "cannot accept connections; serving those there are");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A socket's time before it is a WebSocket.
#[derive(Debug)]
pub struct Visit {
    place: Arc<Place>,
    limits: Arc<HttpLimits>,
    stop: CancellationToken,
}

impl Visit {
    /// A visit that shares no limit of number with others, for streams that no listener accepted.
    pub async fn alone(limits: HttpLimits, stop: CancellationToken) -> Self {
        Self {
            place: lobby(1, &limits).enter().await,
            limits: Arc::new(limits),
            stop,
        }
    }

    /// What must come before HTTP, such as a TLS handshake; none where it takes too long.
    pub async fn before_http<T>(&self, opening: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            opened = opening => Some(opened),
            () = self.place.over() => None,
            () = self.stop.cancelled() => None,
        }
    }

    /// Answers the requests of one stream until its end or an upgrade.
    pub async fn http<S, F, Fut, B>(self, stream: S, answer: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(Request<Incoming>) -> Fut,
        Fut: Future<Output = Response<B>>,
        B: Body<Data = Bytes> + Default + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self {
            place,
            limits,
            stop,
        } = &self;
        place.clients_turn();
        let service = service_fn(|request| {
            place.servers_turn();
            let answering = timeout(limits.answer, answer(request));
            async move {
                let response = answering.await.unwrap_or_else(|_late| {
                    let mut response = Response::new(B::default());
                    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
                    response
                });
                place.writing(Instant::now() + limits.write);
                let place = Arc::clone(place);
                Ok::<_, Infallible>(response.map(|body| Written::new(body, place)))
            }
        });
        let mut http = http1::Builder::new();
        // The place knows the time, of heads too.
        http.header_read_timeout(None)
            .max_buf_size(limits.head_bytes_max);
        let serving = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(serving);
        let served = tokio::select! {
            served = &mut serving => Some(served),
            () = place.over() => None,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                timeout(limits.closing, serving).await.ok()
            }
        };
        match served {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "HTTP connection ended"),
            None => tracing::debug!("HTTP connection closed: too slow, or others waited"),
        }
    }
}

/// A response's body, in small pieces; once the last is taken, it is the client's turn again.
struct Written<B> {
    body: B,
    /// What is left of a piece that was too large: hyper takes a piece of any size at once, and
    /// would hold it for a client that does not read.
    rest: Bytes,
    place: Arc<Place>,
}

impl<B> Written<B> {
    fn new(body: B, place: Arc<Place>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            place,
        }
    }
}

impl<B> Drop for Written<B> {
    fn drop(&mut self) {
        self.place.clients_turn();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Written<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => self.rest = piece,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return other,
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len());
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
