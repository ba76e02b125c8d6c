//! In: HTTP requests that ask for upgrades. Out: the responses, and a task for each connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::upgrade::OnUpgrade;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use crate::clock::Clock;
use crate::connection::{self, Decision};
use crate::listener::{self, Accepted, HttpLimits};
use crate::session::handshake::{self, Refusal, Upgrade};
use crate::session::management::{self, Done, Operation, Reply};
use crate::session::observer::Observer;
use crate::session::{Input, PostError, Session};
use crate::{ConnectionId, Connections, Integration, Rules};

/// The body of a handshake's response.
pub type ResponseBody = Full<Bytes>;

/// A WebSocket gateway for one API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Arc<Rules>,
    /// Only ever cloned; the lock makes the gateway shareable whatever the integration is.
    integration: Mutex<Integration>,
    connections: Connections,
    observer: Option<Observer>,
    clock: Clock,
    tasks: TaskTracker,
    draining: AtomicBool,
    kill: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("connections", &self.connections.len())
            .finish()
    }
}

impl Gateway {
    /// A gateway that follows these rules and sends its events to this integration.
    #[must_use]
    pub fn new(rules: Rules, integration: Integration) -> Self {
        Self::watched(rules, integration, None)
    }

    /// The same, whose connections somebody watches.
    #[must_use]
    pub fn observed(rules: Rules, integration: Integration, observer: Observer) -> Self {
        Self::watched(rules, integration, Some(observer))
    }

    fn watched(rules: Rules, integration: Integration, observer: Option<Observer>) -> Self {
        let clock = Clock::start();
        let connections = Connections::new(clock, &rules);
        let shared = Shared {
            rules: Arc::new(rules),
            integration: Mutex::new(integration),
            connections,
            observer,
            clock,
            tasks: TaskTracker::new(),
            draining: AtomicBool::new(false),
            kill: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The open connections, for posting to them.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.shared.connections.clone()
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }

    /// Accepts connections until the shutdown, then drains for at most [`drain`](crate::Limits::drain).
    ///
    /// # Errors
    /// The rules are none that API Gateway would take ([`Rules::check`]), or the listener has no
    /// address. A failing accept is no error: it is logged and tried again.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let checked = self.rules().check();
        checked.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let address = listener.local_addr()?;
        tracing::debug!(%address, "accepting connections");
        let limits = &self.rules().limits;
        let http = HttpLimits {
            head: limits.handshake,
            closing: limits.closing,
            ..HttpLimits::default()
        };
        // The listener stays open in a drain, so that upgrades hear 503.
        let drained = async {
            shutdown.cancelled().await;
            self.drain(limits.drain).await;
        };
        listener::accept(listener, http, drained, |accepted| {
            let gateway = self.clone();
            async move {
                let Accepted {
                    stream,
                    peer,
                    visit,
                } = accepted;
                visit
                    .http(stream, |request| gateway.handle(request, peer))
                    .await;
            }
        })
        .await;
        Ok(())
    }

