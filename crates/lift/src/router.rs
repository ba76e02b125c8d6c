//! From a message to its action: a request comes in, the answer goes out. Never fails.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::Service;

use crate::action::Action;
use crate::app::Inner;
use crate::canonical;
use crate::clock::Timestamp;
use crate::control::{self, Control};
use crate::error::{Code, Error};
use crate::event::Connection;
use crate::extract::Context;
use crate::identity::Identity;
use crate::message::Message;
use crate::rate::Scope;
use crate::request::{Audience, Follow, Reply, Request};
use crate::task::handle::Task;
use crate::task::record::{Idempotency, Key, NewTask, Record};
use crate::task::store::Put;
use crate::task::transition::{Applied, Transition};

/// When one who was refused for the server's load should come back.
const SHED_RETRY: Duration = Duration::from_secs(1);

/// The innermost service of an app.
#[derive(Clone)]
pub(crate) struct Router(Arc<Inner>);

impl Router {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }
}

impl Service<Request> for Router {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let inner = Arc::clone(&self.0);
        async move {
            let answered = match control::parse(&request.envelope.action) {
                // What keeps a connection alive costs next to nothing, and on AWS nobody would count it.
                Some(control @ Control::Ping) => inner.control(control, &request).await,
                control => match inner.room(&request.connection, request.received_at).await {
                    Ok(()) => match control {
                        Some(control) => inner.control(control, &request).await,
                        None => inner.act(&request).await,
                    },
                    Err(full) => Err(full),
                },
            };
            let reply = answered.unwrap_or_else(|error| Reply::error(&request, error));
            Ok(fitting(&request, reply, inner.app.limits.answer_bytes_max))
        }
        .boxed()
    }
}

impl Inner {
    async fn act(&self, request: &Request) -> Result<Reply, Error> {
        let envelope = &request.envelope;
        let identity = &request.connection.identity;
        let Some(action) = self.app.actions.get(&envelope.action) else {
            let callable = self
                .app
                .actions
                .iter()
                .filter(|(name, action)| permitted(identity, name, action).is_ok());
            let callable = callable.map(|(name, _)| name.as_str());
            let callable = callable.chain(control::NAMES);
            let suggestion = nearest(&envelope.action, callable);
            let error = Error::new(Code::UnknownAction, "there is no action of this name");
            return Err(error.with_suggestion(suggestion));
        };
        permitted(identity, &envelope.action, action)?;
        if self.backends.load.is_shed() {
            let error = Error::new(Code::Overloaded, "the server has too much to do");
            return Err(error.retry_after(SHED_RETRY));
        }
        let timeout = envelope.timeout.unwrap_or(self.app.limits.request_timeout);
        if timeout > self.app.limits.request_timeout_max {
            let cap = self.app.limits.request_timeout_max.as_millis();
            return Err(Error::invalid(
                "/timeout_ms",
                format!("is over the cap of {cap} ms"),
            ));
        }
        if let Some(schema) = &action.schema {
            schema.check(&envelope.payload)?;
        }
        let context = self.context(request);
        (action.handler.accepts)(&context)?;
        if let Some(before) = &action.before
            && let Err(refusal) = (before.call)(context.clone()).await
        {
            return self.refuse_unless_repeated(request, refusal).await;
        }
        if action.deferred(&envelope.payload, self.app.limits.defer_above) {
            return self.defer(request, timeout, action.start_after).await;
        }
        let running = (action.handler.call)(context);
        let ended = match envelope.timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, running)
                    .await
                    .unwrap_or_else(|elapsed| {
                        let late = Error::new(Code::Timeout, "the request's deadline passed");
                        Err(late.with_cause(elapsed))
                    })
            }
            None => running.await,
        };
        let id = envelope.id.clone();
        Ok(match ended {
            Ok(data) => Reply::new(Message::Response {
                request_id: Some(request.id),
                id,
                data,
            }),
            Err(error) => Reply::failed(request.id, id, error),
        })
    }

    /// Whether the connection, its user and its tenant may send one more message now: whatever it
    /// says, it costs to read and to answer.
    pub(crate) async fn room(&self, connection: &Connection, now: Timestamp) -> Result<(), Error> {
        let limits = &self.app.limits;
        let owner = &connection.identity.owner;
        let scopes = [
            limits
                .connection_rate
                .map(|rate| (Scope::Connection(connection.id.clone()), rate)),
            limits
                .user_rate
                .map(|rate| (Scope::User(owner.clone()), rate)),
            limits
                .tenant_rate
                .map(|rate| (Scope::Tenant(owner.tenant.clone()), rate)),
        ];
        let scopes: Vec<_> = scopes.into_iter().flatten().collect();
        if scopes.is_empty() {
            return Ok(());
        }
        match self.backends.rates.take(&scopes, now).await? {
            Ok(()) => Ok(()),
            Err(wait) => {
                let error = Error::new(Code::RateLimited, "too many messages");
                // Rounded up: a client that waits as long as it was told is let through.
                Err(error.retry_after(wait + Duration::from_millis(1)))
            }
        }
    }

    fn context(&self, request: &Request) -> Context {
        Context {
            request_id: request.id,
            owner: request.connection.identity.owner.clone(),
            action: request.envelope.action.clone(),
            payload: request.envelope.payload.clone(),
            metadata: request.envelope.metadata.clone(),
            received_at: request.received_at,
            connection: Some(Arc::clone(&request.connection)),
            task: Task::unattended(),
            states: Arc::clone(&self.app.states),
            connections: self.backends.connections.clone(),
            outbound: self.backends.outbound.clone(),
        }
    }

    /// Makes a request durable, then acknowledges it.
    async fn defer(
        &self,
        request: &Request,
        timeout: Duration,
        start_after: Duration,
    ) -> Result<Reply, Error> {
        if self.draining.is_cancelled() {
            let error = Error::new(Code::Overloaded, "the server is going away");
            return Err(error.retry_after(Duration::from_secs(1)));
        }
        let envelope = &request.envelope;
        let owner = request.connection.identity.owner.clone();
        let new = NewTask {
            key: Key {
                owner: owner.clone(),
                id: request.id,
            },
            client_id: envelope.id.clone(),
            action: envelope.action.clone(),
            metadata: envelope.metadata.clone(),
            input: envelope.payload.clone(),
            connection: request.connection.id.clone(),
            idempotency: idempotency(request),
            created_at: request.received_at,
            start_after,
            timeout,
            keep: self.app.limits.keep,
            queued_max: self.app.limits.queued_per_owner_max,
        };
        let hold = self.backends.outbound.hold(&request.connection.id);
        let mut reply = match self.backends.tasks.put(new).await? {
            Put::Stored(record) => {
                self.woken.notify_one();
                Reply::new(acknowledgment(&record, envelope.id.clone(), false))
            }
            Put::Duplicate(id) => self.attach_duplicate(request, Key { owner, id }).await?,
            Put::Mismatch => return Err(mismatch()),
            Put::Full => {
                let error = Error::new(Code::Overloaded, "too many of your requests are waiting");
                return Err(error.retry_after(Duration::from_secs(5)));
            }
        };
        reply.hold = hold;
        Ok(reply)
    }

    /// A request that was accepted may itself be why the same message is refused now.
    async fn refuse_unless_repeated(
        &self,
        request: &Request,
        refusal: Error,
    ) -> Result<Reply, Error> {
        let Some(idempotency) = idempotency(request) else {
            return Err(refusal);
        };
        let owner = &request.connection.identity.owner;
        let (action, now) = (&request.envelope.action, request.received_at);
        match self
            .backends
            .tasks
            .find(owner, action, &idempotency, now)
            .await?
        {
            Some(Put::Duplicate(id)) => {
                let hold = self.backends.outbound.hold(&request.connection.id);
                let key = Key {
                    owner: owner.clone(),
                    id,
                };
                let mut reply = self.attach_duplicate(request, key).await?;
                reply.hold = hold;
                Ok(reply)
            }
            Some(Put::Mismatch) => Err(mismatch()),
            Some(Put::Stored(_) | Put::Full) | None => Err(refusal),
        }
    }

    async fn attach_duplicate(&self, request: &Request, key: Key) -> Result<Reply, Error> {
        let connection = request.connection.id.clone();
        let following = self.followed.enter(&connection, 1)?;
        let attach = Transition::Attach { connection };
        let record = match self
            .backends
            .tasks
            .apply(&key, attach, request.received_at)
            .await?
        {
            Applied::Done(record) | Applied::Refused(_, record) => record,
            Applied::Missing => {
                return Err(Error::internal("an idempotency key outlived its request"));
            }
        };
        let mut reply = Reply::new(acknowledgment(&record, request.envelope.id.clone(), true));
        reply.follow.push(Follow {
            key,
            after_seq: 0,
            audience: Audience::ThisConnection,
        });
        reply.following = following;
        Ok(reply)
    }
}

