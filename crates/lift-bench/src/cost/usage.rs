//! Events and what each costs in calls come in; quantities that are billed or limited go out.

use std::collections::BTreeMap;

use super::{
    assumed::Assumed,
    inputs::{Counted, Counts},
    kind::{Kind, Moment, Sort, to_f64},
    load::Load,
};

/// What a message is metered by.
const METERED_BYTES: u64 = 32 * 1024;
/// The function of a plain server, of which nothing else is known.
const PLAIN: &str = "MessageFunction";
/// Calls that read.
const READS: [&str; 3] = ["GetItem", "BatchGetItem", "Query"];
/// In place of a table's name: units of calls that did nothing.
const UNSEEN: &str = "nothing done";

/// What is used, by one event or by all of a time.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Messages that clients sent, in metered units.
    pub received: f64,
    /// Messages that answered them at once, in metered units.
    pub replies: f64,
    /// Messages by `@connections`, in metered units.
    pub posts: f64,
    /// Connections made.
    pub connects: f64,
    /// Messages and new connections, each once whatever its size.
    pub requests: f64,
    /// Calls of `@connections`.
    pub post_calls: f64,
    /// Invocations of each function.
    pub invokes: BTreeMap<String, f64>,
    /// Their milliseconds, each rounded up to a whole one.
    pub busy_ms: BTreeMap<String, f64>,
    /// Write units of each table and index.
    pub writes: BTreeMap<String, f64>,
    /// Read units of each table and index.
    pub reads: BTreeMap<String, f64>,
    /// S3's PUT, COPY, POST and LIST.
    pub puts: f64,
    /// S3's GET and HEAD.
    pub gets: f64,
    /// Bytes of log lines, Lambda's own included.
    pub log_bytes: f64,
    /// Bytes to clients.
    pub out_bytes: f64,
    /// Requests that run as tasks.
    pub tasks: f64,
    /// Seconds of connections.
    pub open_seconds: f64,
}

fn units(bytes: u64) -> f64 {
    to_f64(bytes.div_ceil(METERED_BYTES).max(1))
}

/// As many metered units as this many bytes are.
fn units_of(bytes: f64) -> f64 {
    (bytes / to_f64(METERED_BYTES)).ceil().max(1.0)
}

impl Usage {
    /// What one event uses.
    #[must_use]
    pub fn of_event(sort: &Sort, counts: &Counts, assumed: &Assumed) -> Self {
        let nothing = Counted::default();
        let counted = match sort.kind {
            Kind::Counted(name) => counts.events.get(name).unwrap_or(&nothing),
            Kind::Ping | Kind::Plain => &nothing,
        };
        let mut usage = Self::of_counted(counted, sort.kind, assumed);
        if sort.kind == Kind::Plain {
            usage.invoke(PLAIN, 1.0, assumed.message_ms, assumed);
        }
        match sort.moment {
            Moment::Connect => (usage.connects, usage.requests) = (1.0, 1.0),
            Moment::Disconnect => {}
            Moment::Message => usage.message(sort),
        }
        usage
    }

    fn message(&mut self, sort: &Sort) {
        self.requests = 1.0;
        self.received = units(sort.bytes);
        if let Some(bytes) = sort.reply_bytes {
            self.replies = units_of(bytes);
            self.out_bytes += bytes;
        }
    }

    /// What the calls of an event use.
    #[must_use]
    pub fn of_counted(counted: &Counted, kind: Kind, assumed: &Assumed) -> Self {
        let s3 = |kind: &str| counted.s3.get(kind).copied().unwrap_or_default();
        let mut usage = Self {
            posts: match counted.posts > 0.0 {
                true => counted.posts * units_of(counted.post_bytes / counted.posts),
                false => 0.0,
            },
            post_calls: counted.posts,
            writes: counted.write_units.clone(),
            reads: counted.read_units.clone(),
            puts: s3("put") + s3("list"),
            gets: s3("get"),
            log_bytes: counted.log_bytes,
            out_bytes: counted.post_bytes,
            tasks: f64::from(u8::from(kind.is_task())),
            ..Self::default()
        };
        usage.add_unseen(counted);
        for (function, times) in &counted.invokes {
            usage.invoke(
                function,
                *times,
                duration_ms(function, kind, assumed),
                assumed,
            );
        }
        usage
    }

