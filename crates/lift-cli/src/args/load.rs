//! What was typed for `lift load` comes in, as typed fields.

use std::path::PathBuf;

use clap::{Args as Group, value_parser};
use lift_bench::{
    plan::Part,
    scenario::{PROCESSES_MAX, target_url},
};

pub(super) const LOAD_EXAMPLES: &str = "\
Examples:
  lift load scenarios/message-throughput.yaml --target ws://127.0.0.1:7070
  lift load scenarios/connection-storm.yaml --report storm.json --report storm.html
  lift load scenarios/mixed.yaml --threshold 'reply.p99 < 50ms' --threshold 'messages.lost == 0'
  lift load scenarios/jitter.yaml --check

The first line of stdout is the verdict: `passed`, `broken` (a threshold does not hold), `invalid` (the
generator could not keep up, so that the figures say nothing of the server) or `interrupted`. What
happens each second goes to stderr. Ctrl-C ends the schedule, waits for what is under way and reports;
a second one ends at once.

A scenario that has `tokens` needs the key that the server knows: --data-dir is the data directory of
the server on this machine. A scenario that has `server` starts it with STREAMER_DATA_DIR set to that
directory, and looks for its program where this one is before the PATH. Without --data-dir that
directory is a new one, which is removed after the run.";

/// `lift load`.
#[derive(Debug, Group)]
pub struct LoadArgs {
    /// YAML file: what to do to the server, and what must hold.
    pub scenario: PathBuf,
    /// `ws://` or `wss://` URL of a server that runs already, instead of the scenario's.
    #[arg(long, value_name = "URL", value_parser = target_url)]
    pub target: Option<String>,
    /// Data directory whose newest key signs the tokens of virtual clients [default: .streamer; a new one where the scenario starts the server].
    #[arg(long, value_name = "DIR", env = "STREAMER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// What must hold besides the scenario's own, like `reply.p99 < 100ms`; repeatable.
    #[arg(long, value_name = "THRESHOLD")]
    pub threshold: Vec<String>,
    /// What every random choice follows from, instead of the scenario's.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Generator processes that share the load, instead of the scenario's.
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=i64::from(PROCESSES_MAX)))]
    pub processes: Option<u16>,
    /// File to write the report to, by its ending: .json, .html, .md, .csv, .xml (JUnit) or .txt; repeatable.
    #[arg(long, value_name = "FILE")]
    pub report: Vec<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// Be one of the processes that share a load, told what to do on stdin: what `lift load` starts itself with.
    #[arg(long, value_name = "NUMBER/OF", value_parser = part, hide = true)]
    pub part: Option<Part>,
    /// Check the scenario and its thresholds, and do nothing.
    #[arg(long)]
    pub check: bool,
}

fn part(text: &str) -> Result<Part, String> {
    let (number, of) = text.split_once('/').ok_or("it is no NUMBER/OF")?;
    let read = |text: &str| text.parse().map_err(|error| format!("`{text}`: {error}"));
    Ok(Part {
        number: read(number)?,
        of: read(of)?,
    })
}
