//! In: an item's attributes. Out: their form in DynamoDB's JSON (API Reference, "AttributeValue").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An item, or a part of one.
pub(crate) type Item = BTreeMap<String, Value>;

/// An attribute's value, of the kinds that are used here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// A text.
    S(String),
    /// A number, which travels as text.
    N(String),
    /// True or false.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// A list.
    L(Vec<Self>),
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::S(text.into())
    }

    /// A number that is whole and not negative.
    pub(crate) fn number(number: impl Into<u64>) -> Self {
        Self::N(number.into().to_string())
    }
}

/// The attributes of these names; those without a value are left out.
pub(crate) fn item<const N: usize>(attributes: [(&str, impl Into<Option<Value>>); N]) -> Item {
    let there = attributes.into_iter();
    there
        .filter_map(|(name, value)| Some((name.to_owned(), value.into()?)))
        .collect()
}

/// An item lacks an attribute, or has one that is not of its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute `{0}` is missing or malformed")]
pub(crate) struct Misshapen(pub(crate) &'static str);

/// An attribute's text.
pub(crate) fn text<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, Misshapen> {
    match item.get(name) {
        Some(Value::S(text)) => Ok(text),
        _ => Err(Misshapen(name)),
    }
}

/// An attribute's number.
pub(crate) fn number<T: std::str::FromStr>(
    item: &Item,
    name: &'static str,
) -> Result<T, Misshapen> {
    match item.get(name) {
        Some(Value::N(number)) => number.parse().ok().ok_or(Misshapen(name)),
        _ => Err(Misshapen(name)),
    }
}