fn permitted(identity: &Identity, name: &str, action: &Action) -> Result<(), Error> {
    if !identity.may_call(name) {
        let message = "the token does not permit this action";
        return Err(Error::new(Code::Forbidden, message));
    }
    match action.grant.filter(|grant| !identity.holds(grant)) {
        None => Ok(()),
        Some(grant) => {
            let message = format!("the token does not name the permission `{grant}`");
            Err(Error::new(Code::Forbidden, message))
        }
    }
}

fn idempotency(request: &Request) -> Option<Idempotency> {
    let key = request.envelope.idempotency_key.clone()?;
    Some(Idempotency {
        key,
        payload_hash: canonical::hash(&request.envelope.payload),
    })
}

fn mismatch() -> Error {
    Error::new(
        Code::IdempotencyConflict,
        "the idempotency key was used with another payload",
    )
}

/// The reply, or the error that it does not fit a message of so many bytes. Measured whole where
/// its parts do not show that it fits.
fn fitting(request: &Request, reply: Reply, bytes_max: usize) -> Reply {
    const ENVELOPE_BYTES_MAX: usize = 1024;
    let fits = match &reply.message {
        Message::Response { data, .. } if data.len_bytes() + ENVELOPE_BYTES_MAX <= bytes_max => {
            true
        }
        Message::Response { .. } | Message::Error { .. } => {
            reply.message.to_bytes().len() <= bytes_max
        }
        _ => true,
    };
    if fits {
        return reply;
    }
    let error = Error::new(Code::PayloadTooLarge, "the answer does not fit a message");
    Reply::error(request, error)
}

fn acknowledgment(record: &Record, id: Option<String>, duplicate: bool) -> Message {
    Message::Acknowledgment {
        request_id: record.key.id,
        id,
        status: record.state,
        duplicate,
    }
}

/// The nearest of some names, if one is at most two edits away.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    const EDITS_MAX: usize = 2;
    let near: BTreeMap<usize, &str> = names
        .map(|known| (strsim::osa_distance(name, known), known))
        .collect();
    let (edits, known) = near.first_key_value()?;
    (*edits <= EDITS_MAX && *edits < name.len()).then(|| (*known).to_owned())
}
