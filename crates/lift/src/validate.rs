//! A payload against its action's JSON Schema: JSON comes in, the places where it is wrong go out.

use std::sync::Arc;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::envelope::escape;
use crate::error::{Error, FIELDS_MAX, Field};
use crate::extract::payload;
use crate::json::Json;

/// Longest message about one field, in bytes: schemas quote the value that they refuse.
const MESSAGE_BYTES_MAX: usize = 200;

/// A schema, compiled once.
#[derive(Clone)]
pub(crate) struct Schema {
    value: Arc<Value>,
    validator: Arc<Validator>,
}

impl Schema {
    /// Compiles a schema that came from a Rust type.
    pub(crate) fn new(schema: schemars::Schema) -> Self {
        let value = Value::from(schema);
        let validator = jsonschema::validator_for(&value)
            .expect("schemars writes valid JSON Schema 2020-12 from a type");
        Self {
            value: Arc::new(value),
            validator: Arc::new(validator),
        }
    }

    pub(crate) fn as_value(&self) -> &Value {
        &self.value
    }

    /// Checks a payload.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with up to [`FIELDS_MAX`] places.
    pub(crate) fn check(&self, payload: &Json) -> Result<(), Error> {
        // Where an object is asked for, its absence is that of its fields: those are named.
        let is_object = self.value.get("type").and_then(Value::as_str) == Some("object");
        let payload: Value = match payload::parse(payload)? {
            Value::Null if is_object => Value::Object(serde_json::Map::new()),
            payload => payload,
        };
        let fields: Vec<Field> = self
            .validator
            .iter_errors(&payload)
            .flat_map(|error| fields(&error))
            .take(FIELDS_MAX)
            .collect();
        if fields.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_fields(fields))
        }
    }
}

fn fields(error: &jsonschema::ValidationError<'_>) -> Vec<Field> {
    let place = format!("/payload{}", error.instance_path().as_str());
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Field::new(
                format!("{place}/{}", escape(name)),
                "is required",
            )]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Field::new(format!("{place}/{}", escape(name)), "is not known here"))
            .collect(),
        _ => {
            let mut message = error.to_string();
            if message.len() > MESSAGE_BYTES_MAX {
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
                message.push('…');
            }
            vec![Field::new(place, message)]
        }
    }
}
