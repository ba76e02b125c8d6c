//! JSON about a request comes in, its typed form goes out.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ErrorBody;

/// The server's name of a request: a ULID, opaque to clients.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Takes any text: an id that never was is answered `NOT_FOUND`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, not started.
    Queued,
    /// A worker has it.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Ended with a result.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because it was asked to.
    Cancelled,
    /// A state of a later version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl State {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// A request as `request.get`, `request.list` and `GET /requests/{id}` show it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RequestView {
    /// The server's name of the request.
    pub request_id: RequestId,
    /// The `id` of the message that submitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The action asked for.
    pub action: String,
    /// Where it is in its life.
    pub state: State,
    /// 1 + attempts that failed retryably or were counted lost.
    pub attempt: u32,
    /// The latest progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Snapshot>,
    /// The result, if it is small.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub result: Option<Box<RawValue>>,
    /// Where the result is, if it is large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
    /// When `result_url` stops working (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// When it was accepted (RFC 3339).
    pub created_at: String,
    /// When its first attempt started (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// How far a request was at its latest progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Order of the progress message.
    pub seq: u64,
    /// 0–100.
    #[schemars(range(min = 0, max = 100))]
    pub percentage: f64,
    /// What is being done, for people.
    #[serde(default, deserialize_with = "crate::absent::or_default")]
    pub message: String,
}

/// What `request.list` answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Newest first, without results.
    pub requests: Vec<RequestView>,
    /// Where the next page starts; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What `request.cancel` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelling {
    /// The request.
    pub request_id: RequestId,
    /// Its state now.
    pub state: State,
    /// Whether it will be stopped; `false` if it had ended.
    pub cancel_requested: bool,
}

/// What `request.resume` answers: one entry for each request named.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// In the order asked.
    pub requests: Vec<ResumedEntry>,
}

/// What became of one request of a `request.resume`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ResumedEntry {
    /// The request.
    pub request_id: RequestId,
    /// Its state, if it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// `false` if the store could not be read, so that something may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// Why it was not resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}
