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
