//! A YAML file comes in, what to do to a server goes out, checked.
//!
//! Every type here is the file's own shape: what `docs/load-scenarios.md` describes is a field of one of them.

mod behaviour;
mod fault;
mod handshake;
mod read;
mod refusal;
mod span;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

pub use self::{
    behaviour::{Behaviour, Expect, Message, Reconnect, Repeat, Stay, Step},
    fault::{Command, Cut, Fault, Kill, Network, Stall},
    handshake::target_url,
    read::{PROCESSES_MAX, Problem},
    span::{Share, Span},
};
pub(crate) use self::{
    handshake::{header_value, split_target},
    read::nearest,
};

/// A load to put on a server, and what is asked of it.
///
/// ```
/// let text = r#"
/// name: hello
/// target: ws://127.0.0.1:7070
/// behaviours:
///   talker:
///     messages: [{ action: echo, payload: hello }]
/// phases:
///   - { name: arrive, duration: 1s, connections_per_second: 10 }
///   - { name: talk, duration: 10s, messages_per_second: 100 }
/// thresholds: ["reply.p99 < 100ms"]
/// "#;
/// let scenario = lift_bench::scenario::Scenario::parse(text).unwrap();
/// assert_eq!(scenario.phases.len(), 2);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub about: String,
    /// `ws://` or `wss://` URL of the server. Its path and query are a template that knows `client`, `data`, `random` and
    /// `seed`.
    #[serde(default, deserialize_with = "handshake::target")]
    pub target: Option<String>,
    /// What the server speaks.
    #[serde(default)]
    pub speaks: Protocol,
    /// Subprotocols to offer a plain server.
    #[serde(default)]
    pub subprotocols: Vec<String>,
    /// Sent with every handshake, by name in lower case; values are templates as that of `target`.
    #[serde(default, deserialize_with = "handshake::headers")]
    pub headers: BTreeMap<String, String>,
    /// Tokens to mint, one for each virtual client.
    pub tokens: Option<Tokens>,
    /// What every random choice follows from; 1 if absent.
    #[serde(default = "one")]
    pub seed: u64,
    /// Addresses to connect from, in turn; the system chooses if there are none.
    #[serde(default)]
    pub sources: Vec<IpAddr>,
    /// Generator processes that share the load; 1 if absent.
    #[serde(default = "one_process")]
    pub processes: u16,
    /// A server to start and to end with the run.
    pub server: Option<Server>,
    /// CSV file with a header, whose rows the templates see as `data`.
    pub data: Option<PathBuf>,
    /// What virtual clients do, by name.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// What happens when, one after the other.
    pub phases: Vec<Phase>,
    /// What must hold, such as `reply.p99 < 100ms`.
    #[serde(default)]
    pub thresholds: Vec<String>,
    /// How long is waited, and when the generator is not to be believed.
    #[serde(default)]
    pub limits: Limits,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `streamer.v1`: actions, requests with progress, resume.
    #[default]
    Streamer,
    /// Texts as they are.
    Plain,
}

/// What the tokens of virtual clients hold. Each is a template that knows `client`, a number from 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// The user: `load-{{ client }}` if absent.
    #[serde(default = "Tokens::any_user")]
    pub sub: String,
    /// The tenant: `load` if absent.
    #[serde(default = "Tokens::any_tenant")]
    pub tenant: String,
    /// What each may be used for, as `lift token mint --permission` takes it; grants such as `tenant.read` are named.
    /// Everything but grants if absent.
    pub permissions: Option<Vec<String>>,
    /// How long each is valid: an hour if absent.
    #[serde(default = "Tokens::an_hour", deserialize_with = "span::duration")]
    pub expires_in: Duration,
}

/// A server that the run starts, kills where a fault says so, and ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Set in its environment, besides the generator's own.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long it may take until it accepts connections at the target: 30 s if absent.
    #[serde(default = "Server::patience", deserialize_with = "span::duration")]
    pub ready_within: Duration,
}

/// A time in which connections and messages come at given rates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Phase {
    /// What reports call it.
    pub name: String,
    /// How long it lasts, which is some time.
    #[serde(deserialize_with = "span::some_duration")]
    pub duration: Duration,
    /// Virtual clients that start each second.
    #[serde(default)]
    pub connections_per_second: f64,
    /// Messages that clients which stay are to send each second, all together.
    #[serde(default)]
    pub messages_per_second: f64,
    /// What the phase's one rate rises or falls to, evenly, until its end.
    pub ramp_to: Option<f64>,
    /// Connections after which no more start; those that ended are replaced.
    pub hold: Option<u32>,
    /// The one behaviour of clients that start and of messages that are sent here, instead of all by their weights.
    pub behaviour: Option<String>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Whether what is sent here counts in the totals and thresholds: yes if absent.
    #[serde(default = "yes")]
    pub measured: bool,
}

/// How long is waited, and when the generator is not to be believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// A connection that takes longer to open has failed.
    #[serde(deserialize_with = "span::duration")]
    pub connect_within: Duration,
    /// An answer that takes longer counts as late.
    #[serde(deserialize_with = "span::duration")]
    pub late_after: Duration,
    /// What is unanswered this long after the last phase is lost.
    #[serde(deserialize_with = "span::duration")]
    pub drain: Duration,
    /// The run is invalid if 1 % of what was due in a phase was begun later than this; a phase that had few due is judged
    /// with the others.
    #[serde(deserialize_with = "span::duration")]
    pub lag: Duration,
    /// The run is invalid if more of what was due was never begun.
    pub missed: Share,
    /// The run is invalid if its processes together used a larger share of the machine's processors in the median second
    /// of a phase, or of the whole run.
    pub cpu: Share,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            late_after: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            lag: Duration::from_millis(20),
            missed: Share::ZERO,
            cpu: Share::percent(80.0),
        }
    }
}

impl Tokens {
    fn any_user() -> String {
        "load-{{ client }}".to_owned()
    }

    fn any_tenant() -> String {
        "load".to_owned()
    }

    fn an_hour() -> Duration {
        Duration::from_secs(3600)
    }
}

impl Server {
    fn patience() -> Duration {
        Duration::from_secs(30)
    }
}

fn one() -> u64 {
    1
}

fn one_process() -> u16 {
    1
}

fn yes() -> bool {
    true
}
