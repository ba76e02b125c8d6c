//! What a gateway tells an app: a connection opened, said something, or is gone.

use crate::clock::Timestamp;
use crate::id::ConnectionId;
use crate::identity::Identity;

/// One open socket, as its gateway describes it with every event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The gateway's id for it.
    pub id: ConnectionId,
    /// Who it belongs to.
    pub identity: Identity,
    /// The address that the client connected from.
    pub source_ip: String,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// When it was opened.
    pub connected_at: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client wants in; it has been authenticated.
    Connect {
        /// The connection that opens if the app agrees.
        connection: Connection,
        /// The subprotocols that the client offered, in order.
        subprotocols: Vec<String>,
    },
    /// A client sent a message.
    Message {
        /// On which connection.
        connection: Connection,
        /// The message as sent.
        text: String,
    },
    /// A connection is gone. May come late, early, or never.
    Disconnect {
        /// Which.
        connection: Connection,
        /// The close code (RFC 6455 §7.4).
        code: u16,
        /// The close reason.
        reason: String,
    },
}
