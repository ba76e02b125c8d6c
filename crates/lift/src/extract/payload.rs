//! A typed payload: JSON comes in, a value or the places where it is wrong go out.

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::{Context, FromContext};
use crate::envelope::escape;
use crate::error::Error;
use crate::json::Json;

/// The payload, as `T` says it must be.
#[derive(Debug, Clone)]
pub struct Payload<T>(pub T);

impl<T: DeserializeOwned + JsonSchema> FromContext for Payload<T> {
    fn from_context(context: &Context) -> Result<Self, Error> {
        parse(&context.payload).map(Payload)
    }

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(T))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(payload: &Json) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(payload.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        Error::invalid(pointer, plain(&error.into_inner()))
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = "/payload".to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// The sentence without serde's position, which counts lines of the payload alone.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}
