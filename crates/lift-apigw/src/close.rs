//! In: why a connection ended. Out: the close code and text that the client and `$disconnect` get.
//!
//! Codes: developer guide, "WebSocket APIs in API Gateway" (table of close codes). Texts as
//! captured where marked; the others are this crate's choice, since nobody has published them.

/// A normal end, `DELETE @connections/{id}` included.
pub const NORMAL: u16 = 1000;
/// Idle for 10 minutes, or 2 hours old.
pub const GOING_AWAY: u16 = 1001;
/// A frame that breaks RFC 6455.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A binary message.
pub const UNSUPPORTED: u16 = 1003;
/// Never sent: the client's close frame held no code.
pub const NO_STATUS: u16 = 1005;
/// Never sent: the connection ended without a close frame.
pub const ABNORMAL: u16 = 1006;
/// A text message that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// Too many messages from this client.
pub const POLICY: u16 = 1008;
/// A frame over 32 KiB or a message over 128 KiB.
pub const TOO_BIG: u16 = 1009;
/// The gateway failed.
pub const INTERNAL_ERROR: u16 = 1011;
/// The gateway restarts.
pub const RESTART: u16 = 1012;
/// The client reads too slowly, or there is no room for its message; API Gateway does not use it.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// A close code with the text that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// The text, at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// `DELETE @connections/{id}`; text captured.
    pub const DELETED: Self = Self {
        code: NORMAL,
        reason: "Connection Closed Normally",
    };
    /// Idle too long; text captured.
    pub const IDLE: Self = Self {
        code: GOING_AWAY,
        reason: "Going away",
    };
    /// Too old (*unverified* text).
    pub const EXPIRED: Self = Self {
        code: GOING_AWAY,
        reason: "Going away",
    };
    /// The client's close frame held no code; text captured, never sent.
    pub const NO_STATUS: Self = Self {
        code: NO_STATUS,
        reason: "Client-side close frame status not set",
    };
    /// No close frame was seen (*unverified* text), never sent.
    pub const DROPPED: Self = Self {
        code: ABNORMAL,
        reason: "Connection closed abnormally",
    };
    /// A frame that breaks RFC 6455 (*unverified* text).
    pub const PROTOCOL_ERROR: Self = Self {
        code: PROTOCOL_ERROR,
        reason: "Protocol error",
    };
    /// A binary message (*unverified* text).
    pub const BINARY: Self = Self {
        code: UNSUPPORTED,
        reason: "Binary is not supported",
    };
    /// Text that is not UTF-8 (*unverified* text).
    pub const INVALID_UTF8: Self = Self {
        code: INVALID_PAYLOAD,
        reason: "Invalid UTF-8",
    };
    /// Too many messages from this client (*unverified* text).
    pub const TOO_MANY_MESSAGES: Self = Self {
        code: POLICY,
        reason: "Too many requests",
    };
    /// A frame over the limit (*unverified* text).
    pub const FRAME_TOO_BIG: Self = Self {
        code: TOO_BIG,
        reason: "Frame too big",
    };
    /// A message over the limit (*unverified* text).
    pub const MESSAGE_TOO_BIG: Self = Self {
        code: TOO_BIG,
        reason: "Message too big",
    };
    /// The gateway restarts (*unverified* text).
    pub const RESTART: Self = Self {
        code: RESTART,
        reason: "Service restart",
    };
    /// The client takes no bytes; API Gateway has no such close.
    pub const TOO_SLOW: Self = Self {
        code: TRY_AGAIN_LATER,
        reason: "Reads too slowly",
    };
    /// A message in fragments that the process has no room for; API Gateway has no such close.
    pub const NO_ROOM: Self = Self {
        code: TRY_AGAIN_LATER,
        reason: "Try again later",
    };
}
