//! Log lines of a function: what `tracing` records comes in, one line an event goes out.
//!
//! Keys are Powertools' (`level`, `timestamp`, `service`, `cold_start`, `function_request_id` …)
//! and those of [`FIELDS`](super::names::FIELDS). The fields of all spans around an event are in
//! its line; of two with one name that of the inner span counts.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use lift::clock::Clock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::{cut, quoted};

/// Bytes of a field's value; the rest of a longer one is left out.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// It says again, without its causes, what the host has said of an invocation that failed.
const SAID_ELSEWHERE: &str = "lambda_runtime::layers::panic";

/// Says whole events, tokens and payloads included, below `INFO`.
const INDISCREET: &str = "lambda_runtime";

/// What lines are like.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key `service`, `POWERTOOLS_SERVICE_NAME`.
    pub service: String,
    /// Which events become lines. Spans up to `info` are kept in any case: a warning says which
    /// request it is about.
    pub level: LevelFilter,
    /// JSON or text.
    pub form: Form,
    /// What time a line is of.
    pub clock: Clock,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object, for CloudWatch Logs.
    Json,
    /// `time level target: message key=value …`, for people who run it locally.
    Text,
}

/// The level of this name, as `POWERTOOLS_LOG_LEVEL` and `AWS_LAMBDA_LOG_LEVEL` have it; case
/// does not matter.
pub fn level(name: &str) -> Option<LevelFilter> {
    let level = match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" | "CRITICAL" | "FATAL" => LevelFilter::ERROR,
        "SILENT" => LevelFilter::OFF,
        _ => return None,
    };
    Some(level)
}

/// What writes every event to `out`, for `tracing::subscriber::set_global_default`. Each line is
/// one `write_all`; what `out` does not take is lost, since there is nowhere to say so.
pub fn subscriber<W: Write + Send + 'static>(
    config: Config,
    out: W,
) -> impl Subscriber + Send + Sync + for<'a> LookupSpan<'a> {
    Registry::default().with(Lines {
        service: quoted(&config.service),
        config,
        out: Mutex::new(out),
    })
}

/// One invocation, in the words of Powertools.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The function.
    pub function_name: &'a str,
    /// Lambda's id of the invocation.
    pub function_request_id: &'a str,
    /// The trace, `1-…-…`, where there is one.
    pub xray_trace_id: Option<&'a str>,
    /// Whether the execution environment began with it.
    pub start: Start,
}

/// How an invocation found its execution environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is the first.
    Cold,
    /// There was one before it.
    Warm,
}

/// The span of an invocation: what is logged within it has these fields. `connection_id` can be
/// recorded once the event has been read.
pub fn invocation_span(invocation: &Invocation<'_>) -> Span {
    tracing::error_span!(
        "invocation",
        cold_start = invocation.start == Start::Cold,
        function_name = invocation.function_name,
        function_request_id = invocation.function_request_id,
        xray_trace_id = invocation.xray_trace_id,
        connection_id = tracing::field::Empty,
    )
}

struct Lines<W> {
    config: Config,
    /// The service as JSON.
    service: String,
    out: Mutex<W>,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = self.config.level;
        let level = if metadata.is_span() {
            level.max(LevelFilter::INFO)
        } else {
            level
        };
        let target = metadata.target();
        let level = match target.starts_with(INDISCREET) {
            true => level.min(LevelFilter::INFO),
            false => level,
        };
        *metadata.level() <= level && target != SAID_ELSEWHERE
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.config.level.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Not into the span's own fields at once: a value's `Debug` may log, and that reads them.
        let mut new = Fields::default();
        values.record(&mut new);
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            for (name, value) in new.list {
                fields.put(name, value);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = self.start(event.metadata(), &own.message);
        line.fields(&own);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.fields(fields);
            }
        }
        let text = line.end();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(text.as_bytes());
    }
}

impl<W> Lines<W> {
    fn start(&self, metadata: &Metadata<'_>, message: &str) -> Line {
        let (level, target) = (metadata.level(), metadata.target());
        let now = self.config.clock.now();
        let text = match self.config.form {
            Form::Json => format!(
                r#"{{"level":"{level}","timestamp":"{now}","service":{},"message":{},"target":{}"#,
                self.service,
                quoted(message),
                quoted(target),
            ),
            Form::Text => {
                let message = message.replace('\n', "\\n").replace('\r', "\\r");
                format!("{now} {level:>5} {target}: {message}")
            }
        };
        Line {
            form: self.config.form,
            text,
            has: vec!["level", "timestamp", "service", "message", "target"],
        }
    }
}

/// A line under way, and which keys it has.
struct Line {
    form: Form,
    text: String,
    has: Vec<&'static str>,
}

impl Line {
    fn fields(&mut self, fields: &Fields) {
        for (name, value) in &fields.list {
            if self.has.contains(name) {
                continue;
            }
            self.has.push(name);
            match self.form {
                Form::Json => self.text.extend([",", &quoted(name), ":", value]),
                Form::Text => self.text.extend([" ", name, "=", value]),
            }
        }
    }

    fn end(mut self) -> String {
        self.text.push_str(match self.form {
            Form::Json => "}\n",
            Form::Text => "\n",
        });
        self.text
    }
}

/// What an event or a span says, its values as JSON.
#[derive(Default)]
struct Fields {
    message: String,
    list: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, name: &'static str, value: String) {
        match self.list.iter_mut().find(|(there, _)| *there == name) {
            Some((_, there)) => *there = value,
            None => self.list.push((name, value)),
        }
    }

    /// A text under the key that lines have for it.
    fn text(&mut self, field: &Field, text: &str) {
        let short = cut(text, VALUE_BYTES_MAX);
        match field.name() {
            "message" => self.message = short.to_owned(),
            "connection" => self.put("connection_id", quoted(short)),
            name => {
                if name == "owner" {
                    let tenant = short.split('#').next().unwrap_or_default();
                    self.put("tenant", quoted(tenant));
                }
                self.put(name, quoted(short));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = serde_json::Value::from(value);
        self.put(field.name(), value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, &lift::error::chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }
}
