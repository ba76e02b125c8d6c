//! An action and its settings come in, the JSON text of a client message goes out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::FieldError,
    limits,
    view::{RequestId, State},
};

/// What a client says: one action, asked for once.
///
/// Numbers in the payload travel as they were written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClientMessage {
    /// The client's correlation id, echoed on every direct answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9._:-]{1,128}$"))]
    pub id: Option<String>,
    /// What to do.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub action: String,
    /// The action's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub payload: Option<Box<RawValue>>,
    /// Carried to the task and into logs, never trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = limits::METADATA_ENTRIES_MAX))]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The same key again re-attaches to the request that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[!-~]{1,128}$"))]
    pub idempotency_key: Option<String>,
    /// Deadline of the whole request from its acceptance, in milliseconds, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_ms: Option<u64>,
}

impl ClientMessage {
    /// A message for `action`, with nothing else said.
    #[must_use]
    pub fn new(action: impl Into<String>) -> Self {
        Self {
            id: None,
            action: action.into(),
            payload: None,
            metadata: None,
            idempotency_key: None,
            timeout_ms: None,
        }
    }

    /// Keeps the connection in use; answered by `pong`.
    #[must_use]
    pub fn ping() -> Self {
        Self::new(action::PING)
    }

    /// Asks for a request as it is now; answered by a [`RequestView`](crate::view::RequestView).
    #[must_use]
    pub fn get(request_id: &RequestId) -> Self {
        Self::control(action::GET, &Named { request_id })
    }

    /// Asks for a page of the caller's requests; answered by a [`Page`](crate::view::Page).
    #[must_use]
    pub fn list(list: &List) -> Self {
        Self::control(action::LIST, list)
    }

    /// Asks that a request be stopped; answered by a [`Cancelling`](crate::view::Cancelling).
    #[must_use]
    pub fn cancel(request_id: &RequestId) -> Self {
        Self::control(action::CANCEL, &Named { request_id })
    }

    /// Attaches this connection to 1–100 requests; answered by a [`Resumed`](crate::view::Resumed).
    #[must_use]
    pub fn resume(requests: &[From]) -> Self {
        Self::control(action::RESUME, &Resume { requests })
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the payload.
    ///
    /// # Errors
    /// The payload cannot be written as JSON.
    pub fn with_payload<T: Serialize + ?Sized>(mut self, payload: &T) -> serde_json::Result<Self> {
        self.payload = Some(to_raw_value(payload)?);
        Ok(self)
    }

    /// The rules of the envelope that this message breaks, none if the server will take it.
    #[must_use]
    pub fn problems(&self) -> Vec<FieldError> {
        let timeout = (self.timeout_ms == Some(0))
            .then(|| FieldError::new("/timeout_ms", "must be at least 1; it is 0"));
        [
            self.id.as_deref().and_then(|id| limits::id(id).err()),
            limits::action(&self.action).err(),
            self.metadata
                .as_ref()
                .and_then(|entries| limits::metadata(entries).err()),
            self.idempotency_key
                .as_deref()
                .and_then(|key| limits::idempotency_key(key).err()),
            timeout,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn control(action: &str, payload: &impl Serialize) -> Self {
        Self::new(action)
            .with_payload(payload)
            .expect("control payloads have string keys and finite numbers")
    }
}

/// Names of the control actions.
pub mod action {
    /// Keep-alive.
    pub const PING: &str = "ping";
    /// One request as it is now.
    pub const GET: &str = "request.get";
    /// The caller's requests, newest first.
    pub const LIST: &str = "request.list";
    /// Stop a request.
    pub const CANCEL: &str = "request.cancel";
    /// Attach this connection to requests.
    pub const RESUME: &str = "request.resume";
}

/// Which page of the caller's requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// Only requests in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Most requests on the page, 1–100; 20 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    pub limit: Option<u32>,
    /// Where the page before this one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// From where to resume one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct From {
    /// The request.
    pub request_id: RequestId,
    /// The last `seq` seen; 0 for none.
    pub after_seq: u64,
}

/// The payload that names one request.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Named<'a> {
    /// The request.
    request_id: &'a RequestId,
}

/// The payload of `request.resume`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Resume<'a> {
    /// The requests, and what was seen of each.
    #[schemars(length(min = 1, max = limits::RESUME_MAX))]
    requests: &'a [From],
}
