//! In: what sessions accept, take, give and end with. Out: the same, to whoever watches; it changes nothing.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::codec::Text;
use super::outbox::Frame;
use crate::ConnectionId;

/// Watches the connections of a gateway. It is called between their steps, so it must be quick; it
/// may call [`Connections`](crate::Connections).
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(ConnectionId, Seen<'_>) + Send + Sync>);

impl Observer {
    /// Calls this for whatever is seen.
    #[must_use]
    pub fn new(see: impl Fn(ConnectionId, Seen<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    /// Shows what a session noted; an observer that panics changes nothing.
    pub(crate) fn show(&self, connection: ConnectionId, noted: &[Noted]) {
        for noted in noted {
            let shown = AssertUnwindSafe(|| (self.0)(connection, noted.seen()));
            if catch_unwind(shown).is_err() {
                tracing::warn!(%connection, "an observer panicked");
            }
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// What an observer sees of one connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// The handshake was accepted.
    Accepted,
    /// The client sent a message or a control frame; what breaks a rule is seen by its close alone.
    Received(Received<'a>),
    /// No route takes the message.
    Unrouted {
        /// Its text.
        message: &'a str,
    },
    /// A message was given to the transport.
    Sent(&'a Frame),
    /// The connection ends, after what is queued.
    Closed {
        /// Who ends it.
        by: Side,
        /// The code.
        code: u16,
        /// The reason.
        reason: &'a str,
    },
}

/// What will be shown once its session is free again: an observer may call for it.
#[derive(Debug)]
pub(crate) enum Noted {
    Accepted,
    Text(Text),
    Binary,
    Ping,
    Pong,
    Unrouted(Text),
    Sent(Frame),
    Closed {
        by: Side,
        code: u16,
        reason: Cow<'static, str>,
    },
}

impl Noted {
    fn seen(&self) -> Seen<'_> {
        match self {
            Self::Accepted => Seen::Accepted,
            Self::Text(text) => Seen::Received(Received::Text(text)),
            Self::Binary => Seen::Received(Received::Binary),
            Self::Ping => Seen::Received(Received::Ping),
            Self::Pong => Seen::Received(Received::Pong),
            Self::Unrouted(message) => Seen::Unrouted { message },
            Self::Sent(frame) => Seen::Sent(frame),
            Self::Closed { by, code, reason } => Seen::Closed {
                by: *by,
                code: *code,
                reason,
            },
        }
    }
}

/// What a client sent.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

/// Who ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client, with a close frame or by leaving.
    Client,
    /// The gateway.
    Gateway,
}
