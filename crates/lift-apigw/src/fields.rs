//! In: JSON objects whose keys and order matter. Out: ordered lists of pairs that borrow from the input.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{
    BorrowedStrDeserializer, MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer,
};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize as DeriveDeserialize, Serialize as DeriveSerialize};

/// A JSON object as ordered pairs; a repeated key is kept as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a, V>(pub Vec<(Cow<'a, str>, V)>);

impl<V> Default for Fields<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Fields<'_, V> {
    /// The value under exactly this key; of a repeated key, the last.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

impl<V: Serialize> Serialize for Fields<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Fields<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<'a, V>(PhantomData<Fields<'a, V>>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Pairs<'a, V> {
            type Value = Fields<'a, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(64));
                while let Some((Text(key), value)) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Fields(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// A string that borrows from the JSON text where it holds no escape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, DeriveSerialize, DeriveDeserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Header or query parameters: each name once, with all its values in order.
///
/// API Gateway sends two maps, one with the last value of each name and one with all values;
/// the first follows from the second, so one is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(pub Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)>);

impl<'a> Params<'a> {
    /// Groups pairs by name, ignoring case, in the order and spelling of each first occurrence.
    pub fn headers(pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        Self::group(pairs, str::eq_ignore_ascii_case)
    }

    /// Groups pairs by exact name, in the order of each first occurrence.
    pub fn query(pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Self {
        Self::group(pairs, |a, b| a == b)
    }

    fn group(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        same: impl Fn(&str, &str) -> bool,
    ) -> Self {
        let mut grouped: Vec<(Cow<'a, str>, Vec<Cow<'a, str>>)> = Vec::new();
        for (name, value) in pairs {
            match grouped.iter_mut().find(|(known, _)| same(known, &name)) {
                Some((_, values)) => values.push(value),
                None => grouped.push((name, vec![value])),
            }
        }
        Self(grouped)
    }

    /// All values under this name, ignoring case.
    #[must_use]
    pub fn all(&self, name: &str) -> &[Cow<'a, str>] {
        let found = self
            .0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// The last value under this name, ignoring case.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(AsRef::as_ref)
    }

    /// Both maps as one event holds them; the multi-value map wins where both are given.
    pub(crate) fn from_maps(
        single: Option<Fields<'a, Text<'a>>>,
        multi: Option<Fields<'a, Vec<Text<'a>>>>,
    ) -> Option<Self> {
        match (single, multi) {
            (_, Some(Fields(pairs))) => Some(Self(
                pairs
                    .into_iter()
                    .map(|(name, values)| (name, values.into_iter().map(|Text(v)| v).collect()))
                    .collect(),
            )),
            (Some(Fields(pairs)), None) => Some(Self::headers(
                pairs.into_iter().map(|(name, Text(value))| (name, value)),
            )),
            (None, None) => None,
        }
    }
}

/// Writes the map of last values.
pub(crate) struct Single<'p>(pub(crate) &'p Params<'p>);

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.0.len()))?;
        for (name, values) in &self.0.0 {
            map.serialize_entry(name, values.last().map_or("", AsRef::as_ref))?;
        }
        map.end()
    }
}

/// Writes the map of all values.
pub(crate) struct Multi<'p>(pub(crate) &'p Params<'p>);

impl Serialize for Multi<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.0.iter().map(|(name, values)| (name, values)))
    }
}

/// A string, number or boolean: the only values an authorizer's context may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A JSON string.
    Text(Cow<'a, str>),
    /// A JSON number.
    Number(serde_json::Number),
    /// A JSON boolean.
    Bool(bool),
}

impl Scalar<'_> {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Bool(_) => None,
        }
    }

    /// The same value with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Scalar::Number(number),
            Self::Bool(value) => Scalar::Bool(value),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => number.serialize(serializer),
            Self::Bool(value) => serializer.serialize_bool(*value),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, number or boolean")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value.into()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                serde_json::Number::from_f64(value)
                    .map(Scalar::Number)
                    .ok_or_else(|| E::custom("a number that JSON cannot hold"))
            }
        }
        deserializer.deserialize_any(One)
    }
}

/// One JSON value or a list of them, as IAM policies allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMany<T> {
    /// The value alone.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values, however they were written.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(one) => one.serialize(serializer),
            Self::Many(many) => many.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list of them")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                T::deserialize(BorrowedStrDeserializer::new(text)).map(OneOrMany::One)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(OneOrMany::One)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}
