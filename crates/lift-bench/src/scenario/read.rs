//! A text comes in; a scenario that can be run, or the place of the first mistake, goes out.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, de::IgnoredAny};
use serde_saphyr::Spanned;

use super::{Behaviour, Expect, Fault, Message, Phase, Protocol, Scenario, Step, refusal};

/// Largest scenario file.
const BYTES_MAX: usize = 1024 * 1024;
/// Most messages or connections a second in all.
const RATE_MAX: f64 = 1_000_000.0;
/// Most processes that share a load.
pub const PROCESSES_MAX: u16 = 64;
/// Deepest nesting of `repeat`.
const DEPTH_MAX: usize = 8;

/// Why a scenario cannot be run, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1, where the text itself is wrong.
    pub place: Option<(u64, u64)>,
    /// What is wrong.
    pub message: String,
    /// What was perhaps meant.
    pub suggestion: Option<String>,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl Problem {
    pub(super) fn of(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
            suggestion: None,
        }
    }
}

/// What of a scenario cannot work.
enum Of<'a> {
    Whole,
    Behaviour(&'a str),
    Phase(usize),
    NameOfPhase(usize),
}

/// Where the parts of a scenario are.
#[derive(Deserialize)]
struct Places {
    behaviours: BTreeMap<String, Spanned<IgnoredAny>>,
    phases: Vec<Spanned<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: Spanned<String>,
}

impl Of<'_> {
    /// Its line and column: the text is read again, for a scenario that works has no use for them.
    fn place(&self, text: &str) -> Option<(u64, u64)> {
        let places: Places = serde_saphyr::from_str(text).ok()?;
        let location = match self {
            Self::Whole => return None,
            Self::Behaviour(name) => places.behaviours.get(*name)?.referenced,
            Self::Phase(number) => places.phases.get(*number)?.referenced,
            Self::NameOfPhase(number) => places.phases.get(*number)?.value.name.referenced,
        };
        Some(refusal::place(location))
    }
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// Text that is not YAML of this shape, with its place; a scenario that cannot work, by name.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > BYTES_MAX {
            return Err(Problem::of(format!(
                "it has {} bytes; a scenario has at most {BYTES_MAX}",
                text.len()
            )));
        }
        let scenario = refusal::shaped(text)?;
        match scenario.check() {
            Ok(()) => Ok(scenario),
            Err((of, problem)) => Err(Problem {
                place: of.place(text),
                ..problem
            }),
        }
    }

    fn check(&self) -> Result<(), (Of<'_>, Problem)> {
        self.check_whole().map_err(|problem| (Of::Whole, problem))?;
        for (name, behaviour) in &self.behaviours {
            self.check_behaviour(behaviour).map_err(|problem| {
                let problem = within(&format!("behaviour `{name}`"), problem);
                (Of::Behaviour(name), problem)
            })?;
        }
        for (number, phase) in self.phases.iter().enumerate() {
            self.check_phase(phase).map_err(|problem| {
                let problem = within(&format!("phase `{}`", phase.name), problem);
                (Of::Phase(number), problem)
            })?;
            let mut before = self.phases.iter().take(number);
            if before.any(|before| before.name == phase.name) {
                let problem = Problem::of(format!(
                    "two phases are named `{}`: reports and thresholds know a phase by its name",
                    phase.name
                ));
                return Err((Of::NameOfPhase(number), problem));
            }
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<(), Problem> {
        if self.phases.is_empty() || self.behaviours.is_empty() {
            return Err(Problem::of(
                "it needs at least one of `behaviours` and one of `phases`",
            ));
        }
        if !(1..=PROCESSES_MAX).contains(&self.processes) {
            return Err(Problem::of(format!(
                "`processes` is {}; it can be 1 to {PROCESSES_MAX}",
                self.processes
            )));
        }
        if self
            .server
            .as_ref()
            .is_some_and(|server| server.command.is_empty())
        {
            return Err(Problem::of("`server` has no `command`"));
        }
        Ok(())
    }

    fn check_behaviour(&self, behaviour: &Behaviour) -> Result<(), Problem> {
        let speaks = behaviour.speaks.unwrap_or(self.speaks);
        for message in &behaviour.messages {
            check_message(message, speaks)?;
        }
        check_steps(&behaviour.steps, speaks, 0)
    }

    fn check_phase(&self, phase: &Phase) -> Result<(), Problem> {
        for (name, rate) in [
            ("connections_per_second", Some(phase.connections_per_second)),
            ("messages_per_second", Some(phase.messages_per_second)),
            ("ramp_to", phase.ramp_to),
        ] {
            if rate.is_some_and(|rate| !(0.0..=RATE_MAX).contains(&rate)) {
                return Err(Problem::of(format!("`{name}` is not in 0 to {RATE_MAX}")));
            }
        }
        let rates = [phase.connections_per_second, phase.messages_per_second];
        if phase.ramp_to.is_some() && rates.iter().all(|rate| *rate > 0.0) {
            return Err(Problem::of(
                "`ramp_to` changes one rate, and the phase has two: split it into two behaviours or phases",
            ));
        }
        if phase.ramp_to.is_some() && rates.iter().all(|rate| *rate == 0.0) {
            return Err(Problem::of(
                "`ramp_to` changes a rate, and the phase has none: give one to begin with, such as 0.1",
            ));
        }
        if let Some(name) = &phase.behaviour
            && !self.behaviours.contains_key(name)
        {
            return Err(Problem {
                suggestion: nearest(name, self.behaviours.keys().map(String::as_str)),
                ..Problem::of(format!("there is no behaviour `{name}`"))
            });
        }
        let sends = self.behaviours.values().any(|b| !b.messages.is_empty());
        if phase.messages_per_second > 0.0 && !sends {
            return Err(Problem::of(
                "`messages_per_second` asks for messages, and no behaviour has any",
            ));
        }
        for fault in &phase.faults {
            check_fault(fault, self.server.is_some())?;
            if fault.at() >= phase.duration {
                return Err(Problem::of("one of its faults begins after its end"));
            }
        }
        check_networks(phase)
    }
}

fn check_message(message: &Message, speaks: Protocol) -> Result<(), Problem> {
    match (speaks, &message.action, &message.text) {
        (Protocol::Streamer, Some(action), None) if action == "ping" => {
            return Err(Problem::of(
                "`ping` is answered without the id of its message: use `health`",
            ));
        }
        (Protocol::Streamer, Some(_), None) => {}
        (Protocol::Plain, None, Some(_)) if message.payload.is_none() => {}
        (Protocol::Streamer, _, _) => {
            return Err(Problem::of(
                "a message to a server that speaks `streamer` has an `action` and perhaps a `payload`; with \
                 `speaks: plain` it has a `text`",
            ));
        }
        (Protocol::Plain, _, _) => {
            return Err(Problem::of(
                "a message to a server that speaks `plain` has a `text` and nothing else",
            ));
        }
    }
    match (&message.expect, speaks) {
        (Expect::Acknowledgment, Protocol::Plain) => Err(Problem::of(
            "`expect: acknowledgment` is for a server that speaks `streamer`",
        )),
        _ => Ok(()),
    }
}

fn check_steps(steps: &[Step], speaks: Protocol, depth: usize) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Err(Problem::of(format!(
            "`repeat` is nested deeper than {DEPTH_MAX}"
        )));
    }
    if depth == 0 && !matches!(steps.first(), Some(Step::Connect)) {
        return Err(Problem::of("its first step is not `connect`"));
    }
    for step in steps {
        match step {
            Step::Send(message) => check_message(message, speaks)?,
            Step::Repeat(repeat) => check_steps(&repeat.steps, speaks, depth + 1)?,
            Step::Connect
            | Step::Think(_)
            | Step::Stay(_)
            | Step::Reconnect(_)
            | Step::Disconnect => {}
        }
    }
    Ok(())
}

