//! In: what sessions accept, take, give and end with. Out: the same, to whoever watches; it changes nothing.

use std::fmt;
use std::sync::Arc;

use super::outbox::Frame;
use crate::ConnectionId;

/// Watches the connections of a gateway. It is called within their steps, so it must be quick.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(ConnectionId, Seen<'_>) + Send + Sync>);

impl Observer {
    /// Calls this for whatever is seen.
    #[must_use]
    pub fn new(see: impl Fn(ConnectionId, Seen<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    // Out of the way of sessions that nobody watches.
    #[cold]
    pub(super) fn see(&self, connection: ConnectionId, seen: Seen<'_>) {
        (self.0)(connection, seen);
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
