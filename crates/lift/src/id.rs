//! Ids of connections, requests and their owners: text comes in, a checked id goes out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use ulid::{ULID_LEN, Ulid};

use crate::clock::Timestamp;

/// Longest tenant or user id, in bytes.
pub const OWNER_ID_BYTES_MAX: usize = 128;

/// The id did not have the shape that its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct InvalidId {
    kind: &'static str,
}

/// The gateway's name for one open socket; opaque, never reused. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(Arc<str>);

impl ConnectionId {
    /// Takes the id as the gateway gave it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
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
        let spelt = |id: &Ulid| *id.array_to_str(&mut [0; ULID_LEN]) == *text;
        let id = Ulid::from_string(text).ok().filter(spelt);
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

fn owner_id(text: &str, kind: &'static str) -> Result<Arc<str>, InvalidId> {
    let shaped = (1..=OWNER_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:@|+=-".contains(&b))
        && text != "."
        && text != "..";
    if shaped {
        Ok(text.into())
    } else {
        Err(InvalidId { kind })
    }
}

macro_rules! owner_ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

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

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                checked(deserializer)
            }
        }
    )*};
}

owner_ids! {
    /// A tenant: 1–128 bytes of `[A-Za-z0-9._:@|+=-]`, not `.` or `..`. Cheap to clone.
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
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.array_to_str(&mut [0; ULID_LEN]))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(deserializer)
    }
}

/// Reads an id where its text lies.
fn checked<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = InvalidId>,
    D: Deserializer<'de>,
{
    struct Text<T>(std::marker::PhantomData<T>);
    impl<T: FromStr<Err = InvalidId>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(std::marker::PhantomData))
}
