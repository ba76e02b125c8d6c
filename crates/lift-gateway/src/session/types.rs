//! In: nothing. Out: the words in which a session and its driver talk.

use std::time::Duration;

use bytes::Bytes;
use lift_apigw::close::Close;
use lift_apigw::management::Refusal as ManagementRefusal;
use lift_apigw::response::Response;

use super::Timestamp;
use super::codec::Text;
use super::events::FunctionEvent;
use super::handshake::Refusal;
use crate::RequestId;

/// What happens to a connection.
#[derive(Clone, Debug)]
pub enum Input {
    /// An invocation is over.
    Invoked {
        /// Which one.
        invocation: u64,
        /// What the function returned, or how it failed.
        outcome: Result<Returned, InvokeError>,
    },
    /// The client sent a text message.
    Text(Text),
    /// The client sent a binary message.
    Binary,
    /// The client sent a ping, which the codec answers.
    Ping,
    /// The client sent a pong.
    Pong,
    /// The client broke a rule of the wire.
    Violation(Violation),
    /// The client sent a close frame, with or without a code; the codec answers it.
    ClientClose(Option<(u16, String)>),
    /// The transport ended without a close frame.
    Dropped,
    /// The process will stop: end when nothing is in flight, and at this time in any case.
    Drain {
        /// The time.
        close_by: Timestamp,
    },
    /// The transport takes no byte now.
    WriteBlocked,
    /// The transport took a byte, or has nothing left to take.
    WriteResumed,
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// JSON, as over the Lambda API.
    Json(Bytes),
    /// What `{"statusCode":200,"body":…}` says, without the detour over JSON.
    Text(Text),
}

impl Returned {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Bytes {
        match self {
            Self::Json(json) => json.clone(),
            Self::Text(text) => serde_json::to_vec(&Response::ok().with_body(text.as_str()))
                .expect("string keys and plain values")
                .into(),
        }
    }
}

impl<B: Into<Bytes>> From<B> for Returned {
    fn from(json: B) -> Self {
        Self::Json(json.into())
    }
}

/// How a client broke a rule of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame over the limit.
    FrameTooBig,
    /// A message over the limit.
    MessageTooBig,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// A frame that RFC 6455 forbids.
    Protocol,
    /// A message in fragments that finds no room in the share or the process.
    NoRoom,
}

impl Violation {
    /// The close that follows.
    #[must_use]
    pub fn close(self) -> Close {
        match self {
            Self::FrameTooBig => Close::FRAME_TOO_BIG,
            Self::MessageTooBig => Close::MESSAGE_TOO_BIG,
            Self::InvalidUtf8 => Close::INVALID_UTF8,
            Self::Protocol => Close::PROTOCOL_ERROR,
            Self::NoRoom => Close::NO_ROOM,
        }
    }
}

/// What a session's driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Invoke a function and bring its outcome back as [`Input::Invoked`].
    Invoke(Invoke),
    /// Nobody waits for this invocation any more.
    Abandon {
        /// Which one.
        invocation: u64,
    },
    /// Answer the handshake with this response.
    Refuse(Refusal),
    /// Answer the handshake with 101.
    Accept {
        /// The subprotocol to name.
        subprotocol: Option<String>,
    },
    /// Write what is queued, then a close frame; then end the transport.
    Close(Close),
    /// End the transport without a close frame of the gateway's own.
    HangUp,
}

/// One function to invoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoke {
    /// Names the invocation within its session.
    pub invocation: u64,
    /// Which function is meant.
    pub function: Function,
    /// The event's request id.
    pub request_id: RequestId,
    /// The event.
    pub event: FunctionEvent,
    /// Time the function has; the session keeps it.
    pub timeout: Duration,
}

/// Which function an event is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// The Lambda authorizer.
    Authorizer,
    /// `$connect`.
    Connect,
    /// A message's route.
    Message {
        /// Its key: `$default` or a custom one.
        route: String,
    },
    /// `$disconnect`.
    Disconnect,
}

/// Why an invocation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The function returned an error.
    #[error("the function failed: {message}")]
    FunctionError {
        /// Its text: Lambda's `errorMessage`.
        message: String,
    },
    /// The function's process died.
    #[error("the function crashed")]
    Crashed,
    /// No capacity to run the function.
    #[error("the invocation was throttled")]
    Throttled,
    /// The function took too long.
    #[error("the invocation timed out")]
    TimedOut,
}

/// Why an `@connections` call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The id is malformed: 400.
    #[error("the connection id is malformed")]
    InvalidConnectionId,
    /// The id is not connected: not yet, not any more, or never: 410.
    #[error("the connection is gone")]
    Gone,
    /// The payload is over the message limit: 413.
    #[error("the payload is too large")]
    PayloadTooLarge,
    /// The client's queue is full: 429.
    #[error("the connection's queue is full")]
    Full,
    /// More requests than the gateway's rate: 429.
    #[error("the gateway's message rate is used up")]
    Throttled,
}

impl From<PostError> for ManagementRefusal {
    fn from(error: PostError) -> Self {
        match error {
            PostError::InvalidConnectionId => Self::InvalidConnectionId,
            PostError::Gone => Self::Gone,
            PostError::PayloadTooLarge => Self::PayloadTooLarge,
            PostError::Full | PostError::Throttled => Self::LimitExceeded,
        }
    }
}
