//! An error object comes in, what a client should do about it goes out.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Why something was refused or failed. Branch on `code`; show `message` to people.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{code}: {message}")]
pub struct ErrorBody {
    /// What kind of error it is.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// Whether the same message may succeed later.
    #[serde(default, deserialize_with = "crate::absent::or_default")]
    pub retryable: bool,
    /// Milliseconds to wait before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Up to 10 places in the message that break a rule.
    #[serde(
        default,
        deserialize_with = "crate::absent::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub fields: Vec<FieldError>,
    /// What the task chose to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub details: Option<Box<RawValue>>,
    /// Finds the server's log line.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl ErrorBody {
    /// An error with a code and a sentence, retryable as its code is.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            retryable: code.retry() != Retry::Never,
            code,
            message: message.into(),
            retry_after_ms: None,
            suggestion: None,
            fields: Vec::new(),
            details: None,
            reference: None,
        }
    }
}

/// One place in a message that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// JSON Pointer into the whole message (RFC 6901); a missing field's own place.
    pub pointer: String,
    /// The rule.
    pub message: String,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl FieldError {
    /// A rule broken at `pointer`.
    #[must_use]
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            suggestion: None,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.pointer, self.message)
    }
}

/// When the same message may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After `retry_after_ms`, or a backoff of the client's own.
    Later,
    /// On a new connection with a new token.
    OnNewConnection,
}

/// The closed set of errors; a code of a later version is `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The text is not one JSON object, nests too deep, or repeats a key. A bug in the client: correct it.
    InvalidJson,
    /// A field breaks a rule named in `fields`. Correct those fields and send again.
    ValidationError,
    /// No such action here. Use `suggestion`, or a server that has it.
    UnknownAction,
    /// The caller is not known. Get a token and reconnect.
    Unauthorized,
    /// The token does not allow it. Ask for the permission; the same token is refused again.
    Forbidden,
    /// No such request or object that the caller may see. Check the name and the account.
    NotFound,
    /// The token's time has passed; nothing was run. Reconnect with a new one and send again.
    TokenExpired,
    /// Something with that name is there already. Choose another name, or allow overwriting.
    Conflict,
    /// The key was used with another payload. Use a new key for new work.
    IdempotencyConflict,
    /// The caller asks too often. Wait `retry_after_ms`.
    RateLimited,
    /// The server has too much to do, or is stopping. Wait `retry_after_ms`.
    Overloaded,
    /// The payload or the answer is too large for this action. Send less, or use an object in the store.
    PayloadTooLarge,
    /// The request's deadline passed. Submit again with a new key and a longer `timeout_ms`.
    Timeout,
    /// The task ended in an error of its own; `details` is what it says. Correct the cause and submit again.
    TaskFailed,
    /// The server failed. Try again later; give `ref` to its operator.
    InternalError,
    /// A code of a later version: go by the body's `retryable`.
    Unknown(Cow<'static, str>),
}

impl ErrorCode {
    /// Every code of this version, with its name on the wire and when to retry.
    const TABLE: [(Self, &'static str, Retry); 15] = [
        (Self::InvalidJson, "INVALID_JSON", Retry::Never),
        (Self::ValidationError, "VALIDATION_ERROR", Retry::Never),
        (Self::UnknownAction, "UNKNOWN_ACTION", Retry::Never),
        (Self::Unauthorized, "UNAUTHORIZED", Retry::Never),
        (Self::Forbidden, "FORBIDDEN", Retry::Never),
        (Self::NotFound, "NOT_FOUND", Retry::Never),
        (Self::TokenExpired, "TOKEN_EXPIRED", Retry::OnNewConnection),
        (Self::Conflict, "CONFLICT", Retry::Never),
        (
            Self::IdempotencyConflict,
            "IDEMPOTENCY_CONFLICT",
            Retry::Never,
        ),
        (Self::RateLimited, "RATE_LIMITED", Retry::Later),
        (Self::Overloaded, "OVERLOADED", Retry::Later),
        (Self::PayloadTooLarge, "PAYLOAD_TOO_LARGE", Retry::Never),
        (Self::Timeout, "TIMEOUT", Retry::Later),
        (Self::TaskFailed, "TASK_FAILED", Retry::Never),
        (Self::InternalError, "INTERNAL_ERROR", Retry::Later),
    ];

    /// Every code of this version.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.into_iter().map(|(code, _, _)| code)
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unknown(name) => name,
            known => Self::TABLE
                .iter()
                .find(|row| row.0 == *known)
                .map_or("", |row| row.1),
        }
    }

    /// When the same message may be sent again; never for an unknown code.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Self::TABLE
            .iter()
            .find(|row| row.0 == *self)
            .map_or(Retry::Never, |row| row.2)
    }

    fn parse(name: &str) -> Self {
        let known = Self::TABLE.into_iter().find(|row| row.1 == name);
        known.map_or_else(|| Self::Unknown(Cow::Owned(name.to_owned())), |row| row.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&Cow::<str>::deserialize(from)?))
    }
}

impl JsonSchema for ErrorCode {
    fn schema_name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::TABLE.iter().map(|row| row.1).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}
