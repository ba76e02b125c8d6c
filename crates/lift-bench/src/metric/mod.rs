//! The name of a figure comes in; what a report says of it goes out.

mod name;

use std::fmt;

use self::name::Base;
use crate::report::{Measures, Report, count, float, latency};
use crate::scenario::{Problem, Scenario, nearest};

/// A figure that a report may have: `reply.p99`, `messages.lost{talker}`, `errors[peak]`.
///
/// ```
/// use lift_bench::metric::{Metric, Unit};
///
/// let metric = Metric::parse("reply{talker}.p99").unwrap();
/// assert_eq!(metric.unit(), Unit::Time);
/// assert_eq!(Metric::parse("reply.p98").unwrap_err().suggestion.as_deref(), Some("reply.p99"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    base: Base,
    part: Part,
}

/// Of what part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Total,
    Behaviour(String),
    Phase(String),
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Time,
    /// Of a hundred.
    Percent,
    /// How many, or how many a second.
    Number,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less.
    Lower,
    /// More.
    Higher,
    /// Neither: it says how much was asked.
    Neither,
}

impl Metric {
    /// Reads a name.
    ///
    /// # Errors
    /// A name of no figure, with the nearest that is one; braces that do not close.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        let (name, part) = part_of(text)?;
        match Base::of(&name) {
            Some(base) => Ok(Self { base, part }),
            None => Err(Problem {
                place: None,
                message: format!("there is no metric `{name}`"),
                suggestion: meant(&name),
            }),
        }
    }

    /// Refuses a part that a scenario does not have.
    ///
    /// # Errors
    /// A behaviour or a phase that is not there, with the nearest that is.
    pub fn check(&self, scenario: &Scenario) -> Result<(), Problem> {
        let refused = |message, suggestion| {
            Err(Problem {
                place: None,
                message,
                suggestion,
            })
        };
        match &self.part {
            Part::Total => Ok(()),
            Part::Behaviour(name) if scenario.behaviours.contains_key(name) => Ok(()),
            Part::Behaviour(name) => refused(
                format!("`{self}`: there is no behaviour `{name}`"),
                nearest(name, scenario.behaviours.keys().map(String::as_str)),
            ),
            Part::Phase(name) => {
                let names = scenario.phases.iter().map(|phase| phase.name.as_str());
                if names.clone().any(|phase| phase == name) {
                    return Ok(());
                }
                refused(
                    format!("`{self}`: there is no phase `{name}`"),
                    nearest(name, names),
                )
            }
        }
    }

    /// What it counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.base.unit()
    }

    /// Which way is better.
    #[must_use]
    pub fn better(&self) -> Better {
        self.base.better()
    }

    /// What a report says of it; nothing where there was nothing to measure.
    #[must_use]
    pub fn of(&self, report: &Report) -> Option<f64> {
        let measured = || report.phases.iter().filter(|phase| phase.measured);
        match &self.part {
            Part::Total => {
                let took_us = measured().map(|phase| phase.took_us).sum();
                value(&self.base, &report.total, took_us)
            }
            Part::Behaviour(name) => {
                let took_us = measured().map(|phase| phase.took_us).sum();
                value(&self.base, report.behaviours.get(name)?, took_us)
            }
            Part::Phase(name) => {
                let phase = report.phases.iter().find(|phase| phase.name == *name)?;
                value(&self.base, &phase.measures, phase.took_us)
            }
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, statistic) = self.base.halves();
        f.write_str(&name)?;
        match &self.part {
            Part::Total => {}
            Part::Behaviour(part) => write!(f, "{{{part}}}")?,
            Part::Phase(part) => write!(f, "[{part}]")?,
        }
        match statistic {
            Some(statistic) => write!(f, ".{statistic}"),
            None => Ok(()),
        }
    }
}

/// A latency alone is most often asked for its tail.
fn meant(name: &str) -> Option<String> {
    if latency::ALL.contains(&name) {
        return Some(format!("{name}.p99"));
    }
    nearest(name, Base::names().iter().map(String::as_str))
}

/// Parts a name from the behaviour or phase in it.
fn part_of(text: &str) -> Result<(String, Part), Problem> {
    let refused = |message| {
        Err(Problem {
            place: None,
            message,
            suggestion: None,
        })
    };
    let Some(at) = text.find(['{', '[']) else {
        return Ok((text.to_owned(), Part::Total));
    };
    let (before, rest) = text.split_at(at);
    let (close, of_behaviour) = match rest.strip_prefix('{') {
        Some(_) => ('}', true),
        None => (']', false),
    };
    let Some((part, after)) = rest.get(1..).and_then(|rest| rest.split_once(close)) else {
        return refused(format!("`{text}` has no `{close}`"));
    };
    if after.contains(['{', '[']) {
        return refused(format!(
            "`{text}` names two parts of a run; a metric is of one behaviour or of one phase"
        ));
    }
    let name = format!("{}{}", before.trim(), after.trim());
    let part = part.trim().to_owned();
    let part = if of_behaviour {
        Part::Behaviour(part)
    } else {
        Part::Phase(part)
    };
    Ok((name, part))
}

/// Whatever went wrong with connections and messages.
pub(crate) fn errors(measures: &Measures) -> u64 {
    let errors = [
        count::FAILED,
        count::DROPPED,
        count::REFUSED,
        count::LOST,
        count::UNSENT,
        count::DUPLICATES,
        count::FAILURES,
    ];
    errors.into_iter().map(|name| measures.counted(name)).sum()
}

fn value(base: &Base, measures: &Measures, took_us: u64) -> Option<f64> {
    let counted = |name| measures.counted(name);
    let share = |part: u64, whole: u64| (whole > 0).then(|| float(part) / float(whole) * 100.0);
    match base {
        Base::Latency(name, statistic) => statistic.of(measures.latencies.get(*name)),
        Base::Count(name) => Some(float(counted(name))),
        Base::Reliability => {
            let kept = counted(count::OPENED).saturating_sub(counted(count::DROPPED));
            share(kept, counted(count::CONNECTIONS))
        }
        Base::AnsweredShare => share(counted(count::ANSWERED), counted(count::DUE)),
        Base::Errors => Some(float(errors(measures))),
        Base::Error(code) => Some(float(measures.errors.get(code).copied().unwrap_or(0))),
        Base::Closes(code) => Some(float(measures.closes.get(code).copied().unwrap_or(0))),
        Base::Handshakes(status) => {
            Some(float(measures.handshakes.get(status).copied().unwrap_or(0)))
        }
        Base::SentRate => {
            (took_us > 0).then(|| float(counted(count::SENT)) / (float(took_us) / 1_000_000.0))
        }
    }
}
