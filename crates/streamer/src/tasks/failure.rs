//! What stopped a run comes in; what its caller can do about it goes out.

use serde_json::{Value, json};

use crate::objects::ObjectName;

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer (RFC 6901) into the whole message: `/payload/operations/2/column`.
    pub pointer: String,
    /// What is wrong there, safe to show to the sender.
    pub message: String,
}

/// Why a task did not finish, sorted by what the caller does about it.
///
/// Every text is safe to show to the sender, but the source of [`Failure::Storage`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The request itself is wrong (`VALIDATION_ERROR`): at least one problem, at most 10.
    #[error("the request is not valid")]
    Invalid(Vec<Problem>),
    /// The input is not there (`NOT_FOUND`).
    #[error("there is no object `{0}`")]
    NotFound(ObjectName),
    /// The output exists, or another request is writing it (`CONFLICT`).
    #[error("the output `{name}` {reason}")]
    Conflict {
        /// The output.
        name: ObjectName,
        /// What takes its place.
        reason: &'static str,
    },
    /// The input's text or a value in it cannot be used (`TASK_FAILED`).
    #[error("{}{message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Input {
        /// The line on which the row starts, from 1; none for a row that an operation made.
        line: Option<u64>,
        /// The operation that could not use the value.
        pointer: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// The input is not the object that an earlier claim read (`TASK_FAILED`).
    #[error("the input `{0}` was changed while it was being processed")]
    InputChanged(ObjectName),
    /// A limit of the task's options was passed (`TASK_FAILED`).
    #[error("the limit `{limit}` of {max} was passed")]
    Limit {
        /// The name of the limit.
        limit: &'static str,
        /// Its value, in the unit that its name says.
        max: u64,
        /// The operation that passed it.
        pointer: Option<String>,
        /// The line on which the row that passed it starts.
        line: Option<u64>,
    },
    /// A collection could not be read as it was at one moment (`TASK_FAILED`): each time it was changed meanwhile.
    #[error("the collection `{0}` was changed each time it was read")]
    Moving(String),
    /// The store failed; trying again may help, and goes on from the last checkpoint.
    #[error("the store failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Moving(_) | Self::Storage(_))
    }

    /// The fields of a `TASK_FAILED` error's `details`; null where there is nothing to say.
    #[must_use]
    pub fn details(&self) -> Value {
        let mut details = match self {
            Self::Input {
                line,
                pointer,
                message,
            } => {
                json!({ "line": line, "pointer": pointer, "reason": message })
            }
            Self::Limit {
                limit,
                max,
                pointer,
                line,
            } => {
                json!({ "limit": limit, "max": max, "pointer": pointer, "line": line })
            }
            Self::InputChanged(name) => json!({ "input": name.as_str() }),
            Self::Moving(collection) => json!({ "collection": collection }),
            Self::Invalid(_) | Self::NotFound(_) | Self::Conflict { .. } | Self::Storage(_) => {
                Value::Null
            }
        };
        if let Some(fields) = details.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        details
    }

    pub(super) fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem {
            pointer: pointer.into(),
            message: message.into(),
        }])
    }

    pub(super) fn line(line: u64, message: impl Into<String>) -> Self {
        Self::Input {
            line: Some(line),
            pointer: None,
            message: message.into(),
        }
    }

    pub(super) fn storage(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Storage(Box::new(source))
    }
}
