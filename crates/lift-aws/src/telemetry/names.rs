//! The names of metrics and log fields, once: dashboards and alarms name them, so they stay.
//!
//! `docs/telemetry.md` is made from these tables. A tenant, a user, a connection or a request is
//! no dimension: every value of a dimension is a metric of its own, and is paid for.

/// What a metric is, for CloudWatch and for whoever reads it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As the `metrics` facade records it, and as CloudWatch shows it.
    pub name: &'static str,
    /// How its values add up.
    pub kind: Kind,
    /// The unit that CloudWatch shows.
    pub unit: Unit,
    /// The labels that become dimensions, beside `service`, which is always one: each set makes
    /// a metric of its own, summed over all labels that it does not name. No other label is written.
    pub dimensions: &'static [&'static [&'static str]],
    /// Which hosts have it.
    pub on: On,
    /// One sentence.
    pub says: &'static str,
}

/// How the values of a metric add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was added since the last line.
    Counter,
    /// What it is now.
    Gauge,
    /// Each value, for percentiles.
    Histogram,
}

impl Kind {
    /// The name of the macro that records it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A unit of CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A time.
    Seconds,
    /// A time.
    Milliseconds,
    /// A size.
    Bytes,
    /// A share.
    Percent,
    /// No unit.
    None,
}

impl Unit {
    /// As CloudWatch writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
            Self::Percent => "Percent",
            Self::None => "None",
        }
    }
}

/// Which hosts have a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Lambda and one machine.
    Everywhere,
    /// Lambda alone.
    Lambda,
    /// One machine alone: its gateway, its task loop, its store.
    OneMachine,
}

/// Every metric of the framework.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "lift_requests_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&[], &["outcome"], &["action", "outcome"]],
        on: On::Everywhere,
        says: "Messages answered; `outcome` is `ok` or the error code, the action of an unknown one is `-`.",
    },
    Metric {
        name: "lift_request_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        dimensions: &[&[], &["action"]],
        on: On::Everywhere,
        says: "Time to a message's answer, not to a task's end.",
    },
    Metric {
        name: "lift_tasks_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&[], &["outcome"], &["action", "outcome"]],
        on: On::Everywhere,
        says: "Requests ended; `outcome` is `ok`, `cancelled` or the error code.",
    },
    Metric {
        name: "lift_task_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        dimensions: &[&[], &["action"]],
        on: On::Everywhere,
        says: "Time from a request's acceptance to its end, retries and waits included.",
    },
    Metric {
        name: "ColdStart",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&["function_name"]],
        on: On::Lambda,
        says: "Execution environments that began with this function's first event.",
    },
    Metric {
        name: "lift_xray_unsent_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::Lambda,
        says: "Subsegments that the X-Ray daemon's socket did not take.",
    },
    Metric {
        name: "lift_connections_open",
        kind: Kind::Gauge,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Open connections, set when it is read.",
    },
    Metric {
        name: "lift_tasks_running",
        kind: Kind::Gauge,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Tasks that this process runs.",
    },
    Metric {
        name: "lift_scheduling_delay_seconds",
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "How late the process did what it was to do.",
    },
    Metric {
        name: "lift_shedding",
        kind: Kind::Gauge,
        unit: Unit::None,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "1 while new work is refused for that.",
    },
    Metric {
        name: "lift_store_queue_depth",
        kind: Kind::Gauge,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Writes that waited when the last group was taken.",
    },
    Metric {
        name: "lift_store_group_ops",
        kind: Kind::Histogram,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Writes in one group.",
    },
    Metric {
        name: "lift_store_commits_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Groups made durable, or handed to the operating system.",
    },
    Metric {
        name: "lift_store_commit_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Time of one such write, `fdatasync` included.",
    },
    Metric {
        name: "lift_store_failures_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        dimensions: &[&[]],
        on: On::OneMachine,
        says: "Write failures; above 0 the store takes no writes.",
    },
];

/// A key of a log line on Lambda.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key in the line.
    pub key: &'static str,
    /// The field of a span or event that it is made from, where that has another name.
    pub recorded: Option<&'static str>,
    /// Which lines have it.
    pub of: Lines,
    /// One sentence.
    pub says: &'static str,
}

/// Which lines have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Every line.
    All,
    /// Those written while an invocation is handled.
    Invocation,
    /// Those written while a message or a task is handled.
    Request,
    /// Those whose event has it.
    Some,
}

const fn field(key: &'static str, of: Lines, says: &'static str) -> Field {
    Field {
        key,
        recorded: None,
        of,
        says,
    }
}

/// Every key that lines keep. An event may have further fields of its own.
pub const FIELDS: &[Field] = &[
    field(
        "level",
        Lines::All,
        "`ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.",
    ),
    field(
        "timestamp",
        Lines::All,
        "RFC 3339 in UTC with milliseconds.",
    ),
    field(
        "service",
        Lines::All,
        "The configured service, as the dimension of that name.",
    ),
    field(
        "message",
        Lines::All,
        "What happened; its text is stable, docs/operations.md lists it.",
    ),
    field("target", Lines::All, "The module that says so."),
    field(
        "cold_start",
        Lines::Invocation,
        "Whether it is the first event of its execution environment.",
    ),
    field("function_name", Lines::Invocation, "The function."),
    field(
        "function_request_id",
        Lines::Invocation,
        "Lambda's id of the invocation.",
    ),
    field("xray_trace_id", Lines::Invocation, "The trace, `1-…-…`."),
    Field {
        key: "connection_id",
        recorded: Some("connection"),
        of: Lines::Some,
        says: "API Gateway's id of the connection.",
    },
    field(
        "request_id",
        Lines::Request,
        "The request; a `ref` that a client was told is one too.",
    ),
    field(
        "action",
        Lines::Request,
        "The action that the message names.",
    ),
    Field {
        key: "tenant",
        recorded: Some("owner"),
        of: Lines::Request,
        says: "The tenant of the owner.",
    },
    field(
        "owner",
        Lines::Request,
        "`tenant#user` of the verified token.",
    ),
    field(
        "outcome",
        Lines::Some,
        "The error code, in what is said after a message or a task has failed.",
    ),
    field(
        "metadata",
        Lines::Request,
        "What the client sent along as its trace context.",
    ),
    field(
        "claim",
        Lines::Some,
        "Of a task: which claim of the request this is.",
    ),
    field(
        "reference",
        Lines::Some,
        "On `internal error`: the client's `ref`.",
    ),
    field(
        "error",
        Lines::Some,
        "The cause and its causes, outermost first.",
    ),
    field(
        "denied",
        Lines::Some,
        "On `handshake refused`: the reason, which the client is not told.",
    ),
    field(
        "source_ip",
        Lines::Some,
        "On `handshake refused`: the address.",
    ),
];
