//! In: one invocation of a function. Out: what it answered, or how it failed.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tower::util::BoxCloneSyncService;

use crate::session::codec::Text;
use crate::session::{Function, FunctionEvent, InvokeError, Returned};
use crate::{ConnectionId, RequestId};

/// Where events go: any `tower::Service` that answers an [`Invocation`].
///
/// The future of a call is dropped when its time is up, or when the gateway's drain ends.
pub type Integration = BoxCloneSyncService<Invocation, Answer, InvokeError>;

/// One event for one function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Which function is meant.
    pub function: Function,
    /// The connection that the event belongs to.
    pub connection_id: ConnectionId,
    /// The event's request id.
    pub request_id: RequestId,
    /// The event.
    pub event: FunctionEvent,
    /// Time the function has, counted from the call.
    pub deadline: Duration,
}

/// What a function answered.
#[derive(Debug)]
pub struct Answer {
    /// The function's return value.
    pub body: Returned,
    /// Dropped once what the answer says to the client is queued.
    pub receipt: Option<Receipt>,
}

impl Answer {
    /// Status 200 with this body, for functions in this process.
    #[must_use]
    pub fn text(body: Text) -> Self {
        Self {
            body: Returned::Text(body),
            receipt: None,
        }
    }
}

impl<B: Into<Bytes>> From<B> for Answer {
    /// The return value as JSON.
    fn from(body: B) -> Self {
        Self {
            body: Returned::Json(body.into()),
            receipt: None,
        }
    }
}

/// Tells an in-process host by its drop that an answer's frame is in the connection's queue.
///
/// A post made after that reaches the client after the answer. Where the answer makes no frame,
/// the receipt is dropped all the same.
pub struct Receipt {
    _token: Box<dyn Any + Send>,
}

impl Receipt {
    /// Wraps the value whose drop the host waits for.
    pub fn new(token: impl Any + Send) -> Self {
        Self {
            _token: Box::new(token),
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}
