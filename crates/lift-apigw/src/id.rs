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
/// RFC 4648 §5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
    /// By hand: every message has two, and the general encoder takes four times as long.
    fn encode(bytes: [u8; BYTES]) -> Self {
        let [a, b, c, d, e, f, rest @ ..] = bytes;
        // 48 bits are 8 characters; the other 40 and two zeros are 7.
        let high = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let [g, h, i, j, k] = rest;
        let low = u64::from_be_bytes([0, 0, 0, g, h, i, j, k]) << 2;
        let mut chars = [b'='; CHARS];
        let sixes = (0..8).rev().map(|n| high >> (6 * n));
        let sixes = sixes.chain((0..7).rev().map(|n| low >> (6 * n)));
        for (char, six) in chars.iter_mut().zip(sixes) {
            let [.., six] = (six & 0x3f).to_be_bytes();
            *char = ALPHABET.get(usize::from(six)).copied().unwrap_or(b'=');
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_base64_of_its_bytes() {
        let mut bytes = [0_u8; BYTES];
        for n in 0..1_000_u32 {
            for (at, byte) in (0_u32..).zip(&mut bytes) {
                let [.., low] = (n * 2_654_435 + at * n * 40_503).to_be_bytes();
                *byte = byte.wrapping_add(low);
            }
            let id = ConnectionId::from_bytes(bytes);
            assert_eq!(id.as_str(), URL_SAFE.encode(bytes));
            assert_eq!(id.to_bytes(), bytes);
        }
    }
}
