//! One message's work on its way through the middleware: an envelope with who sent it, and when.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::envelope::Envelope;
use crate::error::{Code, Error};
use crate::event::Connection;
use crate::following::Following;
use crate::id::RequestId;
use crate::message::Message;
use crate::outbound::Hold;
use crate::task::record::Key;

/// A message that is an envelope; what every layer and the router see.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names this message's work; a new one for each message.
    pub id: RequestId,
    /// Who sent it.
    pub connection: Arc<Connection>,
    /// What they sent.
    pub envelope: Envelope,
    /// When.
    pub received_at: Timestamp,
}

/// One request whose state is told again after the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow {
    /// Which.
    pub key: Key,
    /// Only what is above this `seq`.
    pub after_seq: u64,
    /// To whom.
    pub audience: Audience,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The connection that asked.
    ThisConnection,
    /// Every attached connection, of the end alone.
    Attached,
}

/// The answer to one message, and what follows it.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub message: Message,
    /// What to tell again once the answer is on its way.
    pub follow: Vec<Follow>,
    /// Keeps news of the request back until the answer is on its way; drop it then.
    pub hold: Hold,
    /// Counts what follows to its connection; drop it once that was told.
    pub following: Following,
}

impl Reply {
    /// An answer with nothing to follow.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            follow: Vec::new(),
            hold: Hold::default(),
            following: Following::default(),
        }
    }

    /// The error that `request` is answered with.
    pub fn error(request: &Request, error: Error) -> Self {
        Self::refused(Some(request.id), request.envelope.id.clone(), error)
    }

    /// The error of a message, which may not have become a request. A fault of the server is
    /// logged here, once, under the `ref` that the client is told.
    pub fn refused(request_id: Option<RequestId>, id: Option<String>, error: Error) -> Self {
        let error = logged(error, request_id);
        let error = Box::new(error.into_body());
        Self::new(Message::Error {
            request_id: None,
            id,
            seq: None,
            error,
        })
    }

    /// The error of a request that was run: its answer names it.
    pub fn failed(request_id: RequestId, id: Option<String>, error: Error) -> Self {
        let mut reply = Self::refused(Some(request_id), id, error);
        if let Message::Error {
            request_id: named, ..
        } = &mut reply.message
        {
            *named = Some(request_id);
        }
        reply
    }

    /// The code, where the answer is an error.
    pub fn code(&self) -> Option<Code> {
        match &self.message {
            Message::Error { error, .. } => Some(error.code),
            _ => None,
        }
    }
}

/// Logs what the client is not told, and gives an internal error the `ref` that finds the line.
pub(crate) fn logged(error: Error, request_id: Option<RequestId>) -> Error {
    if error.body().code != Code::InternalError {
        return error;
    }
    let reference = request_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    tracing::error!(
        reference,
        error = crate::error::chain(&error),
        "internal error"
    );
    error.with_reference(reference)
}
