//! Spans of messages and tasks come in; subsegments of the connection's trace go to the X-Ray daemon.

use std::fmt::Debug;

use lift::clock::Clock;
use lift::error::Code;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::xray::{Daemon, Outcome, Subsegment, TraceHeader};

/// The framework's spans that are worth a subsegment: one a message, one a claim of a request.
const TRACED: [&str; 2] = ["request", "task"];

/// A layer beside the log's.
#[derive(Debug)]
pub struct Traces {
    /// Where subsegments go.
    pub daemon: Daemon,
    /// When they begin and end.
    pub clock: Clock,
    /// The trace header of what is being handled.
    pub header: fn() -> Option<String>,
}

/// What is kept with a span until it closes.
struct Open {
    subsegment: Subsegment,
    outcome: Outcome,
}

impl<S> Layer<S> for Traces
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = attributes.metadata().name();
        if !TRACED.contains(&name) {
            return;
        }
        let header = (self.header)().and_then(|header| header.parse::<TraceHeader>().ok());
        let (Some(header), Some(span)) = (header, context.span(id)) else {
            return;
        };
        let mut annotated = Annotated(Subsegment::begin(name, &header, self.clock.now()));
        attributes.record(&mut annotated);
        span.extensions_mut().insert(Open {
            subsegment: annotated.0,
            outcome: Outcome::Ok,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut said = Said(None);
        values.record(&mut said);
        let (Some(code), Some(span)) = (said.0, context.span(id)) else {
            return;
        };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            open.outcome = Some(code).into();
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id);
        let open = span.and_then(|span| span.extensions_mut().remove::<Open>());
        let ended = open.and_then(|open| open.subsegment.end(open.outcome, self.clock.now()));
        if let Some(document) = ended {
            self.daemon.send(&document);
        }
    }
}

/// Fields of a new span become annotations.
struct Annotated(Subsegment);

impl Visit for Annotated {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "claim" {
            self.0.claim(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "action" {
            self.0.action(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "request_id" {
            self.0.request_id(&format!("{value:?}"));
        }
    }
}

/// The code of an `outcome`.
struct Said(Option<Code>);

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "outcome" {
            self.0 = Code::ALL.into_iter().find(|code| code.as_str() == value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
