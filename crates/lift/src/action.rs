//! What an app can do under one name: a handler and how to run it come in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::handler::{Erased, Handler};
use crate::json::Json;
use crate::validate::Schema;

type Estimate = Arc<dyn Fn(&Json) -> Duration + Send + Sync>;

/// A handler with the way it is run: now, or as a durable task.
#[derive(Clone)]
pub struct Action {
    pub(crate) handler: Erased,
    pub(crate) mode: Mode,
    pub(crate) before: Option<Erased>,
    pub(crate) after: Option<Erased>,
    pub(crate) start_after: Duration,
    pub(crate) schema: Option<Schema>,
    pub(crate) grant: Option<&'static str>,
}

#[derive(Clone)]
pub(crate) enum Mode {
    Sync,
    Task,
    Estimated(Estimate),
}

impl Action {
    fn new<A: 'static>(handler: impl Handler<A>, mode: Mode) -> Self {
        let handler = Erased::new(handler);
        let schema = handler.schema.clone().map(Schema::new);
        Self {
            handler,
            mode,
            before: None,
            after: None,
            start_after: Duration::ZERO,
            schema,
            grant: None,
        }
    }

    /// A handler that answers at once.
    pub fn sync<A: 'static>(handler: impl Handler<A>) -> Self {
        Self::new(handler, Mode::Sync)
    }

    /// A handler that runs as a durable task.
    pub fn task<A: 'static>(handler: impl Handler<A>) -> Self {
        Self::new(handler, Mode::Task)
    }

    /// A handler that runs as a task where `estimate`, given the payload, is above
    /// [`Limits::defer_above`](crate::limits::Limits::defer_above).
    pub fn estimated<A: 'static>(
        estimate: impl Fn(&Json) -> Duration + Send + Sync + 'static,
        handler: impl Handler<A>,
    ) -> Self {
        Self::new(handler, Mode::Estimated(Arc::new(estimate)))
    }

    /// The same action, whose task starts so long after its acknowledgment at the earliest.
    #[must_use]
    pub fn start_after(mut self, wait: Duration) -> Self {
        self.start_after = wait;
        self
    }

    /// The same action, for callers alone whose token names `grant` among its permissions, beside the
    /// action itself.
    #[must_use]
    pub fn needs(mut self, grant: &'static str) -> Self {
        self.grant = Some(grant);
        self
    }

    /// The grant that it needs beyond being permitted, if any.
    pub fn grant(&self) -> Option<&'static str> {
        self.grant
    }

    /// Whether it answers at once, whatever the payload.
    pub fn is_sync(&self) -> bool {
        matches!(self.mode, Mode::Sync)
    }

    /// The same action with a check that runs before it is accepted, so that what can be refused
    /// at once is. What the check returns is ignored, its error is the answer.
    #[must_use]
    pub fn before<A: 'static>(mut self, check: impl Handler<A>) -> Self {
        self.before = Some(Erased::new(check));
        self
    }

    /// The same action with a handler that cleans up once a request's end is recorded, whichever
    /// it is. It sees no payload. It may be missed where the process dies before it, and its error
    /// is a log line: what it leaves must be found at the next start.
    #[must_use]
    pub fn after<A: 'static>(mut self, cleanup: impl Handler<A>) -> Self {
        self.after = Some(Erased::new(cleanup));
        self
    }

    /// The JSON Schema (2020-12) of the payload, if the handler takes a typed one.
    pub fn schema(&self) -> Option<&serde_json::Value> {
        self.schema.as_ref().map(Schema::as_value)
    }

    pub(crate) fn deferred(&self, payload: &Json, above: Duration) -> bool {
        match &self.mode {
            Mode::Sync => false,
            Mode::Task => true,
            Mode::Estimated(estimate) => estimate(payload) > above,
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Sync => "sync",
            Mode::Task => "task",
            Mode::Estimated(_) => "estimated",
        };
        f.debug_struct("Action")
            .field("mode", &mode)
            .finish_non_exhaustive()
    }
}
