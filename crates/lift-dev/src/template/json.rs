//! In: a resolved value. Out: the same as JSON.

use serde_json::Value;

use super::tree::{Entry, Kind, Node};

/// The value as JSON, as YAML's core schema reads its plain scalars.
pub(super) fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Null | Kind::Broken => Value::Null,
        Kind::Text(text) => Value::from(text.as_str()),
        Kind::Plain(text) => match text.as_str() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => match serde_json::from_str(text) {
                Ok(number @ Value::Number(_)) => number,
                _ => Value::from(text),
            },
        },
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            let entry = |entry: &Entry| (entry.key.clone(), value(&entry.value));
            Value::Object(entries.iter().map(entry).collect())
        }
    }
}

/// The value as JSON; a text is JSON that is written out.
pub(super) fn document(node: &Node) -> Option<Value> {
    match node.as_text() {
        Some(text) => serde_json::from_str(text).ok(),
        None => Some(value(node)),
    }
}
