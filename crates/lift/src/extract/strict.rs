//! JSON text as a typed value, strictly: text comes in; what is missing, unknown, repeated or not held exactly is an error at its place.
//!
//! serde_json by itself takes the last of repeated keys of a map, rounds numbers into an `f64`, and
//! names the object, not the field, where one is missing.

use std::collections::HashSet;
use std::fmt::{self, Display, LowerExp};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use crate::envelope::escape;
use crate::error::Field;

/// The value that `text` says, or the first place, under `root`, where it says none.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, root: &str) -> Result<T, Field> {
    serde_path_to_error::deserialize(Strict::payload(text)).map_err(|error| {
        let mut pointer = root.to_owned();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    pointer.push_str(&format!("/{}", escape(key)));
                }
                Segment::Unknown => {}
            }
        }
        let Wrong { field, message } = error.into_inner();
        if let Some(field) = field {
            pointer.push_str(&format!("/{}", escape(field)));
        }
        Field::new(pointer, message)
    })
}

/// What is wrong, and with which field of the object at hand if it is one of them.
#[derive(Debug)]
struct Wrong {
    field: Option<&'static str>,
    message: String,
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        Self {
            field: None,
            message,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            field: Some(field),
            message: "is required".to_owned(),
        }
    }
}

impl From<serde_json::Error> for Wrong {
    /// Without serde_json's position, which counts from wherever the value began.
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        Self::custom(text.split(" at line ").next().unwrap_or_default())
    }
}

/// The text of one value.
struct Strict<'de> {
    text: &'de str,
    /// Whether `null` stands for an object without fields: an absent payload lacks what is required.
    may_be_absent: bool,
}

impl<'de> Strict<'de> {
    fn payload(text: &'de str) -> Self {
        Self {
            text,
            may_be_absent: true,
        }
    }

    fn within(raw: &'de RawValue) -> Self {
        Self {
            text: raw.get(),
            may_be_absent: false,
        }
    }

    fn is(&self, first: u8) -> bool {
        self.text.as_bytes().first() == Some(&first)
    }

    fn is_number(&self) -> bool {
        let first = self.text.as_bytes().first();
        first.is_some_and(|byte| *byte == b'-' || byte.is_ascii_digit())
    }

    fn object(&self, known: Option<&'static [&'static str]>) -> Result<Object<'de>, Wrong> {
        let Entries(entries) = serde_json::from_str(self.text)?;
        let (mut once, mut twice) = (HashSet::new(), HashSet::new());
        for (name, _) in &entries {
            if !once.insert(name) {
                twice.insert(name.clone());
            }
        }
        Ok(Object {
            entries: entries.into_iter(),
            at: None,
            twice,
            known,
        })
    }

    /// A number as a float that has `bits` of precision.
    fn float<F: FromStr + LowerExp>(&self, bits: u32) -> Result<F, Wrong> {
        let inexact = || Wrong::custom("is a number that cannot be held exactly");
        let float: F = self.text.parse().map_err(|_unreadable| inexact())?;
        if is_exact(self.text, &format!("{float:e}"), bits) {
            Ok(float)
        } else {
            Err(inexact())
        }
    }
}

/// Whether a number is the same value as the shortest decimal that reads as the float nearest to
/// it, or an integer that the float has bits enough for.
fn is_exact(text: &str, shortest: &str, bits: u32) -> bool {
    let integer = text.trim_start_matches('-').parse::<u128>();
    let fits = |n: u128| u128::BITS <= bits + n.leading_zeros() + n.trailing_zeros();
    integer.is_ok_and(fits) || decimal(text).is_some_and(|exact| Some(exact) == decimal(shortest))
}

/// The digits of a number without the zeros around them, and the power of ten that they count.
fn decimal(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some((String::new(), 0));
    }
    let exponent: i64 = exponent.parse().ok()?;
    let scale =
        i64::try_from(digits.len() - kept.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    Some((kept.to_owned(), exponent.checked_add(scale)?))
}

