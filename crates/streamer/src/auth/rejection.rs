//! Why a token was refused comes in; the status and body a client may see, and the reason for the
//! log, go out.

use std::{borrow::Cow, fmt};

/// Which of the two answers a refused client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 401: anything missing, malformed, expired or incomplete.
    Unauthorized,
    /// 403: a good token that is not allowed here.
    Forbidden,
}

/// A refused handshake: what the client sees, and a reason that only the log may show.
///
/// `Display` is the client's text; it never says which check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    kind: RejectionKind,
    reason: Cow<'static, str>,
}

impl Rejection {
    /// A 401 with its reason for the log.
    pub fn unauthorized(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: RejectionKind::Unauthorized,
            reason: reason.into(),
        }
    }

    /// A 403 with its reason for the log.
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: RejectionKind::Forbidden,
            reason: reason.into(),
        }
    }

    /// Which answer the client gets.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.kind {
            RejectionKind::Unauthorized => 401,
            RejectionKind::Forbidden => 403,
        }
    }

    /// What failed, for the log alone; it holds no part of a token but names of claims, keys and
    /// tenants.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RejectionKind::Unauthorized => "Unauthorized",
            RejectionKind::Forbidden => "Forbidden",
        })
    }
}

impl std::error::Error for Rejection {}

/// Text of a stranger for a log line: escaped, and no longer than 64 characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    format!("`{}`", short.escape_debug())
}
