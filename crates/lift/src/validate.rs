//! A payload against its action's JSON Schema: JSON comes in, the places where it is wrong go out.

use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
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

fn fields(error: &ValidationError<'_>) -> Vec<Field> {
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
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            choice(context).unwrap_or_else(|| vec![quoted(place, error)])
        }
        _ => vec![quoted(place, error)],
    }
}

/// What is wrong with a value that is none of several forms: the field that chooses a form, with the
/// values that it may have, or what the form that was chosen lacks; none where no field chooses.
fn choice(forms: &[Vec<ValidationError<'_>>]) -> Option<Vec<Field>> {
    let chosen = |form: &[ValidationError<'_>]| {
        form.iter().find_map(|error| match error.kind() {
            ValidationErrorKind::Constant { expected_value } => Some((
                error.instance_path().as_str().to_owned(),
                expected_value.to_string(),
            )),
            _ => None,
        })
    };
    let others: Vec<_> = forms.iter().filter_map(|form| chosen(form)).collect();
    if others.len() + 1 == forms.len() {
        let this = forms.iter().find(|form| chosen(form).is_none())?;
        return Some(this.iter().flat_map(fields).collect());
    }
    let Some((place, _)) = others.first() else {
        // Nothing was chosen: what all forms ask for is missing.
        let (first, rest) = forms.split_first()?;
        let lacks = |form: &[ValidationError<'_>], field: &Field| {
            form.iter().flat_map(fields).any(|other| other == *field)
        };
        let missing = first.iter().flat_map(fields);
        let missing = missing.filter(|field| rest.iter().all(|form| lacks(form, field)));
        return Some(missing.collect()).filter(|fields: &Vec<_>| !fields.is_empty());
    };
    if others.len() < forms.len() || others.iter().any(|(other, _)| other != place) {
        return None;
    }
    let values: Vec<_> = others.iter().map(|(_, value)| value.as_str()).collect();
    let message = format!("must be one of {}", values.join(", "));
    Some(vec![Field::new(format!("/payload{place}"), message)])
}

fn quoted(place: String, error: &ValidationError<'_>) -> Field {
    let mut message = error.to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    Field::new(place, message)
}
