//! A typed payload: JSON comes in, a value or the places where it is wrong go out.

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::{Context, FromContext, strict};
use crate::error::Error;
use crate::json::Json;

/// The payload, as `T` says it must be: a field that `T` does not know, one that is there twice, and a
/// number that `T` cannot hold exactly are errors. An internally tagged enum needs serde's
/// `deny_unknown_fields` for the first of these.
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
    strict::parse(payload.get(), "/payload").map_err(|wrong| Error::invalid_fields(vec![wrong]))
}
