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
    /// A number.
    pub(crate) fn n(number: impl std::fmt::Display) -> Self {
        Self::N(number.to_string())
    }
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

/// An item of these attributes.
pub(crate) fn item<const N: usize>(attributes: [(&str, Value); N]) -> Item {
    let named = attributes.map(|(name, value)| (name.to_owned(), value));
    Item::from(named)
}
