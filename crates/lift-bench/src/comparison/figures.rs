//! A JSON file of figures that no load test measures comes in: code, cost. They go out typed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Side;
use crate::report::ReadError;

/// The format's name and version.
pub const FIGURES: &str = "lift-figures/1";

/// Figures of one source that are named, where it is told.
const NAMED_MAX: usize = 3;

/// Figures of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// `lift-figures/1`.
    pub format: String,
    /// All of them.
    pub figures: Vec<Figure>,
}

/// A number that is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The same on both sides.
    pub name: String,
    /// Absent where it was not measured.
    pub value: Option<f64>,
    /// What it counts, or nothing.
    pub unit: String,
    /// Whether less is better.
    pub lower_is_better: bool,
    /// Where it belongs.
    pub group: Group,
    /// What measured it.
    pub source: String,
    /// The day of it, or of what was measured.
    pub date: String,
}

/// Where a figure belongs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// How fast and how reliable it is.
    Performance,
    /// How much of it there is to read.
    Code,
    /// What it takes to run it.
    Cost,
}

impl Figures {
    /// Reads a file of figures.
    ///
    /// # Errors
    /// What is no JSON of this shape, or of another format.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("format").and_then(Value::as_str) {
            Some(FIGURES) => Ok(serde_json::from_value(value)?),
            other => Err(ReadError::Format {
                found: other.unwrap_or_default().chars().take(60).collect(),
                known: FIGURES,
            }),
        }
    }
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Performance => "performance",
            Self::Code => "code",
            Self::Cost => "cost",
        }
    }
}

/// The JSON Schema of a file of figures.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Figures).to_value()
}

/// What measured which figure, and when; of which side, where the sides differ.
pub(super) fn sources(baseline: &Side, now: &Side) -> Vec<String> {
    let said = |side: &Side| -> BTreeSet<String> {
        let mut by_source = BTreeMap::<_, Vec<_>>::new();
        for figure in side.figures.iter().filter(|figure| figure.value.is_some()) {
            let source = (&figure.source, &figure.date);
            by_source.entry(source).or_default().push(&*figure.name);
        }
        let said = by_source.into_iter().map(|((source, date), names)| {
            let names = match names.len() {
                0..=NAMED_MAX => names.join(", "),
                many => format!("{many} figures"),
            };
            format!("{names}: {source}, {date}")
        });
        said.collect()
    };
    let (baseline, now) = (said(baseline), said(now));
    let all = baseline.union(&now);
    all.map(|line| match (baseline.contains(line), now.contains(line)) {
        (true, false) => format!("{line} (baseline)"),
        (false, true) => format!("{line} (now)"),
        _ => line.clone(),
    })
    .collect()
}