    /// Answers one HTTP request; an upgrade becomes a connection once its response is written.
    ///
    /// A host calls it from its own server, which must allow upgrades. Dropping the future counts
    /// as the client going away. A call of `@connections` is answered where the rules say so.
    pub async fn handle<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<ResponseBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (method, path) = (request.method().as_str(), request.uri().path());
        match management::parse(self.rules(), method, path) {
            None => self.upgrade(request, peer).await,
            Some(Ok(call)) => self.manage(&call, request.into_body()).await,
            Some(Err(reply)) => managed(reply),
        }
    }

    async fn manage<B>(&self, call: &management::Call, body: B) -> Response<ResponseBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (connections, id) = (&self.shared.connections, call.connection_id.as_str());
        managed(call.reply(match call.operation {
            Operation::Get => connections.get(id).map(Done::Found),
            Operation::Delete => connections.delete(id).map(|()| Done::Deleted),
            Operation::Post => {
                let limits = &self.shared.rules.limits;
                let payload = Limited::new(body, limits.message_bytes_max).collect();
                match tokio::time::timeout(limits.handshake, payload).await {
                    Ok(Ok(payload)) => {
                        let posted = connections.post(id, payload.to_bytes());
                        posted.map(|()| Done::Posted)
                    }
                    Ok(Err(error)) if error.is::<LengthLimitError>() => {
                        Err(PostError::PayloadTooLarge)
                    }
                    // The caller is gone, or as good as gone.
                    Ok(Err(_)) | Err(_) => return refused(&Refusal::new(408)),
                }
            }
        }))
    }

    async fn upgrade<B>(
        &self,
        mut request: Request<B>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let key = request
            .headers()
            .get(SEC_WEBSOCKET_KEY)
            .map(HeaderValue::as_bytes);
        let accept = key.map(derive_accept_key).unwrap_or_default();
        let upgrade = upgrade(&request, peer);
        drop(request);
        let decision = match self.open(upgrade, on_upgrade) {
            // The task answers in any case; without an answer it was killed by a drain.
            Ok(decision) => decision
                .await
                .unwrap_or(Decision::Refuse(Refusal::new(503))),
            Err(refusal) => Decision::Refuse(refusal),
        };
        match decision {
            Decision::Accept { subprotocol } => accepted(&accept, subprotocol.as_deref()),
            Decision::Refuse(refusal) => refused(&refusal),
        }
    }

    /// Refuses upgrades with 503 from now on.
    pub fn refuse_upgrades(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    /// Ends all connections with 1012, each as soon as nothing is in flight, and waits for them.
    ///
    /// Upgrades are refused with 503. What is in flight may finish for `close_after`; then the
    /// connections close anyway. `$disconnect` invocations are waited for by their own timeout;
    /// what is still running after it is dropped.
    pub async fn drain(&self, close_after: Duration) {
        let Shared {
            connections,
            clock,
            tasks,
            kill,
            rules,
            ..
        } = &*self.shared;
        self.refuse_upgrades();
        connections.drain(clock.now() + close_after);
        tasks.close();
        let limits = &rules.limits;
        let patience = close_after + limits.closing + limits.integration_timeout;
        if tokio::time::timeout(patience, tasks.wait()).await.is_err() {
            kill.cancel();
            tasks.wait().await;
        }
    }

    fn open(
        &self,
        upgrade: Upgrade,
        on_upgrade: OnUpgrade,
    ) -> Result<oneshot::Receiver<Decision>, Refusal> {
        let Shared {
            rules,
            connections,
            clock,
            tasks,
            kill,
            ..
        } = &*self.shared;
        if self.is_draining() {
            return Err(Refusal::new(503));
        }
        handshake::admit(&rules.limits, connections.tracked())?;
        let Ok((id, seed)) = random() else {
            return Err(Refusal::new(500));
        };
        let session = Session::new(Arc::clone(rules), upgrade, id, seed, clock.now())
            .with_budget(connections.budget())
            .with_throttle(connections.throttle())
            .with_observer(self.shared.observer.clone());
        let slot = connections.insert(id, session);
        if self.is_draining() {
            // The drain began in between and may not have seen this connection.
            let now = clock.now();
            let input = Input::Drain { close_by: now };
            slot.with(|session, actions| session.handle(now, input, actions));
        }
        let integration = self.shared.integration.lock();
        let integration = integration
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let task = connection::Task::new(slot, id, *clock, integration, rules.limits.clone());
        let (decide, decision) = oneshot::channel();
        let kill = kill.clone();
        let removed = Removed {
            connections: connections.clone(),
            id,
        };
        tasks.spawn(async move {
            let _removed = removed;
            // Boxed: an idle connection should not carry the largest state of its handshake.
            let run = Box::pin(task.run(decide, on_upgrade));
            _ = kill.run_until_cancelled(run).await;
        });
        Ok(decision)
    }

    fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::SeqCst)
    }
}

/// Forgets a connection however its task ends, a panic included.
struct Removed {
    connections: Connections,
    id: ConnectionId,
}

impl Drop for Removed {
    fn drop(&mut self) {
        self.connections.remove(self.id);
    }
}

/// A connection's id and the seed of its request ids.
fn random() -> Result<(ConnectionId, u64), getrandom::Error> {
    let (mut id, mut seed) = ([0; 11], [0; 8]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut seed)?;
    Ok((ConnectionId::from_bytes(id), u64::from_le_bytes(seed)))
}

fn upgrade<B>(request: &Request<B>, peer: SocketAddr) -> Upgrade {
    let path_and_query = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (handshake::spelling(name.as_str()), value)
    });
    let method = request.method().as_str();
    Upgrade::new(
        method,
        path_and_query,
        headers.collect(),
        &peer.ip().to_canonical().to_string(),
    )
}

fn accepted(accept: &str, subprotocol: Option<&str>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let optional = [
        (SEC_WEBSOCKET_ACCEPT, Some(accept)),
        (SEC_WEBSOCKET_PROTOCOL, subprotocol),
    ];
    for (name, value) in optional {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn managed(reply: Reply) -> Response<ResponseBody> {
    let Reply {
        status,
        header,
        body,
    } = reply;
    let mut response = refused(&Refusal {
        status,
        headers: header.into_iter().collect(),
        body,
    });
    if response.body().size_hint().exact() == Some(0) {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

fn refused(refusal: &Refusal) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::from(refusal.body.clone()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &refusal.headers {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    response
}
