//! In: the frames of one message from a client. Out: the input that a session gets for them.
//!
//! Over sockets the WebSocket codec does the same with the same limits; drivers without sockets
//! call [`classify`].

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::rules::Limits;
use super::{Input, Violation};

/// Bytes that are UTF-8.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Utf8Bytes);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// The text's bytes, not copied.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl TryFrom<Bytes> for Text {
    type Error = NotUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, NotUtf8> {
        // A `Bytes` is cloned by counting.
        match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Ok(Self(text)),
            Err(source) => Err(NotUtf8 { bytes, source }),
        }
    }
}

/// Bytes that are not UTF-8.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not UTF-8")]
pub struct NotUtf8 {
    bytes: Bytes,
    source: std::str::Utf8Error,
}

impl NotUtf8 {
    /// The bytes, not copied.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// The type of a message's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Text.
    Text,
    /// Binary.
    Binary,
}

/// What a session is told about one message that came in these frames.
///
/// A frame's size is judged before its content, frame by frame, as the codec meets them (developer
/// guide, "Quotas": 32 KB a frame, 128 KB a message).
#[must_use]
pub fn classify(limits: &Limits, opcode: Opcode, frames: &[&[u8]]) -> Input {
    let mut message = Vec::new();
    for frame in frames {
        if frame.len() > limits.frame_bytes_max {
            return Input::Violation(Violation::FrameTooBig);
        }
        if message.len() + frame.len() > limits.message_bytes_max {
            return Input::Violation(Violation::MessageTooBig);
        }
        message.extend_from_slice(frame);
        let text = std::str::from_utf8(&message);
        let cannot_end = |error: std::str::Utf8Error| error.error_len().is_some();
        if opcode == Opcode::Text && text.is_err_and(cannot_end) {
            return Input::Violation(Violation::InvalidUtf8);
        }
    }
    match (opcode, Text::try_from(Bytes::from(message))) {
        (Opcode::Binary, _) => Input::Binary,
        (Opcode::Text, Ok(text)) => Input::Text(text),
        (Opcode::Text, Err(_)) => Input::Violation(Violation::InvalidUtf8),
    }
}
