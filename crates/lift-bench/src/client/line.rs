//! Messages to send come in, whichever protocol the server speaks; they are over when what they expect was heard.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use streamer_client::options::{Observer, Options, Seen};
use tokio::time::{sleep_until, timeout};

use super::{plain::Plain, streamer::Streamer};
use crate::{
    books::{Awaited, ClientNo, Note, OfConnection, OfMessage, Place, Seq},
    scenario::{Expect, Protocol},
    world::{Kind, Ready, World},
};

/// How long a connection may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A message under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    pub(super) client: ClientNo,
    pub(super) seq: Seq,
    pub(super) due: Instant,
    pub(super) place: Place,
}

/// A virtual client's way to the server. Clones share it.
#[derive(Debug, Clone)]
pub(super) enum Line {
    Streamer(Streamer),
    Plain(Arc<Plain>),
}

impl Line {
    /// Connects, in one attempt.
    pub(super) async fn open(world: &Arc<World>, kind: &Kind, client: ClientNo) -> Option<Self> {
        let opening = async {
            match kind.speaks {
                Protocol::Streamer => Streamer::open(world, kind, client)
                    .await
                    .map(Self::Streamer),
                Protocol::Plain => {
                    let plain = Plain::open(world, kind, client).await?;
                    Some(Self::Plain(Arc::new(plain)))
                }
            }
        };
        let opened = timeout(world.connect_within, opening).await;
        opened.unwrap_or_else(|_late| {
            of_connection(world, client, Seen::Unanswered);
            None
        })
    }

    /// Sends a message, and waits for what it expects as long as the run waits for anything.
    pub(super) async fn exchange(self, world: &World, ready: &Ready, sending: Sending) {
        match self {
            Self::Streamer(streamer) => streamer.exchange(world, ready, sending).await,
            Self::Plain(plain) => plain.exchange(world, ready, sending).await,
        }
    }

    /// Loses the connection without a close frame, and comes back.
    pub(super) async fn cut(
        self,
        world: &Arc<World>,
        kind: &Kind,
        client: ClientNo,
        offline: Duration,
    ) -> Option<Self> {
        match &self {
            Self::Streamer(streamer) => {
                streamer.cut(offline).await;
                Some(self)
            }
            Self::Plain(plain) => {
                let back = Instant::now() + offline;
                plain.cut();
                // Its loss is told before the next is opened.
                let _ = timeout(CLOSE_WITHIN, plain.ended().cancelled()).await;
                drop(self);
                sleep_until(back.into()).await;
                Self::open(world, kind, client).await
            }
        }
    }

    /// Closes with a close frame.
    pub(super) async fn close(self) {
        let closed = async {
            match self {
                Self::Streamer(streamer) => streamer.close().await,
                Self::Plain(plain) => {
                    let ended = plain.ended();
                    drop(plain);
                    ended.cancelled().await;
                }
            }
        };
        // A server that does not answer the close frame is left alone.
        let _ = timeout(CLOSE_WITHIN, closed).await;
    }

    /// Whether it has ended, and is not opened again.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Streamer(_) => false,
            Self::Plain(plain) => plain.is_gone(),
        }
    }
}

/// What every connection of a client is made with.
pub(super) fn options(
    world: &World,
    kind: &Kind,
    client: ClientNo,
    observer: Observer,
) -> Option<Options> {
    let options = kind.opening.options(world.known(client, 0));
    let options = options.inspect_err(|error| tracing::debug!(error, "a client cannot connect"));
    let mut options = options
        .ok()?
        .patience(Duration::ZERO)
        .answer_within(world.answer_within)
        .observer(observer);
    let sources = u64::try_from(world.sources.len()).unwrap_or_default();
    if sources > 0 {
        let place = usize::try_from(client % sources).unwrap_or_default();
        options.from = world.sources.get(place).copied();
    }
    Some(options)
}

/// Tells the diary what the wire says of a client's connections.
pub(super) fn of_connection(world: &World, client: ClientNo, seen: Seen<'_>) {
    let at = world.diary.now();
    let what = match seen {
        Seen::Opened => OfConnection::Opened { at },
        Seen::Answered(status) => OfConnection::NotOpened {
            at,
            status: Some(status),
        },
        Seen::Unanswered => OfConnection::NotOpened { at, status: None },
        Seen::Lost(code) => OfConnection::Lost { at, code },
        _ => return,
    };
    world.diary.note(Note::Connection { client, what });
}

impl Ready {
    pub(super) fn awaited(&self) -> Awaited {
        match self.message.expect {
            Expect::Nothing => Awaited::Nothing,
            Expect::Acknowledgment => Awaited::Acknowledgment,
            Expect::Answer | Expect::Contains(_) | Expect::Json(_) => Awaited::Answer,
        }
    }

    /// Tells the diary if an answer is not what is expected.
    pub(super) fn check(&self, world: &World, sending: Sending, answer: &str) {
        let fits = match &self.message.expect {
            Expect::Contains(part) => answer.contains(part),
            Expect::Json(wanted) => {
                serde_json::from_str(answer).is_ok_and(|given: Value| contains(&given, wanted))
            }
            Expect::Answer | Expect::Nothing | Expect::Acknowledgment => true,
        };
        if !fits {
            sending.tell(world, OfMessage::Unexpected);
        }
    }
}

/// Whether `given` has every member of `wanted`.
fn contains(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::Object(given), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| given.get(name).is_some_and(|given| contains(given, wanted))),
        _ => given == wanted,
    }
}
