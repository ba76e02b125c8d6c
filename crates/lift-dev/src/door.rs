//! In: connections to one API's port. Out: upgrades, `@connections` calls, invocations and control, each to who answers it.
//!
//! A port speaks TLS and plain HTTP, told apart by the first byte, because functions put `https://`
//! and people put `ws://` before the one authority that events name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use lift_gateway::listener::{self, Accepted, HttpLimits};
use lift_gateway::session::management::{self, Call, Done, Operation};
use lift_gateway::{Gateway, PostError, ResponseBody};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use crate::access::Access;
use crate::authority::Authority;
use crate::faults::{Fault, Faults, Wanted};
use crate::faulty::Faulty;
use crate::feed::{Entry, Feed};
use crate::lambda::Functions;

/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Where faults are seen and set while everything runs.
const FAULTS_PATH: &str = "/_lift/faults";
/// Where Lambda's `Invoke` is.
const INVOKE_PATH: &str = "/2015-03-31/functions/";
/// Posts that wait at a time; what is over it waits for nothing.
const LATE_POSTS_MAX: usize = 256;
/// Most bytes of a set of faults.
const CONTROL_BYTES_MAX: usize = 16 * 1024;

/// One API's port.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) gateway: Gateway,
    pub(crate) functions: Functions,
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) faulty: Faulty,
    pub(crate) feed: Feed,
    pub(crate) late: Late,
}

/// Posts that a fault has wait.
#[derive(Clone, Debug)]
pub(crate) struct Late {
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    /// Nobody is there any more whom they could reach.
    ended: CancellationToken,
}

impl Default for Late {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(LATE_POSTS_MAX)),
            ended: CancellationToken::new(),
        }
    }
}

impl Late {
    async fn end(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }
}

