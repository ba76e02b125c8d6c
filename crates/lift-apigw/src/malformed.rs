//! In: what a function returned, where it cannot be read. Out: which part of it is wrong, for who wrote the function.

use std::error::Error;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::fields::Fields;

/// Why an answer cannot be read: the part of it that is wrong, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Malformed {}

/// What a field must be.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
}

/// Whether a field may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

impl Malformed {
    /// Looks for what is wrong with an answer that must be like `example`; `error` is what the parser says
    /// where no field by itself is wrong.
    pub(crate) fn find(
        json: &[u8],
        example: &str,
        fields: &[Field],
        error: &serde_json::Error,
    ) -> Self {
        let kind = match serde_json::from_slice::<Kind>(json) {
            Ok(kind) => kind,
            Err(error) => return Self(format!("the answer is not JSON: {error}")),
        };
        let Ok(found) = serde_json::from_slice::<Fields<'_, Kind>>(json) else {
            return Self(format!(
                "the answer must be like {example}, and it is {kind}"
            ));
        };
        for field in fields {
            let name = field.name;
            // Of a repeated key, the last counts.
            let value = found.0.iter().rev().find(|(key, _)| key == name);
            let wrong = match value.map(|(_, kind)| *kind) {
                Some(kind) if kind == field.kind => continue,
                None | Some(Kind::Null) if field.presence == Presence::Optional => continue,
                None => format!("`{name}` is missing: the answer must be like {example}"),
                Some(kind) => format!("`{name}` must be {}, and it is {kind}", field.kind),
            };
            return Self(wrong);
        }
        Self(format!("the answer cannot be read: {error}"))
    }

    /// The value of this context that is none that events can carry.
    pub(crate) fn in_context(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            context: Fields<'a, Kind>,
        }
        let answer: Answer<'_> = serde_json::from_slice(json).ok()?;
        let is_wrong = |kind: Kind| matches!(kind, Kind::Null | Kind::List | Kind::Object);
        let (name, kind) = answer.context.0.iter().find(|(_, kind)| is_wrong(*kind))?;
        Some(Self(format!(
            "`context.{name}` must be a string, a number or a boolean, and it is {kind}"
        )))
    }
}

/// What a JSON value is, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Kind;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
                Ok(Kind::Bool)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
                Ok(Kind::Number)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
                Ok(Kind::Number)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
                Ok(Kind::Number)
            }
            fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
                Ok(Kind::Text)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Kind::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Kind::Object)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
