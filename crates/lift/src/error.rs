//! What can go wrong: a cause comes in, a code of the closed set and a safe sentence go out.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::json::{Json, present};

/// Most entries of `fields` in one error.
pub const FIELDS_MAX: usize = 10;

/// Longest `details` of an error, in bytes; longer ones are left out, with a log line.
pub const DETAILS_BYTES_MAX: usize = 8 * 1024;

/// The closed set of codes that a client can branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The text is not exactly one JSON object, nests too deep, or repeats an envelope key.
    InvalidJson,
    /// A field is missing, misshapen or out of range; `fields` says which.
    ValidationError,
    /// No action has this name.
    UnknownAction,
    /// The caller is not known.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or it is another's.
    NotFound,
    /// The token's `exp` has passed; reconnect with a fresh one.
    TokenExpired,
    /// The thing exists already or changed meanwhile.
    Conflict,
    /// The idempotency key was used with another payload.
    IdempotencyConflict,
    /// Too many messages; wait `retry_after_ms`.
    RateLimited,
    /// The server cannot take this now; wait `retry_after_ms`.
    Overloaded,
    /// The payload or the answer is larger than allowed.
    PayloadTooLarge,
    /// The request's deadline passed.
    Timeout,
    /// The task ended in failure; `details` has what it chose to say.
    TaskFailed,
    /// A fault of the server; `ref` finds the log line.
    InternalError,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::InvalidJson,
        Self::ValidationError,
        Self::UnknownAction,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::TokenExpired,
        Self::Conflict,
        Self::IdempotencyConflict,
        Self::RateLimited,
        Self::Overloaded,
        Self::PayloadTooLarge,
        Self::Timeout,
        Self::TaskFailed,
        Self::InternalError,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "INVALID_JSON",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::UnknownAction => "UNKNOWN_ACTION",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::Conflict => "CONFLICT",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::Timeout => "TIMEOUT",
            Self::TaskFailed => "TASK_FAILED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether the same message may succeed if it is sent again later.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::TokenExpired
                | Self::RateLimited
                | Self::Overloaded
                | Self::Timeout
                | Self::InternalError
        )
    }
}

/// One field that is wrong, by JSON Pointer (RFC 6901) into the whole message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Where, `/payload/rows/3`.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
    /// The nearest right value, if one is near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Field {
    /// Names a place and what is wrong there.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            suggestion: None,
        }
    }
}

/// The part of an [`Error`] that a client sees, and that a record keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code to branch on.
    pub code: Code,
    /// A sentence for people; never internal text.
    pub message: String,
    /// Whether sending the same again may succeed.
    pub retryable: bool,
    /// How long to wait before that, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The nearest right value, if one is near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Up to [`FIELDS_MAX`] fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// What a task chose to say about its failure.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub details: Option<Json>,
    /// Finds the log line of an internal error.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What a handler failed with: the client's part, the log's cause, and whether a task may retry.
///
/// ```
/// use lift::error::{Code, Error};
/// let error = Error::new(Code::NotFound, "there is no object `orders.csv`");
/// assert_eq!(error.body().code, Code::NotFound);
/// ```
#[derive(Debug)]
pub struct Error {
    body: Box<ErrorBody>,
    retry: Retry,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// Whether a task that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// The failure is final.
    Never,
    /// Another attempt may succeed.
    Again,
    /// The task was asked to stop and did; it has not failed.
    Stopped,
}

impl Error {
    /// An error that the client sees as `code` and `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            code,
            message: message.into(),
            retryable: code.retryable(),
            retry_after_ms: None,
            suggestion: None,
            fields: Vec::new(),
            details: None,
            reference: None,
        };
        Self {
            body: Box::new(body),
            retry: Retry::Never,
            cause: None,
        }
    }

    /// A fault of the server: the client sees a fixed sentence, the log sees `cause`.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(Code::InternalError, "the server could not do this");
        error.cause = Some(cause.into());
        error
    }

    /// A validation error at one place of the message.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Field::new(pointer, message)])
    }

    /// A validation error at several places; only the first [`FIELDS_MAX`] are told.
    pub fn invalid_fields(mut fields: Vec<Field>) -> Self {
        fields.truncate(FIELDS_MAX);
        let mut error = Self::new(Code::ValidationError, "the message is not valid");
        error.body.fields = fields;
        error
    }

    /// The same error, tried again when a task fails with it.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.retry = Retry::Again;
        self
    }

    /// The error of a task that stopped because it was asked to.
    pub(crate) fn stopped() -> Self {
        let mut error = Self::new(Code::InternalError, "the task was stopped");
        error.retry = Retry::Stopped;
        error
    }

    /// The same error with what the log should know.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same error with `details` for the client, left out over [`DETAILS_BYTES_MAX`].
    #[must_use]
    pub fn with_details(mut self, details: &impl Serialize) -> Self {
        match Json::of(details) {
            Ok(json) if json.len_bytes() <= DETAILS_BYTES_MAX => self.body.details = Some(json),
            Ok(json) => tracing::warn!(bytes = json.len_bytes(), "error details left out"),
            Err(error) => tracing::warn!(%error, "error details have no JSON form"),
        }
        self
    }

    /// The same error with the nearest right value.
    #[must_use]
    pub fn with_suggestion(mut self, suggestion: Option<String>) -> Self {
        self.body.suggestion = suggestion;
        self
    }

    /// The same error with a time to wait before the next try.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.body.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    pub(crate) fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.body.reference = Some(reference.into());
        self
    }

    /// What the client sees.
    pub fn body(&self) -> &ErrorBody {
        &self.body
    }

    /// What the client sees, taken out.
    pub fn into_body(self) -> ErrorBody {
        *self.body
    }

    /// Whether a task that failed with this is tried again.
    pub fn retry_kind(&self) -> Retry {
        self.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.body.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// The whole chain of an error on one line, for the log.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It may work a moment later: throttled, busy, or its disk is full.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// A stored item cannot be read back.
    #[error("a stored item is corrupt")]
    Corrupt(#[source] Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    /// Wraps a passing fault.
    pub fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// Wraps a fault of what is stored.
    pub fn corrupt(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into())
    }
}

impl From<StoreError> for Error {
    /// A store that is away is `OVERLOADED`, so that clients come back; a corrupt item is internal.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::new(Code::Overloaded, "the server cannot store this now")
                    .retry_after(Duration::from_secs(1))
                    .retry()
                    .with_cause(error)
            }
            StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}
