//! In: requests for one API. Out: upgrades and `@connections` calls, answered by its gateway unless a fault does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use lift_gateway::session::management::{self, Call, Done, Operation};
use lift_gateway::{Gateway, PostError, ResponseBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::BoxError;

use crate::access::Access;
use crate::answers;
use crate::door::plain;
use crate::faults::Fault;
use crate::faulty::Faulty;
use crate::feed::Entry;

/// Posts that wait at a time; what is over it waits for nothing.
const LATE_POSTS_MAX: usize = 256;

/// One API behind its port.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) gateway: Gateway,
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) faulty: Faulty,
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

impl Api {
    /// Takes no connection any more, and waits until those there are have ended.
    pub(crate) async fn drain(&self) {
        self.gateway.drain(self.gateway.rules().limits.drain).await;
        self.late.end().await;
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        let (method, path) = (request.method().as_str(), request.uri().path());
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
        let path = request.uri().path();
        let wrong = answers::wrong_path(&self.faulty.api, self.gateway.rules(), path);
        let response = self.gateway.handle(request, peer).await;
        // What is accepted the gateway's observer has seen.
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.faulty.feed.put(Entry::Connected {
                api: self.faulty.api.to_string(),
                connection: None,
                status: response.status().as_u16(),
            });
        }
        if let Some(wrong) = wrong {
            self.faulty.feed.notice(wrong);
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
        self.faulty.feed.put(Entry::Management {
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
        let (gone, gone_delivered, wait) = self.faulty.faults.with(|faults| {
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
