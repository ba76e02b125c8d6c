//! Ids of connections, requests and their owners: text comes in, a checked id goes out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::Timestamp;

/// Longest tenant or user id, in bytes.
pub const OWNER_ID_BYTES_MAX: usize = 128;

/// The id did not have the shape that its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct InvalidId {
    kind: &'static str,
}

/// The gateway's name for one open socket; opaque, never reused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Takes the id as the gateway gave it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A server-made ULID that names one message's work for as long as its record lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Ulid);

impl RequestId {
    /// Makes an id from the time and 80 bits of randomness that the caller supplies.
    pub fn from_parts(now: Timestamp, random: u128) -> Self {
        Self(Ulid::from_parts(now.as_millis(), random))
    }

    /// The 16 bytes, in the order that sorts by time.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id whose 16 bytes these are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;

    /// Accepts the canonical 26 upper-case characters alone, so that one id has one spelling.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id = Ulid::from_string(text)
            .ok()
            .filter(|id| id.to_string() == text);
        id.map(Self).ok_or(InvalidId { kind: "request id" })
    }
}

/// Whose a request is: `(tenant, user)` of the verified token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant.
    pub tenant: TenantId,
    /// The user within it.
    pub user: UserId,
}

impl Owner {
    /// Checks both ids.
    ///
    /// # Errors
    /// When either is empty, longer than 128 bytes, `.`, `..`, or has a character outside
    /// `[A-Za-z0-9._:@|+=-]`.
    pub fn new(tenant: &str, user: &str) -> Result<Self, InvalidId> {
        Ok(Self {
            tenant: tenant.parse()?,
            user: user.parse()?,
        })
    }
}

impl fmt::Display for Owner {
    /// `{tenant}#{user}`: `#` is in neither alphabet, so the text is unambiguous.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.tenant, self.user)
    }
}

fn owner_id(text: &str, kind: &'static str) -> Result<String, InvalidId> {
    let shaped = (1..=OWNER_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:@|+=-".contains(&b))
        && text != "."
        && text != "..";
    if shaped {
        Ok(text.to_owned())
    } else {
        Err(InvalidId { kind })
    }
}

macro_rules! owner_ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                owner_id(text, $kind).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

owner_ids! {
    /// A tenant: 1–128 bytes of `[A-Za-z0-9._:@|+=-]`, not `.` or `..`.
    TenantId, "tenant id";
    /// A user of a tenant; same shape as [`TenantId`].
    UserId, "user id";
}

macro_rules! display_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )*};
}
display_as_text!(ConnectionId, RequestId, TenantId, UserId);

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
