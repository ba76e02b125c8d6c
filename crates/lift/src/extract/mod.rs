//! What a handler may ask for: one message's context comes in, a typed argument goes out.

pub mod payload;
pub(crate) mod strict;
pub mod state;
pub mod activity;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use schemars::Schema;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::event::Connection;
use crate::id::{Owner, RequestId};
use crate::json::Json;
use crate::outbound::Outbound;
use crate::registry::Connections;
use crate::task::handle::Task;
use state::States;

pub use activity::TenantActivity;
pub use payload::Payload;
pub use state::State;

/// What is known about one message while its handler runs, now or as a task.
#[derive(Debug, Clone)]
pub struct Context {
    /// The request.
    pub request_id: RequestId,
    /// Whose it is.
    pub owner: Owner,
    /// The action it asks for.
    pub action: String,
    /// The payload as sent.
    pub payload: Json,
    /// What the client sent along.
    pub metadata: BTreeMap<String, String>,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The connection it came from; absent in a task, which outlives connections.
    pub connection: Option<Arc<Connection>>,
    /// The task's side of its lease; in a sync handler it reports to nobody.
    pub task: Task,
    pub(crate) states: Arc<States>,
    pub(crate) connections: Connections,
    pub(crate) outbound: Outbound,
}

/// Something a handler can take as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    note = "handlers take `Payload<T>`, `State<T>`, `Owner`, `RequestId`, `Metadata`, `Task`, `TenantActivity`, `Connections`, `Outbound` or `Json`"
)]
pub trait FromContext: Sized {
    /// Takes the argument out of the context.
    ///
    /// # Errors
    /// When the message cannot give it; the client is answered with the error.
    fn from_context(context: &Context) -> Result<Self, Error>;

    /// The JSON Schema that the payload must meet for this argument, if any.
    fn schema() -> Option<Schema> {
        None
    }

    /// Whether an app with these states can give the argument; checked once, at start-up.
    ///
    /// # Errors
    /// The name of what is missing.
    fn check(states: &States) -> Result<(), &'static str> {
        let _ = states;
        Ok(())
    }
}

impl FromContext for Owner {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.owner.clone())
    }
}

impl FromContext for RequestId {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.request_id)
    }
}

impl FromContext for Json {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.payload.clone())
    }
}

impl FromContext for Connections {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.connections.clone())
    }
}

impl FromContext for Outbound {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.outbound.clone())
    }
}

impl FromContext for Task {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(context.task.clone())
    }
}

/// What the client sent along with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(pub BTreeMap<String, String>);

impl FromContext for Metadata {
    fn from_context(context: &Context) -> Result<Self, Error> {
        Ok(Self(context.metadata.clone()))
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
