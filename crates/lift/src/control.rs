//! The actions that every app has: `ping` and `request.*` come in, what is known of requests goes out.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::app::Inner;
use crate::clock::Timestamp;
use crate::error::{Code, Error, StoreError, chain};
use crate::extract::payload;
use crate::id::{ConnectionId, Owner, RequestId};
use crate::json::Json;
use crate::message::Message;
use crate::outbound::{PostError, REPLAY_TIMEOUT, ROOM_TIMEOUT};
use crate::request::{Audience, Follow, Reply, Request, logged};
use crate::task::announce::{self, RequestView};
use crate::task::record::{Key, Record, State};
use crate::task::store::ListQuery;
use crate::task::transition::{Applied, Transition};
use crate::task::worker::STORE_RETRY;

const LIST_LIMIT: usize = 20;
const LIST_LIMIT_MAX: usize = 100;
const RESUME_MAX: usize = 100;

/// Names of the control actions.
pub(crate) const NAMES: [&str; 5] = [
    "ping",
    "request.get",
    "request.list",
    "request.cancel",
    "request.resume",
];

/// A control action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Ping,
    Get,
    List,
    Cancel,
    Resume,
}

pub(crate) fn parse(action: &str) -> Option<Control> {
    Some(match action {
        "ping" => Control::Ping,
        "request.get" => Control::Get,
        "request.list" => Control::List,
        "request.cancel" => Control::Cancel,
        "request.resume" => Control::Resume,
        _ => return None,
    })
}

/// Whether apps cannot use the name: it belongs to this version of the protocol or a later one.
pub(crate) fn is_reserved(name: &str) -> bool {
    let families = ["request.", "channel.", "presence."];
    name == "ping" || families.iter().any(|family| name.starts_with(family))
}

#[derive(Debug, Deserialize)]
struct One {
    request_id: String,
}

#[derive(Debug, Deserialize)]
struct List {
    state: Option<State>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resume {
    requests: Vec<ResumeOne>,
}

#[derive(Debug, Deserialize)]
struct ResumeOne {
    request_id: String,
    after_seq: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    requests: Vec<RequestView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Cancelling {
    request_id: RequestId,
    state: State,
    cancel_requested: bool,
}

#[derive(Debug, Serialize)]
struct Resuming {
    requests: Vec<ResumingOne>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ResumingOne {
    Known {
        request_id: RequestId,
        state: State,
        recovered: bool,
    },
    Unknown {
        request_id: String,
        error: Box<crate::error::ErrorBody>,
    },
}

fn typed<T: DeserializeOwned>(request: &Request) -> Result<T, Error> {
    payload::parse(&request.envelope.payload)
}

fn not_found() -> Error {
    Error::new(Code::NotFound, "there is no such request")
}

fn response(request: &Request, data: &impl Serialize) -> Result<Reply, Error> {
    let data = Json::of(data).map_err(Error::internal)?;
    let id = request.envelope.id.clone();
    Ok(Reply::new(Message::Response {
        request_id: None,
        id,
        data,
    }))
}

/// Ties a cursor to its owner and its filter, so that it means nothing elsewhere.
fn cursor(owner: &Owner, state: Option<State>, last: RequestId) -> String {
    let bound = Sha256::digest(format!("{owner} {state:?} {last}").as_bytes());
    let check: String = bound
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{last}.{check}")
}

/// Reads what was promised to be told, again while the store is away.
async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    read: impl Fn() -> F,
) -> Result<T, StoreError> {
    let deadline = Instant::now() + ROOM_TIMEOUT;
    loop {
        let tried_at = Instant::now();
        match read().await {
            Err(StoreError::Unavailable(_)) if tried_at < deadline => {
                sleep(STORE_RETRY).await;
            }
            read => return read,
        }
    }
}

impl Inner {
    pub(crate) async fn control(
        &self,
        control: Control,
        request: &Request,
    ) -> Result<Reply, Error> {
        match control {
            Control::Ping => {
                let server_time = self.backends.clock.now();
                let id = request.envelope.id.clone();
                Ok(Reply::new(Message::Pong { id, server_time }))
            }
            Control::Get => {
                let One { request_id } = typed(request)?;
                let owner = &request.connection.identity.owner;
                response(request, &self.get(owner, &request_id).await?)
            }
            Control::List => self.list(request).await,
            Control::Cancel => self.cancel(request).await,
            Control::Resume => self.resume(request).await,
        }
    }

    pub(crate) async fn get(&self, owner: &Owner, id: &str) -> Result<Json, Error> {
        let id = RequestId::from_str(id).map_err(|_malformed| not_found())?;
        let key = Key {
            owner: owner.clone(),
            id,
        };
        let record = self.backends.tasks.get(&key).await?.ok_or_else(not_found)?;
        let (tasks, results) = (&*self.backends.tasks, &*self.backends.results);
        let now = self.backends.clock.now();
        let view = RequestView::full(tasks, results, &self.app.limits, &record, now).await?;
        Json::of(&view).map_err(Error::internal)
    }

    async fn list(&self, request: &Request) -> Result<Reply, Error> {
        let owner = &request.connection.identity.owner;
        let List {
            state,
            limit,
            cursor: given,
        } = typed(request)?;
        let limit = limit.unwrap_or(LIST_LIMIT);
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("/payload/limit", "must be 1 to 100"));
        }
        let before = given
            .map(|given| {
                let last = given
                    .split('.')
                    .next()
                    .and_then(|id| RequestId::from_str(id).ok());
                let last = last.filter(|last| cursor(owner, state, *last) == given);
                last.ok_or_else(|| {
                    Error::invalid("/payload/cursor", "is not a cursor of this list")
                })
            })
            .transpose()?;
        let page = self
            .backends
            .tasks
            .list(
                owner,
                &ListQuery {
                    state,
                    before,
                    limit,
                },
            )
            .await?;
        let requests = page.records.iter().map(RequestView::brief).collect();
        let cursor = page.next.map(|last| cursor(owner, state, last));
        response(request, &Listed { requests, cursor })
    }

