//! A client of `streamer.v1`: the one that users have, watched on the wire.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::line::{self, Sending};
use crate::{
    books::{ClientNo, Note, OfConnection, OfMessage, Said, Seq, Why},
    payload::{Body, read_id, streamer_id},
    scenario::Expect,
    world::{Kind, Ready, World},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use streamer_client::{
    Client,
    options::{Observer, Seen, Terms, Token},
    protocol::message::GatewayError,
    request::{Outcome, Output, Submitted},
};

/// Stands for the code of an error frame, which has none.
const GATEWAY: &str = "GATEWAY";

#[derive(Debug, Clone)]
pub(super) struct Streamer {
    client: Client,
}

impl Streamer {
    pub(super) async fn open(world: &Arc<World>, kind: &Kind, client: ClientNo) -> Option<Self> {
        // The client's task must not keep the world that owns it.
        let watched = Arc::downgrade(world);
        let observer = Observer::new(move |seen| {
            if let Some(world) = watched.upgrade() {
                see(&world, client, seen);
            }
        });
        let mut options = line::options(world, kind, client, observer)?;
        if let Some(first) = world.token(client) {
            options.token = Some(tokens(Arc::downgrade(world), client, first.ok()?));
        }
        match Client::connect(options).await {
            Ok(client) => Some(Self { client }),
            Err(error) => {
                tracing::debug!(%error, "a client did not connect");
                None
            }
        }
    }

    pub(super) async fn exchange(self, world: &World, ready: &Ready, sending: Sending) {
        let Body::Action { action, .. } = &ready.body else {
            return;
        };
        let known = world.known(sending.client, sending.seq);
        let payload = match ready.body.payload(known) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::debug!(error, "a payload cannot be rendered");
                return;
            }
        };
        let terms = Terms {
            id: Some(streamer_id(sending.client, sending.seq)),
            answer_within: Some(world.answer_within),
            ..Terms::default()
        };
        sending.tell(
            world,
            OfMessage::Sent {
                at: world.diary.now(),
            },
        );
        match self.client.submit(action, &payload, terms).await {
            Ok(Submitted::Answered { data, .. }) => ready.check(world, sending, data.get()),
            Ok(Submitted::Accepted(mut request)) => {
                if ready.message.expect == Expect::Acknowledgment {
                    return;
                }
                if let Ok(Outcome::Complete(Output::Inline(result))) = request.outcome().await {
                    ready.check(world, sending, result.get());
                }
            }
            // What the server said was seen on the wire; what it did not say is lost.
            Err(error) => tracing::debug!(%error, "a message was not answered"),
        }
    }

    pub(super) async fn cut(&self, offline: Duration) {
        self.client.cut_for(offline).await;
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }
}

/// A client's tokens: one, until half of its time is over.
fn tokens(world: Weak<World>, client: ClientNo, first: String) -> Token {
    let token = Arc::new(Mutex::new((first, Instant::now())));
    Token::from_fn(move || {
        let (world, token) = (Weak::clone(&world), Arc::clone(&token));
        async move {
            let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = world.upgrade().filter(|world| world.is_stale(token.1));
            if let Some(minted) = fresh.and_then(|world| world.token(client)) {
                *token = (minted?, Instant::now());
            }
            Ok(token.0.clone())
        }
    })
}

fn see(world: &World, client: ClientNo, seen: Seen<'_>) {
    let Seen::Text(text) = seen else {
        return line::of_connection(world, client, seen);
    };
    let at = world.diary.now();
    let Some((seq, said)) = read(client, text) else {
        let requests = unrecovered(text);
        if requests > 0 {
            let what = OfConnection::Unrecovered { at, requests };
            world.diary.note(Note::Connection { client, what });
        }
        return;
    };
    let what = OfMessage::Heard { at, said };
    world.diary.note(Note::Message { client, seq, what });
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    seq: Option<u64>,
    percentage: Option<f64>,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    fields: Vec<WireField<'a>>,
}

#[derive(Deserialize)]
struct WireField<'a> {
    #[serde(borrow, default)]
    pointer: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl WireError<'_> {
    fn why(&self) -> Why {
        let mut said = self.message.clone().into_owned();
        for field in &self.fields {
            said.push_str(&format!("; `{}` {}", field.pointer, field.message));
        }
        Why {
            code: Arc::from(&*self.code),
            said: said.into(),
        }
    }
}

/// What a text says of which message; none where it is about the client's own affairs.
fn read(client: ClientNo, text: &str) -> Option<(Option<Seq>, Said)> {
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
        return Some((None, of_gateway(text).unwrap_or(Said::Reply)));
    };
    let why = || wire.error.as_ref().map(WireError::why);
    let said = match (&*wire.kind, wire.seq) {
        ("response", _) => Said::Reply,
        ("acknowledgment", _) => Said::Acknowledged {
            duplicate: wire.duplicate,
        },
        ("progress", Some(seq)) => Said::Progress {
            seq,
            percentage: wire.percentage.unwrap_or_default(),
        },
        ("complete", Some(seq)) => Said::End {
            seq,
            complete: true,
            why: None,
        },
        ("cancelled", Some(seq)) => Said::End {
            seq,
            complete: false,
            why: None,
        },
        ("error", Some(seq)) => Said::End {
            seq,
            complete: false,
            why: why(),
        },
        ("error", None) => Said::Refused(why()?),
        _ => return None,
    };
    match wire.id.as_deref() {
        // The client's own questions have ids of another form.
        Some(id) => read_id(id).map(|(of, seq)| ((of == client).then_some(seq), said)),
        None => Some((None, said)),
    }
}

/// API Gateway's own error frame, which does not say of which message: the client sends again what it may mean.
fn of_gateway(text: &str) -> Option<Said> {
    let frame: GatewayError = serde_json::from_str(text).ok()?;
    Some(Said::Refused(Why {
        code: Arc::from(GATEWAY),
        said: frame.message.into(),
    }))
}

/// Entries of a resume's answer that are not recovered.
fn unrecovered(text: &str) -> u64 {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Resumed {
        requests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        recovered: Option<bool>,
        error: Option<serde::de::IgnoredAny>,
    }
    let data = serde_json::from_str::<Answer<'_>>(text)
        .ok()
        .and_then(|answer| answer.data);
    let resumed = data.and_then(|data| serde_json::from_str::<Resumed>(data.get()).ok());
    let entries = resumed.map(|resumed| resumed.requests).unwrap_or_default();
    let lost = entries
        .iter()
        .filter(|entry| entry.error.is_some() || entry.recovered == Some(false));
    u64::try_from(lost.count()).unwrap_or(u64::MAX)
}