    /// DynamoDB Local counts nothing for a write that is refused and a query that finds nothing; AWS bills a unit and
    /// half a unit.
    fn add_unseen(&mut self, counted: &Counted) {
        let calls = |is_read: bool| {
            let calls = counted.dynamodb.iter();
            let calls = calls.filter(|(name, _)| READS.contains(&name.as_str()) == is_read);
            calls.map(|(_, n)| n).sum::<f64>()
        };
        let missing = |least: f64, units: &BTreeMap<String, f64>| {
            let seen: f64 = units.values().sum();
            (least - seen).max(0.0)
        };
        let read = missing(calls(true) * 0.5, &self.reads);
        let written = match self.writes.is_empty() {
            true => calls(false),
            false => 0.0,
        };
        for (units, n) in [(&mut self.reads, read), (&mut self.writes, written)] {
            if n > 0.0 {
                *units.entry(UNSEEN.to_owned()).or_default() += n;
            }
        }
    }

    fn invoke(&mut self, function: &str, times: f64, ms: f64, assumed: &Assumed) {
        *self.invokes.entry(function.to_owned()).or_default() += times;
        *self.busy_ms.entry(function.to_owned()).or_default() += times * ms.ceil().max(1.0);
        self.log_bytes += times * assumed.platform_log_bytes;
    }

    /// Adds something that happens so many times.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.received += other.received * times;
        self.replies += other.replies * times;
        self.posts += other.posts * times;
        self.connects += other.connects * times;
        self.requests += other.requests * times;
        self.post_calls += other.post_calls * times;
        self.puts += other.puts * times;
        self.gets += other.gets * times;
        self.log_bytes += other.log_bytes * times;
        self.out_bytes += other.out_bytes * times;
        self.tasks += other.tasks * times;
        self.open_seconds += other.open_seconds * times;
        for (mine, theirs) in [
            (&mut self.invokes, &other.invokes),
            (&mut self.busy_ms, &other.busy_ms),
            (&mut self.writes, &other.writes),
            (&mut self.reads, &other.reads),
        ] {
            for (name, n) in theirs {
                *mine.entry(name.clone()).or_default() += n * times;
            }
        }
    }

    /// The same so many times.
    #[must_use]
    pub fn times(&self, times: f64) -> Self {
        let mut all = Self::default();
        all.add(self, times);
        all
    }

    /// What a whole run uses.
    #[must_use]
    pub fn of_run(load: &Load, counts: &Counts, assumed: &Assumed) -> Self {
        let mut usage = Self::default();
        for flow in &load.flows {
            let event = Self::of_event(&flow.sort, counts, assumed);
            usage.add(&event, flow.total());
        }
        usage.open_seconds = load.open_seconds;
        usage
    }

    /// What a second of each slice uses.
    #[must_use]
    pub fn of_slices(load: &Load, counts: &Counts, assumed: &Assumed) -> Vec<Self> {
        let mut slices = Vec::new();
        for flow in &load.flows {
            let event = Self::of_event(&flow.sort, counts, assumed);
            slices.resize(flow.amounts.len(), Self::default());
            for (slice, amount) in slices.iter_mut().zip(&flow.amounts) {
                if *amount != 0.0 {
                    slice.add(&event, amount / load.slice_seconds);
                }
            }
        }
        slices
    }
}

/// Milliseconds of an invocation.
fn duration_ms(function: &str, kind: Kind, assumed: &Assumed) -> f64 {
    match function {
        "AuthorizerFunction" => assumed.authorizer_ms,
        "ConnectFunction" => assumed.connect_ms,
        "DisconnectFunction" => assumed.disconnect_ms,
        "DispatchFunction" => assumed.dispatch_ms,
        "ProcessorFunction" => assumed.task_ms,
        "SweeperFunction" => assumed.sweep_ms,
        _ if kind.is_task() => assumed.accept_ms,
        _ if kind.is_control() => assumed.control_ms,
        _ => assumed.message_ms,
    }
}
