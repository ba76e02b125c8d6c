//! What a run found: the JSON file's own shape, which the other forms are made from.

mod form;
mod figure;
mod summary;
mod text;
mod rows;
mod junit;
mod markdown;
mod html;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use figure::{float, grouped, harmless, percent, short, spoken};
pub use form::{Form, ReadError, schema};
pub(crate) use html::{STYLE, rendered};
pub(crate) use markdown::escaped;

/// The format's name and version.
pub const FORMAT: &str = "lift-load/1";

/// What a run found. Times are microseconds unless their name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// `lift-load/1`.
    pub format: String,
    /// The scenario's name.
    pub name: String,
    /// The scenario's own sentence.
    #[serde(default)]
    pub about: String,
    /// URL of the server, without what follows a `?`.
    pub target: String,
    /// When the first phase began, RFC 3339.
    pub began: String,
    /// From the first phase's start to the last answer.
    pub took_us: u64,
    /// What every random choice followed from.
    pub seed: u64,
    /// Where it ran.
    pub machine: Machine,
    /// Whether all held, and why not.
    pub verdict: Verdict,
    /// Each threshold, and what was measured.
    pub thresholds: Vec<Judged>,
    /// What counts: all of the measured phases together.
    pub total: Measures,
    /// The same of each behaviour; a threshold names it as `reply{talker}.p99`.
    pub behaviours: BTreeMap<String, Measures>,
    /// The same of each phase, by what began in it.
    pub phases: Vec<PhaseReport>,
    /// What happened in each second, thinned to at most 600 entries.
    pub timeline: Vec<Moment>,
    /// What the scenario made go wrong.
    #[serde(default)]
    pub faults: Vec<FaultReport>,
    /// Whether the generator kept up.
    pub generator: Generator,
    /// The server's process, where the run started it.
    pub server: Option<ServerUse>,
}

/// Where it ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Operating system and kernel.
    pub system: String,
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Version of the tool, and the commit it was built from where that is known.
    pub tool: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every threshold held.
    Passed,
    /// A threshold did not hold.
    Broken,
    /// The generator could not keep up: the figures say nothing of the server.
    Invalid,
    /// It was stopped before its end.
    Interrupted,
}

/// How a run ended, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// In sentences; none where all is well.
    pub reasons: Vec<String>,
}

/// A threshold, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// As it was written.
    pub threshold: String,
    /// What was measured, in the threshold's own unit; absent where there was nothing to measure.
    pub measured: Option<String>,
    /// Whether it held. One without a measure did not.
    pub held: bool,
}

/// What was measured of some part of a run. Absent names are zero, or had nothing to measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measures {
    /// How often something happened, by [`count`] name.
    pub counts: BTreeMap<String, u64>,
    /// How long something took, by [`latency`] name.
    pub latencies: BTreeMap<String, Latency>,
    /// Connections that ended without being asked to, by close code; 1006 stands for none (RFC 6455 §7.1.5).
    pub closes: BTreeMap<u16, u64>,
    /// Handshakes by HTTP status; 101 is a success.
    pub handshakes: BTreeMap<u16, u64>,
    /// Error messages by their code; `UNREACHABLE` are handshakes without an answer.
    pub errors: BTreeMap<String, u64>,
    /// What the first error message of each code said.
    #[serde(default)]
    pub samples: BTreeMap<String, String>,
}

impl Measures {
    /// How often it happened.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

/// Names of counts.
pub mod count {
    /// Connections that were begun, reconnects not among them.
    pub const CONNECTIONS: &str = "connections.begun";
    /// … that were opened.
    pub const OPENED: &str = "connections.opened";
    /// … that could not be opened.
    pub const FAILED: &str = "connections.failed";
    /// … that ended without being asked to, and without a fault of the scenario.
    pub const DROPPED: &str = "connections.dropped";
    /// Connections that a fault of the scenario cut.
    pub const CUT: &str = "connections.cut";
    /// Connections that ended because the scenario killed the server.
    pub const KILLED: &str = "connections.killed";
    /// Clients that came back after they lost their connection.
    pub const RECONNECTED: &str = "connections.reconnected";
    /// Requests that a resume answered with `recovered: false` or an error.
    pub const UNRECOVERED: &str = "requests.unrecovered";
    /// Messages that were to be sent.
    pub const DUE: &str = "messages.due";
    /// … that were sent.
    pub const SENT: &str = "messages.sent";
    /// … that no client could take: none was there, or all had too many waiting.
    pub const MISSED: &str = "messages.missed";
    /// … that were answered as expected.
    pub const ANSWERED: &str = "messages.answered";
    /// … that were answered with an error, or not as expected.
    pub const REFUSED: &str = "messages.refused";
    /// … that their client never came to send: its connection was gone, or what it sent before was not answered.
    pub const UNSENT: &str = "messages.unsent";
    /// … that were sent and not answered.
    pub const LOST: &str = "messages.lost";
    /// Answers to a message that had been answered.
    pub const DUPLICATES: &str = "messages.duplicates";
    /// Answers that came after that to a later message of the same connection.
    pub const REORDERED: &str = "messages.reordered";
    /// Answers that came later than `limits.late_after`.
    pub const LATE: &str = "messages.late";
    /// Errors that do not say of which message: API Gateway's own error frames, mostly.
    pub const FAILURES: &str = "messages.failed";
    /// Texts that answered nothing that was sent.
    pub const UNKNOWN: &str = "messages.unknown";
    /// Requests that were acknowledged.
    pub const ACKNOWLEDGED: &str = "requests.acknowledged";
    /// … whose end came.
    pub const ENDED: &str = "requests.ended";
    /// … whose end was not `complete`.
    pub const NOT_COMPLETED: &str = "requests.not_completed";
    /// Ends that said something else than the first of the same request.
    pub const ENDED_TWICE: &str = "requests.ended_twice";
    /// Ends that came again, the same, on a connection that had heard them: a client drops them.
    pub const ENDED_AGAIN: &str = "requests.ended_again";
    /// Progress that went back, or came after the end.
    pub const PROGRESS_BACK: &str = "requests.progress_back";
    /// Progress messages.
    pub const PROGRESS: &str = "requests.progress";

