//! What went wrong comes in; an exit status, a cause and a way out, for people, go out.

use std::{error::Error as StdError, fmt, process::ExitCode};

use streamer_client::{
    Error,
    protocol::error::{ErrorBody, ErrorCode},
};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A message was refused, a request failed or was cancelled, a file could not be used.
    Failed,
    /// The command line, or a value in it, cannot work.
    Usage,
    /// An expected message, or an answer, did not come in time; a threshold of a load does not hold, or a cost is above what was allowed.
    Unmet,
    /// No connection could be made.
    Unreachable,
    /// The server refused the connection.
    Refused,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unmet => 3,
            Self::Unreachable => 4,
            Self::Refused => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// An error for people: what, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    what: String,
    cause: String,
    help: String,
}

impl Failure {
    pub(crate) fn new(
        exit: Exit,
        what: impl Into<String>,
        cause: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            what: what.into(),
            cause: cause.into(),
            help: help.into(),
        }
    }

    /// What went wrong, without cause and help.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What went wrong and why, in one line.
    pub(crate) fn said(&self) -> String {
        format!("{}: {}", self.what, self.cause)
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> &str {
        &self.help
    }

    /// A connection that was not made, or that ended for good.
    pub(crate) fn connection(url: &str, error: &Error) -> Self {
        match error {
            Error::Options(why) => Self::new(
                Exit::Usage,
                "the connection cannot be tried",
                why,
                "a URL is like `ws://127.0.0.1:8080/`; `lift ws --help` shows every option",
            ),
            Error::Refused { status } => Self::new(
                Exit::Refused,
                format!("`{url}` refused the connection"),
                format!("the handshake was answered with status {status}"),
                refused(*status),
            ),
            Error::Closed(reason) => Self::new(
                Exit::Failed,
                "the connection is closed for good",
                reason.to_string(),
                "requests that were acknowledged go on: `/resume` follows one, `/list` shows them",
            ),
            other => {
                let causes = causes(other);
                // rustls's words for whatever is wrong with a server's certificate.
                let help = if causes.contains("invalid peer certificate") {
                    "if the server's certificate is its own, give it with `--ca FILE`; it must name the host and \
                     say `basicConstraints=CA:FALSE` (docs/operations.md, \"TLS\")"
                } else {
                    "check that the server runs and that the URL is the one that it printed"
                };
                let what = format!("cannot connect to `{url}`");
                Self::new(Exit::Unreachable, what, causes, help)
            }
        }
    }

    /// A connection that was refused because no token came with it.
    pub(crate) fn no_token(url: &str) -> Self {
        Self::new(
            Exit::Refused,
            format!("`{url}` refused the connection"),
            "status 401: the server asks who connects, and no token was given",
            "give what its authorizer reads: in the URL, or as `--token-file FILE`, sent as `Authorization: Bearer`; \
             for Streamer `lift token mint --data-dir DIR --sub USER --tenant TENANT > FILE` makes one on the server's machine",
        )
    }

    /// A signal that ended it before its time; `left` is what that leaves undone.
    pub(crate) fn signal(exit: Exit, left: &str) -> Self {
        let signal = if exit == Exit::Terminated {
            "SIGTERM"
        } else {
            "Ctrl-C"
        };
        Self::new(exit, "interrupted", format!("{signal} came"), left)
    }

    /// A message that was not answered as asked.
    pub(crate) fn message(error: &Error) -> Self {
        match error {
            Error::Rejected(body) => Self::refusal("the server refused a message", body),
            Error::TimedOut => Self::new(
                Exit::Unmet,
                "a message was not answered",
                error.to_string(),
                "it may have been received: send it again with the same `idempotency_key`",
            ),
            other => Self::new(
                Exit::Failed,
                "a message was not sent",
                format!("{other}{}", tail(other)),
                "correct the message and send it again",
            ),
        }
    }

    /// An error that the server sent, about a message or as the end of a request.
    pub(crate) fn refusal(what: &str, body: &ErrorBody) -> Self {
        let fields: String = body
            .fields
            .iter()
            .map(|field| format!("; {field}"))
            .collect();
        let help = match (&body.suggestion, body.retry_after_ms) {
            (Some(suggestion), _) => format!("did you mean `{suggestion}`?"),
            (None, Some(wait_ms)) => format!("send it again in {wait_ms} ms"),
            (None, None) => match body.code {
                ErrorCode::NotFound => "check the name, and that it belongs to this token's user",
                ErrorCode::Forbidden | ErrorCode::Unauthorized => {
                    "use a token with this permission: `lift token mint --permission`"
                }
                ErrorCode::Conflict => "choose another name, or allow overwriting",
                ErrorCode::IdempotencyConflict => "use a new `idempotency_key` for new work",
                ErrorCode::Timeout => "submit it again with a longer `timeout_ms`",
                ErrorCode::InternalError => "give the `ref` to the server's operator",
                _ if body.retryable => "send it again later",
                _ => "correct the message and send it again",
            }
            .to_owned(),
        };
        Self::new(
            Exit::Failed,
            what,
            harmless(&format!("{body}{fields}")),
            harmless(&help),
        )
    }

    /// A file, or stdin, that could not be used.
    pub(crate) fn file(
        exit: Exit,
        what: impl Into<String>,
        error: &(dyn StdError + 'static),
        help: impl Into<String>,
    ) -> Self {
        Self::new(exit, what, chain(error), help)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, cause, help, ..
        } = self;
        write!(f, "error: {what}\n  cause: {cause}\n  help: {help}")
    }
}

impl StdError for Failure {}

/// What to do about a handshake that was answered with a status, at whatever server it is.
fn refused(status: u16) -> &'static str {
    match status {
        401 => {
            "check what the authorizer reads, in the URL or the token; for Streamer `lift token inspect --data-dir DIR - < FILE` \
             checks a token, and `lift token mint` makes one, for `--token-file` or LIFT_TOKEN"
        }
        403 => {
            "the authorizer or the function behind `$connect` said no, or the URL's path names no stage; at Streamer the token is good \
             but not allowed: use one for another tenant"
        }
        404 => {
            "check the path: an API's is its stage, like `/dev`; Streamer's on one machine is `/`"
        }
        429 => "too many connections at a time: try again later",
        500 => "the authorizer failed: its logs say why (`lift dev` prints them)",
        502 => "the function behind `$connect` failed: its logs say why (`lift dev` prints them)",
        503 => "the server takes no connections now: try again later",
        504 => {
            "the function behind `$connect` took too long: its logs say why (`lift dev` prints them)"
        }
        _ => "check the URL: this may be no WebSocket server",
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    format!("{error}{}", tail(error))
}

/// The sources of an error alone where it has some: the error itself was said already.
fn causes(error: &(dyn StdError + 'static)) -> String {
    match error.source() {
        Some(source) => chain(source),
        None => error.to_string(),
    }
}

fn tail(error: &(dyn StdError + 'static)) -> String {
    std::iter::successors(error.source(), |source: &&(dyn StdError + 'static)| {
        (*source).source()
    })
    .map(|source| format!(": {source}"))
    .collect()
}

/// Text of a stranger that a terminal cannot take for commands; in JSON it means the same.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}