    async fn cancel(&self, request: &Request) -> Result<Reply, Error> {
        let One { request_id } = typed(request)?;
        let id = RequestId::from_str(&request_id).map_err(|_malformed| not_found())?;
        let key = Key {
            owner: request.connection.identity.owner.clone(),
            id,
        };
        let now = self.backends.clock.now();
        let hold = self.backends.outbound.hold(&request.connection.id);
        let (record, cancel_requested) = match self
            .backends
            .tasks
            .apply(&key, Transition::Cancel, now)
            .await?
        {
            Applied::Done(record) => (record, true),
            Applied::Refused(_, record) => (record, false),
            Applied::Missing => return Err(not_found()),
        };
        self.running.poke(&key);
        let state = record.state;
        let mut reply = response(
            request,
            &Cancelling {
                request_id: id,
                state,
                cancel_requested,
            },
        )?;
        // Told again where it was cancelled before: the answer to that write may have been lost.
        if state == State::Cancelled {
            reply.follow.push(Follow {
                key,
                after_seq: 0,
                audience: Audience::Attached,
            });
        }
        reply.hold = hold;
        Ok(reply)
    }

    async fn resume(&self, request: &Request) -> Result<Reply, Error> {
        let Resume { requests } = typed(request)?;
        if !(1..=RESUME_MAX).contains(&requests.len()) {
            return Err(Error::invalid(
                "/payload/requests",
                "must have 1 to 100 entries",
            ));
        }
        let following = self
            .followed
            .enter(&request.connection.id, requests.len())?;
        let hold = self.backends.outbound.hold(&request.connection.id);
        let mut follow: Vec<Follow> = Vec::new();
        let mut resuming = Vec::with_capacity(requests.len());
        for ResumeOne {
            request_id,
            after_seq,
        } in requests
        {
            let unknown = |error: Error| ResumingOne::Unknown {
                request_id: request_id.clone(),
                error: Box::new(error.into_body()),
            };
            resuming.push(match self.attach(request, &request_id).await {
                Ok(Some(record)) => {
                    let (key, state) = (record.key.clone(), record.state);
                    let after_seq = after_seq.unwrap_or(0);
                    let again = Follow {
                        key,
                        after_seq,
                        audience: Audience::ThisConnection,
                    };
                    if !follow.contains(&again) {
                        follow.push(again);
                    }
                    ResumingOne::Known {
                        request_id: record.key.id,
                        state,
                        recovered: true,
                    }
                }
                Ok(None) => unknown(not_found()),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "request not resumed");
                    unknown(logged(error.into(), Some(request.id)))
                }
            });
        }
        let mut reply = response(request, &Resuming { requests: resuming })?;
        reply.follow = follow;
        reply.hold = hold;
        reply.following = following;
        Ok(reply)
    }

    async fn attach(&self, request: &Request, id: &str) -> Result<Option<Record>, StoreError> {
        let Ok(id) = RequestId::from_str(id) else {
            return Ok(None);
        };
        let key = Key {
            owner: request.connection.identity.owner.clone(),
            id,
        };
        let attach = Transition::Attach {
            connection: request.connection.id.clone(),
        };
        Ok(
            match self
                .backends
                .tasks
                .apply(&key, attach, self.backends.clock.now())
                .await?
            {
                Applied::Done(record) | Applied::Refused(_, record) => Some(*record),
                Applied::Missing => None,
            },
        )
    }

    /// Tells again what is known about requests, each read from the store when its turn comes.
    pub(crate) async fn follow(&self, connection: &ConnectionId, follow: Vec<Follow>) {
        for Follow {
            key,
            after_seq,
            audience,
        } in follow
        {
            let record = match patiently(|| self.backends.tasks.get(&key)).await {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(request_id = %key.id, error, "replay not read");
                    continue;
                }
            };
            match audience {
                Audience::Attached => self.ended(&record).await,
                Audience::ThisConnection => {
                    if let Err(error) = self.replay(connection, &record, after_seq).await {
                        if !matches!(error, PostError::Gone) {
                            tracing::info!(request_id = %key.id, %connection, %error, "a replay waits for a resume");
                        }
                        return;
                    }
                }
            }
        }
    }

    async fn replay(
        &self,
        connection: &ConnectionId,
        record: &Record,
        after_seq: u64,
    ) -> Result<(), PostError> {
        let message = match &record.terminal {
            Some(terminal) if terminal.seq <= after_seq => return Ok(()),
            Some(_) => self.terminal_message(record).await,
            None => record
                .progress
                .as_ref()
                .filter(|progress| progress.seq > after_seq)
                .map(|progress| announce::progress(record, progress)),
        };
        match message {
            Some(message) => {
                self.backends
                    .outbound
                    .post_when_room(connection, message.to_bytes(), REPLAY_TIMEOUT)
                    .await
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn terminal_message(&self, record: &Record) -> Option<Message> {
        let terminal = record.terminal.as_ref()?;
        let (tasks, results) = (&*self.backends.tasks, &*self.backends.results);
        let now: Timestamp = self.backends.clock.now();
        let limits = &self.app.limits;
        let made = patiently(|| announce::terminal(tasks, results, limits, record, terminal, now));
        match made.await {
            Ok(message) => Some(message),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(request_id = %record.key.id, error, "terminal message not made");
                None
            }
        }
    }
}
