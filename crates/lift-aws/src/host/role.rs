//! In: the handler that a function is configured with. Out: its role.

use std::fmt;
use std::str::FromStr;

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Decides who may connect.
    Authorizer,
    /// Answers `$connect`.
    Connect,
    /// Answers `$disconnect`.
    Disconnect,
    /// Answers messages.
    Message,
    /// Reads the stream of requests and starts processors.
    Dispatch,
    /// Runs one request.
    Processor,
    /// Looks for requests that nobody runs.
    Sweeper,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Authorizer,
        Self::Connect,
        Self::Disconnect,
        Self::Message,
        Self::Dispatch,
        Self::Processor,
        Self::Sweeper,
    ];

    /// The name, as `Handler` of a template has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorizer => "authorizer",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Message => "message",
            Self::Dispatch => "dispatch",
            Self::Processor => "processor",
            Self::Sweeper => "sweeper",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A handler names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the handler `{0}` is no role: authorizer, connect, disconnect, message, dispatch, processor or sweeper"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(handler: &str) -> Result<Self, UnknownRole> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.name() == handler)
            .ok_or_else(|| UnknownRole(handler.to_owned()))
    }
}
