//! In: how an invocation or a start went wrong. Out: the same as types, and as the JSON that Lambda's callers see.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

/// Most bytes of a function's answer: 6 MiB and 100 bytes.
pub(super) const RESPONSE_BYTES_MAX: usize = 6_291_556;

/// Why an invocation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The function reported an error.
    #[error("{error_type}: {message}")]
    FunctionError {
        /// `errorType`.
        error_type: String,
        /// `errorMessage`.
        message: String,
        /// What the function reported, as it did.
        payload: Bytes,
    },
    /// The function's own timeout passed; its environment is killed.
    #[error("{text}")]
    TimedOut {
        /// `TIME REQUEST-ID Task timed out after 3.00 seconds`.
        text: String,
    },
    /// The process ended without an answer.
    #[error("{text}")]
    Exited {
        /// `RequestId: ID Error: Runtime exited with error: exit status 1`.
        text: String,
    },
    /// The answer has more than 6,291,556 bytes.
    #[error("response payload size exceeded maximum allowed payload size (6291556 bytes).")]
    ResponseTooLarge,
    /// No environment came up, twice in a row.
    #[error("{error_type}: {message}")]
    InitFailed {
        /// `Runtime.ImportModuleError` and the like.
        error_type: String,
        /// `errorMessage`.
        message: String,
        /// What the runtime reported, as it did.
        payload: Bytes,
    },
    /// No environment is free and none may be added.
    #[error("rate exceeded: {0}")]
    Throttled(Ceiling),
    /// The plan has no such function.
    #[error("function not found: `{name}`")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The caller's deadline passed; the function runs on.
    #[error("no answer within {0:?}")]
    CallerLeft(Duration),
    /// The functions are shutting down.
    #[error("the functions are shutting down")]
    ShuttingDown,
}

/// Which limit an invocation met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ceiling {
    /// The function's `ReservedConcurrentExecutions`.
    #[error("ReservedFunctionConcurrentInvocationLimitExceeded")]
    Reserved,
    /// Environments of all functions together.
    #[error("ConcurrentInvocationLimitExceeded")]
    Environments,
}

impl Failure {
    /// The error's type as callers and the feed see it.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::FunctionError { error_type, .. } | Self::InitFailed { error_type, .. } => {
                error_type
            }
            Self::TimedOut { .. } => "Sandbox.Timeout",
            Self::Exited { .. } => "Runtime.ExitError",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::Throttled(_) => "TooManyRequestsException",
            Self::NotFound { .. } => "ResourceNotFoundException",
            Self::CallerLeft(_) => "CallerLeft",
            Self::ShuttingDown => "ServiceException",
        }
    }

    /// What Lambda's `Invoke` answers with `X-Amz-Function-Error`: `{errorMessage, errorType}`.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        match self {
            Self::FunctionError { payload, .. } | Self::InitFailed { payload, .. } => {
                payload.clone()
            }
            Self::ResponseTooLarge => report(
                self.error_type(),
                "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            ),
            Self::TimedOut { .. }
            | Self::Exited { .. }
            | Self::Throttled(_)
            | Self::NotFound { .. }
            | Self::CallerLeft(_)
            | Self::ShuttingDown => report(self.error_type(), &self.to_string()),
        }
    }

    /// Whether the function was asked, and it is its own failure.
    pub(super) fn is_the_functions(&self) -> bool {
        match self {
            Self::FunctionError { .. }
            | Self::TimedOut { .. }
            | Self::Exited { .. }
            | Self::ResponseTooLarge
            | Self::InitFailed { .. } => true,
            Self::Throttled(_)
            | Self::NotFound { .. }
            | Self::CallerLeft(_)
            | Self::ShuttingDown => false,
        }
    }
}

pub(super) fn report(error_type: &str, message: &str) -> Bytes {
    json!({ "errorMessage": message, "errorType": error_type })
        .to_string()
        .into()
}

/// Why an `Event` invocation was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The plan has no such function.
    #[error("function not found: `{name}`")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// The event has more than 1 MiB.
    #[error("the event has {bytes} bytes; {EVENT_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Too many events wait.
    #[error("{EVENTS_MAX} events of `{function}` wait already")]
    Full {
        /// The function.
        function: String,
    },
    /// The functions are shutting down.
    #[error("the functions are shutting down")]
    ShuttingDown,
}

/// Most bytes of an event that is queued (AWS Lambda quotas: 1 MB).
pub(super) const EVENT_BYTES_MAX: usize = 1_048_576;

/// Most events of one function that wait or run.
pub(super) const EVENTS_MAX: usize = 1_000;

/// Why a function cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing at `CodeUri`.
    #[error("function `{function}`: there is no `{}`", path.display())]
    NoCode {
        /// The function.
        function: String,
        /// What was looked for.
        path: PathBuf,
    },
    /// A custom runtime without an executable `bootstrap`.
    #[error("function `{function}`: `{}` has no executable `bootstrap`", path.display())]
    NoBootstrap {
        /// The function.
        function: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `Handler` names a file that does not exist.
    #[error("function `{function}`: handler `{handler}` needs `{}`{}", path.display(), nearest(near.as_deref()))]
    NoHandler {
        /// The function.
        function: String,
        /// The handler as written.
        handler: String,
        /// The file that was looked for.
        path: PathBuf,
        /// A file there with a name like it.
        near: Option<String>,
    },
    /// The program that runs the code is not installed.
    #[error("function `{function}`: `{program}` is not on the PATH, and `{runtime}` needs it")]
    NoProgram {
        /// The function.
        function: String,
        /// The program.
        program: String,
        /// The runtime.
        runtime: String,
    },
    /// A runtime that cannot be run without a `bootstrap` or a command.
    #[error("function `{function}`: runtime `{runtime}` cannot be run here{}; give it a command or a `bootstrap`", nearest(near.as_deref()))]
    UnknownRuntime {
        /// The function.
        function: String,
        /// The runtime as written.
        runtime: String,
        /// A runtime with a name like it.
        near: Option<String>,
    },
    /// The zip cannot be unpacked.
    #[error("function `{function}`: `{}` cannot be unpacked", path.display())]
    Archive {
        /// The function.
        function: String,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The files that functions need cannot be written.
    #[error("the temporary directory of the functions cannot be filled")]
    Files(#[source] std::io::Error),
}

fn nearest(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; there is `{near}`"))
}
