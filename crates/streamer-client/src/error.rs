//! What went wrong comes in, an error that a caller can act on goes out.

use streamer_protocol::{
    close,
    error::{ErrorBody, FieldError},
};

use crate::request::Request;

/// Any error's source.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request did not go as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The options cannot work: correct them.
    #[error("{0}")]
    Options(String),
    /// The message breaks a rule of the protocol: nothing was sent.
    #[error("the message is not valid: {}", listed(.0))]
    Invalid(Vec<FieldError>),
    /// The payload is no JSON, or the answer is not of the type asked for.
    #[error("the JSON does not fit")]
    Json(#[source] serde_json::Error),
    /// The first connection was not made in time.
    #[error("cannot reach the server")]
    Unreachable(#[source] Source),
    /// The handshake was answered with an HTTP status that would be the same again.
    #[error("the server refused the connection with status {status}")]
    Refused {
        /// HTTP status: 401 and 403 are about the token, 404 about the path.
        status: u16,
    },
    /// The server refused the message.
    #[error("the server refused the message")]
    Rejected(#[source] Box<ErrorBody>),
    /// No answer came before the deadline; the message may have been received.
    #[error("no answer came in time")]
    TimedOut,
    /// The action is not answered at once: here is the request to follow.
    #[error("the action was accepted as request `{}`, to be answered later", .0.id())]
    Deferred(Box<Request>),
    /// Too many requests are open on this client: wait for some to end.
    #[error("too many requests are open")]
    Busy,
    /// There is no connection now, and this message is not kept for the next.
    #[error("not connected")]
    NotConnected,
    /// The client is closed.
    #[error("the client is closed: {0}")]
    Closed(Reason),
}

/// Why a client is closed for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It was asked to close.
    #[error("as asked")]
    Asked,
    /// A handshake was refused, a new token included.
    #[error("the server refused the connection with status {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The server closed with a code after which reconnecting makes no sense.
    #[error("the server closed with {0}: {meaning}", meaning = close::meaning(*.0))]
    Code(u16),
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Refused { status } => Self::Refused { status },
            other => Self::Closed(other),
        }
    }
}

fn listed(fields: &[FieldError]) -> String {
    let all: Vec<_> = fields.iter().map(ToString::to_string).collect();
    all.join("; ")
}
