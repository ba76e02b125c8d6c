//! In: the outcome of an `@connections` call. Out: its status, error type and body.
//!
//! Source: the API model `ApiGatewayManagementApi` 2018-11-29 (restJson1); error bodies as captured.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Status of a message that was taken for delivery; the body is empty.
pub const POSTED: u16 = 200;
/// Status of a `GET` that found the connection.
pub const FOUND: u16 = 200;
/// Status of a connection that is being closed; the body is empty.
pub const DELETED: u16 = 204;

/// The header that names an error for SDKs.
pub const ERROR_TYPE_HEADER: &str = "x-amzn-ErrorType";

/// The body of `GET /@connections/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<'a> {
    /// When the handshake came, in ISO-8601.
    #[serde(borrow)]
    pub connected_at: Cow<'a, str>,
    /// Who is at the other end.
    #[serde(borrow)]
    pub identity: Identity<'a>,
    /// When a message last went either way, in ISO-8601.
    #[serde(borrow)]
    pub last_active_at: Cow<'a, str>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity<'a> {
    /// The client's address.
    #[serde(borrow)]
    pub source_ip: Cow<'a, str>,
    /// The handshake's `User-Agent`; empty where none was sent.
    #[serde(borrow, default)]
    pub user_agent: Cow<'a, str>,
}

/// Why an `@connections` call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The id cannot be decoded: 400.
    InvalidConnectionId,
    /// Wrong stage, or no permission: 403.
    Forbidden,
    /// Well formed, but not connected: closed, never connected, or `$connect` is not done: 410.
    Gone,
    /// The payload exceeds 128 KiB: 413.
    PayloadTooLarge,
    /// Too many requests, or the client's buffer is full: 429.
    LimitExceeded,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidConnectionId => 400,
            Self::Forbidden => 403,
            Self::Gone => 410,
            Self::PayloadTooLarge => 413,
            Self::LimitExceeded => 429,
        }
    }

    /// The value of [`ERROR_TYPE_HEADER`].
    #[must_use]
    pub fn error_type(self) -> &'static str {
        match self {
            Self::InvalidConnectionId => "BadRequestException",
            Self::Forbidden => "ForbiddenException",
            Self::Gone => "GoneException",
            Self::PayloadTooLarge => "PayloadTooLargeException",
            Self::LimitExceeded => "LimitExceededException",
        }
    }

    /// The body; empty for 410, and for 413 and 429 a text nobody has captured (*unverified*).
    #[must_use]
    pub fn body(self, connection_id: &str) -> String {
        let message = match self {
            Self::InvalidConnectionId => format!("Invalid connectionId: {connection_id}"),
            Self::Forbidden => "Forbidden".to_owned(),
            Self::Gone => return String::new(),
            Self::PayloadTooLarge => "Payload too large".to_owned(),
            Self::LimitExceeded => "Too Many Requests".to_owned(),
        };
        message_body(&message)
    }
}

/// `{"message":…}`, the body of every HTTP refusal of the gateway.
#[must_use]
pub fn message_body(message: &str) -> String {
    serde_json::json!({ "message": message }).to_string()
}