impl Door {
    /// Serves the port until the shutdown, then drains the gateway.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        authority: Authority,
        shutdown: CancellationToken,
    ) {
        let drain = self.gateway.rules().limits.drain;
        let gateway = self.gateway.clone();
        let drained = async {
            shutdown.cancelled().await;
            gateway.drain(drain).await;
            self.late.end().await;
        };
        let http = HttpLimits::default();
        listener::accept(listener, http, drained, |accepted| {
            let (door, authority) = (self.clone(), authority.clone());
            async move { door.connection(accepted, &authority).await }
        })
        .await;
    }

    async fn connection(self, accepted: Accepted, authority: &Authority) {
        let Accepted {
            stream,
            peer,
            visit,
        } = accepted;
        let opened = visit.before_http(async {
            if !begins_with_tls(&stream).await? {
                return Ok(Opened::Plain(stream));
            }
            let stream = authority.acceptor().accept(stream).await?;
            Ok::<_, std::io::Error>(Opened::Tls(Box::new(stream)))
        });
        match opened.await {
            Some(Ok(Opened::Plain(stream))) => {
                visit
                    .http(stream, |request| self.answer(request, peer))
                    .await;
            }
            Some(Ok(Opened::Tls(stream))) => {
                visit
                    .http(stream, |request| self.answer(request, peer))
                    .await;
            }
            Some(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
            None => tracing::debug!(%peer, "nothing came"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<ResponseBody> {
        let path = request.uri().path();
        if path == FAULTS_PATH {
            return self.control(request, peer).await;
        }
        if path.starts_with(INVOKE_PATH) {
            let answer = self.functions.handle(request).await;
            let forbidden = || plain(StatusCode::FORBIDDEN, r#"{"message":"Forbidden"}"#);
            return answer.unwrap_or_else(forbidden);
        }
        let method = request.method().as_str();
        match management::parse(self.gateway.rules(), method, path) {
            None | Some(Err(_)) => self.upgrade(request, peer).await,
            Some(Ok(call)) => self.manage(&call, request, peer).await,
        }
    }

    async fn upgrade(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        let response = self.gateway.handle(request, peer).await;
        // What is accepted the gateway's observer has seen.
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.feed.put(Entry::Connected {
                api: self.faulty.api.to_string(),
                connection: None,
                status: response.status().as_u16(),
            });
        }
        response
    }

    async fn manage(
        &self,
        call: &Call,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        let method = request.method().to_string();
        let length = request.body().size_hint().exact().unwrap_or_default();
        let response = match &self.access {
            None => self.managed(call, request, peer).await,
            Some(access) => {
                let (head, body) = request.into_parts();
                let limits = &self.gateway.rules().limits;
                let body = Limited::new(body, limits.message_bytes_max).collect();
                match tokio::time::timeout(limits.handshake, body).await {
                    Ok(Ok(body)) => {
                        let body = body.to_bytes();
                        match access.check(&head, &body, call, self.gateway.rules()) {
                            Ok(()) => {
                                let request = Request::from_parts(head, Full::new(body));
                                self.managed(call, request, peer).await
                            }
                            Err(refused) => *refused,
                        }
                    }
                    Ok(Err(_)) => reply(call, Err(PostError::PayloadTooLarge)),
                    Err(_late) => plain(StatusCode::REQUEST_TIMEOUT, ""),
                }
            }
        };
        self.feed.put(Entry::Management {
            api: self.faulty.api.to_string(),
            method,
            connection: call.connection_id.clone(),
            bytes: length,
            status: response.status().as_u16(),
        });
        response
    }

    /// Lets the gateway answer a call, unless a fault does.
    async fn managed<B>(
        &self,
        call: &Call,
        request: Request<B>,
        peer: SocketAddr,
    ) -> Response<ResponseBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        if call.operation != Operation::Post {
            return self.gateway.handle(request, peer).await;
        }
        let (gone, gone_delivered, wait) = self.faulty.with(|faults| {
            (
                faults.strikes(Fault::Gone),
                faults.strikes(Fault::GoneDelivered),
                faults.time(Fault::AnswerFirst),
            )
        });
        let (connection, at) = (&call.connection_id, "@connections");
        if gone {
            self.faulty.say(Fault::Gone, connection, at);
            return reply(call, Err(PostError::Gone));
        }
        let response = match wait.and_then(|wait| Some((wait, self.late.room()?))) {
            Some((wait, room)) => {
                self.faulty.say(Fault::AnswerFirst, connection, at);
                self.post_later(call, request, (wait, room)).await
            }
            None => self.gateway.handle(request, peer).await,
        };
        if gone_delivered && response.status().is_success() {
            self.faulty.say(Fault::GoneDelivered, connection, at);
            return reply(call, Err(PostError::Gone));
        }
        response
    }

    /// Says that a post is delivered, and delivers it when its time has passed: the answer of a function
    /// that waits for its posts comes before them, too.
    async fn post_later<B>(
        &self,
        call: &Call,
        request: Request<B>,
        (wait, room): (Duration, OwnedSemaphorePermit),
    ) -> Response<ResponseBody>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let limits = &self.gateway.rules().limits;
        let body = Limited::new(request.into_body(), limits.message_bytes_max).collect();
        let body = match tokio::time::timeout(limits.handshake, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return reply(call, Err(PostError::PayloadTooLarge)),
            Err(_late) => return plain(StatusCode::REQUEST_TIMEOUT, ""),
        };
        let connections = self.gateway.connections();
        let there = connections.get(&call.connection_id);
        if there.is_ok() {
            let connection = call.connection_id.clone();
            let ended = self.late.ended.clone();
            self.late.tasks.spawn(async move {
                let waited = ended.run_until_cancelled(tokio::time::sleep(wait)).await;
                // Who is gone meanwhile gets nothing, as after any post.
                _ = waited.map(|()| connections.post(&connection, body));
                drop(room);
            });
        }
        reply(call, there.map(|_| Done::Posted))
    }

    /// `GET` shows the faults in force; `PUT` replaces them, from this machine alone.
    async fn control(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        if !peer.ip().to_canonical().is_loopback() {
            return plain(StatusCode::FORBIDDEN, r#"{"message":"Forbidden"}"#);
        }
        match *request.method() {
            Method::GET => {}
            Method::PUT => {
                let limits = &self.gateway.rules().limits;
                let body = Limited::new(request.into_body(), CONTROL_BYTES_MAX).collect();
                let Ok(Ok(body)) = tokio::time::timeout(limits.handshake, body).await else {
                    return plain(StatusCode::BAD_REQUEST, r#"{"message":"no body came"}"#);
                };
                match read_faults(&body.to_bytes()) {
                    Ok(faults) => {
                        let delay = faults.time(Fault::ColdStart).unwrap_or_default();
                        self.faulty.with(|now| now.replace(faults));
                        self.functions.delay_starts(delay);
                    }
                    Err(why) => {
                        let message = serde_json::json!({ "message": why });
                        return plain(StatusCode::BAD_REQUEST, &message.to_string());
                    }
                }
            }
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
        let (seed, faults) = self.faulty.with(|faults| (faults.seed(), faults.wanted()));
        let body = serde_json::json!({ "seed": seed, "faults": faults });
        plain(StatusCode::OK, &body.to_string())
    }
}

enum Opened {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

async fn begins_with_tls(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    Ok(first == [TLS_HANDSHAKE])
}

/// A set of faults as `PUT` takes it: `{"seed":7,"faults":["throttle=5%"]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    seed: u64,
    faults: Vec<String>,
}

fn read_faults(body: &Bytes) -> Result<Faults, String> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| format!(r#"expected {{"seed":7,"faults":["throttle=5%"]}}: {error}"#))?;
    let wanted = asked.faults.iter().map(|text| text.parse::<Wanted>());
    let wanted: Vec<_> = wanted
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if let Some(late) = wanted.iter().find(|wanted| wanted.fault().is_of_streams()) {
        let name = late.fault().name();
        return Err(format!(
            "`{name}` is set at the start alone: `lift dev --fault {late}`"
        ));
    }
    Ok(Faults::new(asked.seed, wanted))
}

fn reply(call: &Call, outcome: Result<Done, PostError>) -> Response<ResponseBody> {
    let reply = call.reply(outcome);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = plain(status, &reply.body);
    if let Some((name, value)) = reply.header {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(crate) fn plain(status: StatusCode, body: &str) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    if !body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}