    /// All of them.
    pub const ALL: [&str; 27] = [
        CONNECTIONS,
        OPENED,
        FAILED,
        DROPPED,
        CUT,
        KILLED,
        RECONNECTED,
        UNRECOVERED,
        DUE,
        SENT,
        MISSED,
        ANSWERED,
        REFUSED,
        UNSENT,
        LOST,
        DUPLICATES,
        REORDERED,
        LATE,
        FAILURES,
        UNKNOWN,
        ACKNOWLEDGED,
        ENDED,
        NOT_COMPLETED,
        ENDED_TWICE,
        ENDED_AGAIN,
        PROGRESS_BACK,
        PROGRESS,
    ];
}

/// Names of latencies.
pub mod latency {
    /// From when a client was to start to its open connection.
    pub const CONNECT: &str = "connect";
    /// From when a message was to be sent to its direct answer.
    pub const REPLY: &str = "reply";
    /// From when it was sent.
    pub const REPLY_UNCORRECTED: &str = "reply.uncorrected";
    /// From when a message was to be sent to its acknowledgment.
    pub const ACKNOWLEDGMENT: &str = "acknowledgment";
    /// From when a message was to be sent to its request's first progress.
    pub const PROGRESS: &str = "progress";
    /// From when a message was to be sent to its request's end.
    pub const COMPLETION: &str = "completion";
    /// From when it was sent.
    pub const COMPLETION_UNCORRECTED: &str = "completion.uncorrected";
    /// From the loss of a connection to the next that is open, without the time that the scenario kept it away.
    pub const RECONNECT: &str = "reconnect";

    /// All of them.
    pub const ALL: [&str; 8] = [
        CONNECT,
        REPLY,
        REPLY_UNCORRECTED,
        ACKNOWLEDGMENT,
        PROGRESS,
        COMPLETION,
        COMPLETION_UNCORRECTED,
        RECONNECT,
    ];
}

/// How long something took. The histogram has three significant digits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The shortest.
    pub min_us: u64,
    /// Their mean.
    pub mean_us: u64,
    /// Half are no longer.
    pub p50_us: u64,
    /// 90 % are no longer.
    pub p90_us: u64,
    /// 95 % are no longer.
    pub p95_us: u64,
    /// 99 % are no longer.
    pub p99_us: u64,
    /// 99.9 % are no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// The percentile curve: percent, and what is no longer.
    pub curve: Vec<(f64, u64)>,
}

/// What was measured of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// When it began, after the first.
    pub began_us: u64,
    /// How long it lasted.
    pub took_us: u64,
    /// Whether it is part of the total.
    pub measured: bool,
    /// What began in it.
    pub measures: Measures,
}

/// Something that the scenario made go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultReport {
    /// The phase that it is of.
    pub phase: String,
    /// When it began, after the first phase's start.
    pub began_us: u64,
    /// What, in words.
    pub what: String,
    /// How often its command ran; 0 in reports of before that was counted.
    #[serde(default)]
    pub ran: u64,
    /// How often its command failed.
    #[serde(default)]
    pub failed: u64,
    /// What the last failure said.
    #[serde(default)]
    pub failure: Option<String>,
}

/// One entry of the timeline. Counts are per second, means where seconds were thinned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Seconds after the first phase's start.
    pub second: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections that were opened, reconnects among them.
    pub opened: f64,
    /// Messages that were sent.
    pub sent: f64,
    /// Answers, acknowledgments and ends that came.
    pub answered: f64,
    /// Errors, refusals, losses of a connection.
    pub errors: f64,
    /// The median of the corrected latencies of replies and ends that came in these seconds.
    pub p50_us: Option<u64>,
    /// 99 % of them.
    pub p99_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// Whether the generator kept up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Processes that shared the load.
    pub processes: u16,
    /// How late what was due was begun, where nothing but the generator held it up.
    pub lag: Latency,
    /// The part of the machine's processors that all of them used, in the median second of the whole run, in 0–1.
    pub cpu_median: f64,
    /// The same in the busiest second.
    pub cpu_max: f64,
    /// Processor time of all processes.
    pub cpu_us: u64,
}

/// What a server that the run started used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerUse {
    /// Processor time of it and its children, killed ones included as far as they were seen.
    pub cpu_us: u64,
    /// The most memory that it had at a time (resident).
    pub memory_max_bytes: u64,
    /// How often it was killed by a fault.
    pub kills: u64,
}