fn check_fault(fault: &Fault, has_server: bool) -> Result<(), Problem> {
    let zero = |every: Option<std::time::Duration>| every.is_some_and(|every| every.is_zero());
    match fault {
        Fault::Kill(_) if !has_server => Err(Problem::of(
            "`kill` kills the server that the scenario starts, and it has no `server`",
        )),
        Fault::Run(run) if run.command.is_empty() => Err(Problem::of("`run` has no `command`")),
        Fault::Cut(cut) if zero(cut.each) => Err(Problem::of("`each` of `cut` is no time")),
        Fault::Kill(kill) if zero(kill.every) => Err(Problem::of("`every` of `kill` is no time")),
        Fault::Run(run) if zero(run.every) => Err(Problem::of("`every` of `run` is no time")),
        Fault::Network(network)
            if network.slice == Some(0) || network.bytes_per_second == Some(0) =>
        {
            Err(Problem::of("`slice` and `bytes_per_second` are at least 1"))
        }
        Fault::Cut(_) | Fault::Stall(_) | Fault::Kill(_) | Fault::Run(_) | Fault::Network(_) => {
            Ok(())
        }
    }
}

/// There is one network, which one fault at a time makes bad.
fn check_networks(phase: &Phase) -> Result<(), Problem> {
    let networks = phase.faults.iter().filter_map(|fault| match fault {
        Fault::Network(network) => Some(network),
        Fault::Cut(_) | Fault::Stall(_) | Fault::Kill(_) | Fault::Run(_) => None,
    });
    let mut times: Vec<_> = networks
        .map(|network| {
            (
                network.at,
                network
                    .lasts
                    .map_or(phase.duration, |lasts| network.at + lasts),
            )
        })
        .collect();
    times.sort();
    let overlap = times
        .windows(2)
        .any(|pair| matches!(pair, [(_, ends), (begins, _)] if begins < ends));
    if overlap {
        return Err(Problem::of(
            "two of its `network` faults overlap: make them one, or one follow the other",
        ));
    }
    Ok(())
}

fn within(place: &str, problem: Problem) -> Problem {
    Problem {
        message: format!("{place}: {}", problem.message),
        ..problem
    }
}

/// Of names, the one that is most like `name`, if it is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}
