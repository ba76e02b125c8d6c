//! In: 11 bytes, or text that claims to be an id. Out: the 16 characters that API Gateway uses for ids.
//!
//! Connection, request and message ids share one form: 11 bytes in URL-safe base64 with one pad,
//! e.g. `JC1dgf9yoAMCK-g=` (captured events). Functions must treat them as opaque.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};

const BYTES: usize = 11;
const CHARS: usize = 16;

/// A connection's id.
///
/// ```
/// use lift_apigw::id::ConnectionId;
///
/// assert!(ConnectionId::parse("JC1dgf9yoAMCK-g=").is_some());
/// assert!(ConnectionId::parse("8f14e45f-ceea-467f-a1d2-0c2f0f7d8a11").is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(Chars);

/// The id of a request; message ids have the same form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Chars);

impl ConnectionId {
    /// The id that encodes these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(Chars::encode(bytes))
    }

    /// The id, if the text is well formed; whether anyone has it is another question.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Chars::parse(text).map(Self)
    }

    /// The bytes that it encodes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BYTES] {
        self.0.decode().unwrap_or_default()
    }

    /// The 16 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl RequestId {
    /// The id that encodes these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(Chars::encode(bytes))
    }

    /// The 16 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Chars([u8; CHARS]);

impl Chars {
    fn encode(bytes: [u8; BYTES]) -> Self {
        let mut chars = [0; CHARS];
        let written = URL_SAFE.encode_slice(bytes, &mut chars);
        debug_assert_eq!(written, Ok(CHARS), "11 bytes are 15 characters and one pad");
        Self(chars)
    }

    fn parse(text: &str) -> Option<Self> {
        let chars = Self(text.as_bytes().try_into().ok()?);
        chars.decode().map(|_| chars)
    }

    fn decode(self) -> Option<[u8; BYTES]> {
        // One byte more than needed: the decoder asks for room by its own estimate.
        let mut room = [0; BYTES + 1];
        let length = URL_SAFE.decode_slice(self.0, &mut room).ok()?;
        room.get(..length)?.try_into().ok()
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64 is ASCII")
    }
}

macro_rules! as_text {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($id), self.as_str())
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Chars::parse(&text)
                    .map(Self)
                    .ok_or_else(|| serde::de::Error::custom("not an id"))
            }
        }
    };
}

as_text!(ConnectionId);
as_text!(RequestId);
