//! A function's settings come in; its process logs, counts and traces from then on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use lift::clock::Clock;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use super::emf::{self, Emf};
use super::logs::{self, Form, Invocation, Start};
use super::traces::Traces;
use super::xray::{Daemon, TraceHeader};

/// How a function is seen from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service that lines and metrics name.
    pub service: String,
    /// CloudWatch's namespace of the metrics.
    pub namespace: String,
    /// The function's name.
    pub function: String,
    /// Log lines below this are not written.
    pub level: LevelFilter,
    /// What log lines look like.
    pub form: Form,
    /// The X-Ray daemon, `AWS_XRAY_DAEMON_ADDRESS`.
    pub daemon: Option<String>,
    /// What lines and metrics are dated by.
    pub clock: Clock,
}

/// The process already logs or counts elsewhere, or its names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotInstalled {
    /// Names that CloudWatch would not take.
    #[error(transparent)]
    Names(#[from] emf::NoNames),
    /// There is a subscriber already.
    #[error("log lines have another subscriber")]
    Log(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// There is a recorder already.
    #[error("metrics have another recorder")]
    Metrics(#[from] metrics::SetRecorderError<Emf>),
}

/// What a process says of its invocations.
#[derive(Debug)]
pub struct Telemetry {
    emf: Emf,
    clock: Clock,
    function: String,
    begun: AtomicBool,
}

impl Telemetry {
    /// Takes the process's log and metrics, which go to standard output. An X-Ray daemon that cannot
    /// be used is said in the log: a trace is worth no outage.
    ///
    /// # Errors
    /// See [`NotInstalled`].
    pub fn install(config: Config, header: fn() -> Option<String>) -> Result<Self, NotInstalled> {
        let emf = Emf::new(emf::Config {
            service: config.service.clone(),
            namespace: config.namespace,
            own: &[],
        })?;
        metrics::set_global_recorder(emf.clone())?;
        let lines = logs::Config {
            service: config.service,
            level: config.level,
            form: config.form,
            clock: config.clock.clone(),
        };
        let (traces, unusable) = match config.daemon.as_deref().map(Daemon::connect).transpose() {
            Ok(daemon) => (daemon, None),
            Err(error) => (None, Some(error)),
        };
        let traces = traces.map(|daemon| Traces {
            daemon,
            clock: config.clock.clone(),
            header,
        });
        tracing::subscriber::set_global_default(
            logs::subscriber(lines, io::stdout()).with(traces),
        )?;
        if let Some(error) = unusable {
            tracing::warn!(error = lift::error::chain(&error), "no traces are sent");
        }
        Ok(Self {
            emf,
            clock: config.clock,
            function: config.function,
            begun: AtomicBool::new(false),
        })
    }

    /// The span that an invocation runs in, and a count where it is the process's first.
    pub fn begin(&self, request_id: &str, trace: Option<&str>) -> Span {
        let start = if self.begun.swap(true, Ordering::Relaxed) {
            Start::Warm
        } else {
            emf::cold_start(&self.function);
            Start::Cold
        };
        let header = trace.and_then(|trace| trace.parse::<TraceHeader>().ok());
        let root = header.as_ref().map(TraceHeader::trace_id);
        logs::invocation_span(&Invocation {
            function_name: &self.function,
            function_request_id: request_id,
            xray_trace_id: root,
            start,
        })
    }

    /// What writes, once it is dropped, what an invocation has counted: the environment stands still
    /// when it has answered, or failed.
    pub fn written_at_the_end<'a>(&'a self, request_id: &'a str) -> Counts<'a> {
        Counts {
            telemetry: self,
            request_id,
        }
    }
}

/// The metrics of an invocation under way.
#[derive(Debug)]
pub struct Counts<'a> {
    telemetry: &'a Telemetry,
    request_id: &'a str,
}

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        let of = [("function_request_id", self.request_id)];
        let Telemetry { emf, clock, .. } = self.telemetry;
        let written = emf.flush(&mut io::stdout().lock(), clock.now(), &of);
        if let Err(error) = written {
            tracing::warn!(%error, "metrics were not written");
        }
    }
}
