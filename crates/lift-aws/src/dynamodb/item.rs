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
