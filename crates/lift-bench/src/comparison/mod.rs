//! Reports of two sides, and perhaps figures of something else, come in; what changed, and what is noise, goes out.

mod chance;
mod figures;
mod form;
mod rows;
mod warnings;

use std::collections::BTreeSet;

use serde::Serialize;

pub use self::{
    figures::{FIGURES, Figure, Figures, Group, schema},
    form::Form,
};
use crate::report::{Outcome, Report};

/// The format's name and version.
pub const FORMAT: &str = "lift-comparison/1";

/// A report, and what people call it: its file's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What messages call it.
    pub label: String,
    /// What it found.
    pub report: Report,
}

/// What is compared: repeated runs of one scenario on one version, and figures of that version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// At least one.
    pub runs: Vec<Run>,
    /// Code, cost and whatever else is in the same table.
    pub figures: Vec<Figure>,
}

/// Whether reports of two scenarios are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenarios {
    /// All are of one.
    Same,
    /// Whatever they are of.
    Different,
}

/// Why two sides are not compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A side without a report.
    #[error("the {0} side has no report")]
    Empty(&'static str),
    /// A report whose figures say nothing.
    #[error("`{label}` is of a run that was {outcome}{why}")]
    SaysNothing {
        /// Which.
        label: String,
        /// `invalid` or `interrupted`.
        outcome: &'static str,
        /// Its reasons.
        why: String,
    },
    /// Reports of two scenarios.
    #[error("`{0}` is of the scenario `{1}`, and `{2}` is of `{3}`")]
    Scenarios(String, String, String, String),
    /// One name for two things.
    #[error("the figure `{name}` is in `{one}` and in `{other}`")]
    Units {
        /// The figure.
        name: String,
        /// A unit of it.
        one: String,
        /// Another.
        other: String,
    },
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// `lift-comparison/1`.
    pub format: &'static str,
    /// The scenarios' names, mostly one.
    pub scenarios: BTreeSet<String>,
    /// Labels of the runs before.
    pub baseline: Vec<String>,
    /// Labels of the runs now.
    pub now: Vec<String>,
    /// What makes the sides less alike than they should be.
    pub warnings: Vec<String>,
    /// How noise is told from change.
    pub rule: String,
    /// What was measured, of either side.
    pub rows: Vec<Row>,
    /// Where the figures are from.
    pub sources: Vec<String>,
}

/// One thing that was measured on either side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Where it belongs.
    pub group: Group,
    /// Its name.
    pub metric: String,
    /// `ms`, `%`, `lines` and so on.
    pub unit: String,
    /// Before; nothing where it was not measured.
    pub baseline: Option<Spread>,
    /// Now.
    pub now: Option<Spread>,
    /// Of the middles, in percent of the one before; in points where they are percent.
    pub change: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
    /// Whether repeats show how much of it is noise.
    pub noise: Noise,
}

/// Repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub middle: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many.
    pub runs: usize,
}

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It went the way that is good.
    Better,
    /// It went the other way.
    Worse,
    /// It went, and neither way is good.
    Changed,
    /// It is exactly what it was.
    Same,
    /// The ranges of the repeats overlap.
    Noise,
    /// It is not there on one of the sides.
    NotMeasured,
}

/// Whether repeats show how much is noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Each side was measured at least twice.
    Known,
    /// It was not.
    Unknown,
    /// There is none: it was counted.
    None,
}

impl Comparison {
    /// Compares two sides.
    ///
    /// # Errors
    /// A side without a report where it is not figures alone that are compared, a report of an invalid or interrupted
    /// run, reports of two scenarios unless that was asked for, a figure in two units.
    pub fn of(baseline: &Side, now: &Side, scenarios: Scenarios) -> Result<Self, Refused> {
        let figures_alone = [baseline, now]
            .iter()
            .all(|side| side.runs.is_empty() && !side.figures.is_empty());
        for (name, side) in [("baseline", baseline), ("other", now)] {
            if side.runs.is_empty() && !figures_alone {
                return Err(Refused::Empty(name));
            }
        }
        let runs: Vec<_> = baseline.runs.iter().chain(&now.runs).collect();
        for run in &runs {
            usable(run)?;
        }
        if scenarios == Scenarios::Same {
            same_scenario(&runs)?;
        }
        let labels = |side: &Side| side.runs.iter().map(|run| run.label.clone()).collect();
        let names = runs.iter().map(|run| run.report.name.clone());
        let mut rows = rows::of_reports(baseline, now);
        rows.extend(rows::of_figures(baseline, now)?);
        rows.sort_by_key(|row| row.group);
        Ok(Self {
            format: FORMAT,
            scenarios: names.collect(),
            baseline: labels(baseline),
            now: labels(now),
            warnings: warnings::of(&runs),
            rule: chance::rule(baseline.runs.len(), now.runs.len()),
            rows,
            sources: figures::sources(baseline, now),
        })
    }
}

fn usable(run: &Run) -> Result<(), Refused> {
    let outcome = match run.report.verdict.outcome {
        Outcome::Passed | Outcome::Broken => return Ok(()),
        Outcome::Invalid => "invalid",
        Outcome::Interrupted => "interrupted",
    };
    let reasons = run.report.verdict.reasons.join("; ");
    Err(Refused::SaysNothing {
        label: run.label.clone(),
        outcome,
        why: if reasons.is_empty() {
            reasons
        } else {
            format!(": {reasons}")
        },
    })
}

fn same_scenario(runs: &[&Run]) -> Result<(), Refused> {
    let mut pairs = runs.iter().zip(runs.iter().skip(1));
    match pairs.find(|(one, other)| one.report.name != other.report.name) {
        Some((one, other)) => Err(Refused::Scenarios(
            one.label.clone(),
            one.report.name.clone(),
            other.label.clone(),
            other.report.name.clone(),
        )),
        None => Ok(()),
    }
}
