//! Nothing comes in, the JSON Schemas of the messages and of the control actions go out.

use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde_json::Value;

use crate::error::ErrorBody;
use crate::message::{
    Acknowledgment, Cancelled, Complete, Failure, GoingAway, Pong, Progress, Response,
    ServerMessage,
};
use crate::request::{ClientMessage, List, Named, Resume, action};
use crate::view::{Cancelling, Page, RequestView, Resumed};

/// Schema of what a client sends. Lengths of `metadata` in bytes are beyond JSON Schema.
#[must_use]
pub fn client_message() -> Value {
    Type::of::<ClientMessage>().document()
}

/// Schema of what the server sends.
#[must_use]
pub fn server_message() -> Value {
    Type::of::<ServerMessage>().document()
}

/// Schema of a request as `request.get` answers it.
#[must_use]
pub fn request() -> Value {
    Type::of::<RequestView>().document()
}

/// Schema of an error.
#[must_use]
pub fn error() -> Value {
    Type::of::<ErrorBody>().document()
}

/// A Rust type, as far as a schema of it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Type {
    document: fn() -> Value,
    part: fn(&mut SchemaGenerator) -> Schema,
}

impl Type {
    /// The type `T`.
    #[must_use]
    pub const fn of<T: JsonSchema>() -> Self {
        Self {
            document: || schema_for!(T).to_value(),
            part: |generator| generator.subschema_for::<T>(),
        }
    }

    /// Its schema as a document of its own (2020-12).
    #[must_use]
    pub fn document(self) -> Value {
        (self.document)()
    }

    /// Its schema as a part of the generator's document.
    pub fn part(self, generator: &mut SchemaGenerator) -> Value {
        (self.part)(generator).to_value()
    }
}

/// How an action is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By `pong`.
    Pong,
    /// By a `response`, at once.
    Response,
    /// By an `acknowledgment`, and later by `complete` with a result.
    Task,
}

/// An action, as documents describe it.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// How it is answered.
    pub mode: Mode,
    /// The grant that a token must name beside the action.
    pub grant: Option<&'static str>,
    /// What it takes; none where any payload is taken or ignored.
    pub payload: Option<Type>,
    /// What its `response` or `complete` brings; none where that is any JSON, or nothing.
    pub answer: Option<Type>,
}

/// The actions that every service has. A token needs no permission for them.
pub const CONTROL: [Action; 5] = [
    control(action::PING, "Keeps the connection in use.", None, None),
    control(
        action::GET,
        "One of the caller's requests as it is now.",
        Some(Type::of::<Named<'static>>()),
        Some(Type::of::<RequestView>()),
    ),
    control(
        action::LIST,
        "The caller's requests, newest first.",
        Some(Type::of::<List>()),
        Some(Type::of::<Page>()),
    ),
    control(
        action::CANCEL,
        "Asks that a request be stopped.",
        Some(Type::of::<Named<'static>>()),
        Some(Type::of::<Cancelling>()),
    ),
    control(
        action::RESUME,
        "Attaches this connection to requests, and tells what it missed.",
        Some(Type::of::<Resume<'static>>()),
        Some(Type::of::<Resumed>()),
    ),
];

const fn control(
    name: &'static str,
    summary: &'static str,
    payload: Option<Type>,
    answer: Option<Type>,
) -> Action {
    Action {
        name,
        summary,
        mode: match answer {
            Some(_) => Mode::Response,
            None => Mode::Pong,
        },
        grant: None,
        payload,
        answer,
    }
}

/// What the server says, by `type`.
pub const SERVER: [(&str, Type); 8] = [
    ("response", Type::of::<Response>()),
    ("acknowledgment", Type::of::<Acknowledgment>()),
    ("progress", Type::of::<Progress>()),
    ("complete", Type::of::<Complete>()),
    ("cancelled", Type::of::<Cancelled>()),
    ("error", Type::of::<Failure>()),
    ("pong", Type::of::<Pong>()),
    ("going_away", Type::of::<GoingAway>()),
];
