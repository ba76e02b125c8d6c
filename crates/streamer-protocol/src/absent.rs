//! A JSON value comes in, the field's value goes out, with `null` counted as absent.

use serde::{Deserialize, Deserializer};

/// Reads an optional field whose absence has a value of its own: `#[serde(default, deserialize_with = …)]`.
pub(crate) fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