impl<'de> IntoDeserializer<'de, Wrong> for Strict<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.is(b'{') {
            return visitor.visit_map(self.object(None)?);
        }
        if self.is(b'[') {
            let items: Vec<&RawValue> = serde_json::from_str(self.text)?;
            let items = items.into_iter().map(Strict::within);
            let mut items = SeqDeserializer::new(items);
            let value = visitor.visit_seq(&mut items)?;
            items.end()?;
            return Ok(value);
        }
        if self.is_number() {
            if let Ok(number) = self.text.parse::<u64>() {
                return visitor.visit_u64(number);
            }
            if let Ok(number) = self.text.parse::<i64>() {
                return visitor.visit_i64(number);
            }
            return visitor.visit_f64(self.float(f64::MANTISSA_DIGITS)?);
        }
        let mut plain = serde_json::Deserializer::from_str(self.text);
        Ok(plain.deserialize_any(visitor)?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.is_number() {
            visitor.visit_f64(self.float(f64::MANTISSA_DIGITS)?)
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.is_number() {
            visitor.visit_f32(self.float(f32::MANTISSA_DIGITS)?)
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text.parse() {
            Ok(number) => visitor.visit_u128(number),
            Err(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text.parse() {
            Ok(number) => visitor.visit_i128(number),
            Err(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.text == "null" {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // The name by which serde_json hands out a value's text; such a value is not looked into.
        if name == "$serde_json::private::RawValue" {
            let mut plain = serde_json::Deserializer::from_str(self.text);
            return Ok(plain.deserialize_newtype_struct(name, visitor)?);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.is(b'{') {
            return visitor.visit_map(self.object(Some(fields))?);
        }
        if self.may_be_absent && self.text == "null" {
            let without_fields = Self::payload("{}");
            return visitor.visit_map(without_fields.object(Some(fields))?);
        }
        if self.is(b'[') {
            // Derived types would take the values of their fields in order.
            return Err(Wrong::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.is(b'"') {
            let variant: String = serde_json::from_str(self.text)?;
            return visitor.visit_enum(variant.into_deserializer());
        }
        if self.is(b'{') {
            let object = self.object(None)?;
            if object.entries.len() != 1 {
                return Err(Wrong::custom("must be an object of exactly one key"));
            }
            return visitor.visit_enum(MapAccessDeserializer::new(object));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

/// The entries of an object as they were written, repeated keys included.
struct Entries<'de>(Vec<(String, &'de RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<'de>(PhantomData<&'de ()>);
        impl<'de> Visitor<'de> for All<'de> {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries<'de>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All(PhantomData))
    }
}

/// An object on its way into a visitor.
struct Object<'de> {
    entries: std::vec::IntoIter<(String, &'de RawValue)>,
    at: Option<(String, &'de RawValue)>,
    twice: HashSet<String>,
    known: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Object<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.at = self.entries.next();
        let Some((name, _)) = &self.at else {
            return Ok(None);
        };
        seed.deserialize(Name(name.clone())).map(Some)
    }

    /// What is wrong with a key is told as its value's fault, so that its place is known.
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self
            .at
            .take()
            .ok_or_else(|| Wrong::custom("has no value"))?;
        if self.twice.contains(&name) {
            return seed.deserialize(Refused("is given more than once"));
        }
        if self
            .known
            .is_some_and(|known| !known.contains(&name.as_str()))
        {
            return seed.deserialize(Refused("is not known here"));
        }
        seed.deserialize(Strict::within(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key of an object; one that is a number may be the key of a map of numbers.
struct Name(String);

macro_rules! numbers {
    ($($deserialize:ident $visit:ident,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_string(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Name {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.0)
    }

    numbers! {
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32,
        deserialize_u64 visit_u64, deserialize_i8 visit_i8, deserialize_i16 visit_i16,
        deserialize_i32 visit_i32, deserialize_i64 visit_i64,
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// In place of a value whose key is wrong.
struct Refused(&'static str);

impl<'de> Deserializer<'de> for Refused {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}
