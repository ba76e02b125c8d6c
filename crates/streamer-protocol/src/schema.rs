//! Nothing comes in, the JSON Schemas (2020-12) of the messages go out.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::{message::ServerMessage, request::ClientMessage, view::RequestView};

/// Schema of what a client sends. Lengths of `metadata` in bytes are beyond JSON Schema.
#[must_use]
pub fn client_message() -> Value {
    of::<ClientMessage>()
}

/// Schema of what the server sends.
#[must_use]
pub fn server_message() -> Value {
    of::<ServerMessage>()
}

/// Schema of a request as `request.get` answers it.
#[must_use]
pub fn request() -> Value {
    of::<RequestView>()
}

fn of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}
