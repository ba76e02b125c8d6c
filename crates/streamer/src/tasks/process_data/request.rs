//! A payload's JSON comes in; the typed request of `process_data` goes out.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::tasks::output::Output;

/// The payload of `process_data`.
///
/// Deserialize it from text: through a `serde_json::Value` a long number of a filter has lost digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessData {
    /// The object to read: `.csv`, `.ndjson` or `.jsonl`, relative to the tenant's folder.
    #[schemars(length(min = 1, max = 512))]
    pub input: String,
    /// What is done to the rows, in this order.
    #[serde(deserialize_with = "operations")]
    #[schemars(length(max = 32))]
    pub operations: Vec<Operation>,
    /// What is written.
    pub output: Output,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    /// Keeps the rows whose column compares so with the value.
    Filter {
        /// The column compared.
        column: String,
        /// How.
        is: Comparison,
        /// With what; for `in` a list.
        value: Operand,
    },
    /// Keeps these columns, in this order.
    Select {
        /// At least one, none twice.
        #[schemars(length(min = 1))]
        columns: Vec<String>,
    },
    /// One row per distinct key, in the order in which keys first appear.
    Aggregate {
        /// The key; empty for one row over everything, which is there without input rows too.
        by: Vec<String>,
        /// What is computed; may be empty: then the keys alone.
        measures: Vec<Measure>,
    },
    /// Keeps the first row of each distinct key.
    Deduplicate {
        /// The key.
        #[schemars(length(min = 1))]
        by: Vec<String>,
    },
    /// The first `n` rows of the sorted input; equal rows keep the input's order.
    Top {
        /// How many rows.
        #[schemars(range(min = 1))]
        n: u64,
        /// The column sorted by.
        by: String,
        /// Which end comes first.
        #[serde(default)]
        order: Order,
    },
}

/// How a filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal: holds exactly where `eq` does not.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// The column's text holds the value's text.
    Contains,
    /// Equal to one of a list.
    In,
}

/// Which end of a sort comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Greatest first.
    #[default]
    Desc,
    /// Least first.
    Asc,
}

/// One computed column of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// What is computed.
    #[serde(rename = "fn")]
    pub function: Function,
    /// Of which column; `count` may go without and then counts rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The name of the computed column.
    #[serde(rename = "as")]
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What an aggregate computes of one column's present values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// How many.
    Count,
    /// Their exact decimal sum; 0 of none.
    Sum,
    /// The least; null of none.
    Min,
    /// The greatest; null of none.
    Max,
    /// Sum over count, 12 decimal places or as many as the sum has, halves to even; null of none.
    Mean,
}

/// What a filter compares with; a number keeps the text it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's text.
    Number(String),
    /// A string.
    Text(String),
    /// A list, for `in`.
    List(Vec<Self>),
}

/// Steps are read from their own text, because an internally tagged enum buffers numbers as `f64`.
fn operations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Operation>, D::Error> {
    #[derive(Deserialize)]
    struct Exact {
        value: Box<RawValue>,
    }
    let place = |step: usize, error: serde_json::Error| {
        de::Error::custom(format_args!("operations/{step}: {error}"))
    };
    let texts = Vec::<Box<RawValue>>::deserialize(from)?;
    let steps = texts.iter().enumerate().map(|(step, text)| {
        let mut operation = serde_json::from_str(text.get()).map_err(|e| place(step, e))?;
        if let Operation::Filter { value, .. } = &mut operation {
            let exact: Exact = serde_json::from_str(text.get()).map_err(|e| place(step, e))?;
            *value = exact_operand(&exact.value).map_err(|e| place(step, e))?;
        }
        Ok(operation)
    });
    steps.collect()
}

fn exact_operand(raw: &RawValue) -> Result<Operand, serde_json::Error> {
    match raw.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Ok(Operand::Number(raw.get().to_owned())),
        Some(b'[') => {
            let list: Vec<Box<RawValue>> = serde_json::from_str(raw.get())?;
            list.iter()
                .map(|raw| exact_operand(raw))
                .collect::<Result<_, _>>()
                .map(Operand::List)
        }
        _ => serde_json::from_str(raw.get()),
    }
}

impl<'de> Deserialize<'de> for Operand {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Operand;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, true, false, null, or a list of them")
            }
            fn visit_unit<E>(self) -> Result<Operand, E> {
                Ok(Operand::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Operand, E> {
                Ok(Operand::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Operand, E> {
                Ok(Operand::Number(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Operand, E> {
                Ok(Operand::Number(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Operand, E> {
                Ok(Operand::Number(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Operand, E> {
                Ok(Operand::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Operand, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Operand::List(values))
            }
        }
        from.deserialize_any(Seen)
    }
}

impl Serialize for Operand {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Number(text) => RawValue::from_string(text.clone())
                .map_err(serde::ser::Error::custom)?
                .serialize(to),
            Self::Text(text) => to.serialize_str(text),
            Self::List(values) => to.collect_seq(values),
        }
    }
}

impl JsonSchema for Operand {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Operand".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What the column is compared with; for `in` a list.",
            "type": ["string", "number", "boolean", "null", "array"],
            "items": { "type": ["string", "number", "boolean", "null"] }
        })
    }
}
