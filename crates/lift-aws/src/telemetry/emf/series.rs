//! What is recorded, by name and labels: keys come in, sources of values that are grouped as they are written go out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use metrics::{CounterFn, GaugeFn, Key};

use super::DIMENSION_BYTES_MAX;
use super::line::Value;
use super::sample::{Sample, within_range};
use crate::telemetry::names::{Metric, Unit};
use crate::telemetry::{cut, quoted};

pub(super) const NO_DIMENSIONS: Sets = &[&[]];

pub(super) type Sets = &'static [&'static [&'static str]];
pub(super) type Labels = Vec<(&'static str, String)>;

/// Everything that records, by name and labels, and grouped as it is written.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) index: HashMap<(String, Labels), Source>,
    pub(super) groups: Vec<Group>,
}

impl Series {
    pub(super) fn add(&mut self, one: One, labels: &Labels, sets: Sets, namespace: &str) {
        let mut groups = self.groups.iter_mut();
        match groups.find(|group| group.labels == *labels && group.sets == sets) {
            Some(group) => group.series.push(one),
            None => {
                let mut group = Group::new(labels, sets, namespace);
                group.series.push(one);
                self.groups.push(group);
            }
        }
    }
}

/// Metrics with the same dimensions.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) labels: Labels,
    pub(super) sets: Sets,
    /// A directive's text up to its metrics.
    pub(super) head: String,
    pub(super) series: Vec<One>,
}

impl Group {
    pub(super) fn new(labels: &Labels, sets: Sets, namespace: &str) -> Self {
        let there = |name: &&str| labels.iter().any(|(label, _)| label == name);
        let mut dimensions: Vec<_> = sets
            .iter()
            .filter(|set| set.iter().all(there))
            .map(|set| [&["service"], *set].concat())
            .collect();
        if dimensions.is_empty() {
            dimensions.push(vec!["service"]);
        }
        let dimensions = serde_json::Value::from(dimensions);
        let namespace = quoted(namespace);
        Self {
            labels: labels.clone(),
            sets,
            head: format!(r#"{{"Namespace":{namespace},"Dimensions":{dimensions},"Metrics":["#),
            series: Vec::new(),
        }
    }
}

/// One metric with one value of each dimension.
#[derive(Debug)]
pub(super) struct One {
    pub(super) name: String,
    /// Its definition in a directive.
    pub(super) definition: String,
    /// Its member of the line, up to the value.
    pub(super) member: String,
    pub(super) source: Source,
}

impl One {
    pub(super) fn new(name: &str, known: Option<&Metric>, source: Source) -> Self {
        let quoted = quoted(name);
        let unit = known.map_or(Unit::None, |known| known.unit).as_str();
        Self {
            name: name.to_owned(),
            definition: format!(r#"{{"Name":{quoted},"Unit":"{unit}"}}"#),
            member: format!(",{quoted}:"),
            source,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Counter(Arc<Total>),
    Gauge(Arc<Level>),
    Histogram(Arc<Sample>),
}

impl Source {
    pub(super) fn take(&self) -> Option<Value> {
        match self {
            Self::Counter(total) => Some(total.take()).filter(|n| *n > 0).map(Value::Added),
            Self::Gauge(level) => level.take().map(Value::Now),
            Self::Histogram(sample) => Some(sample.take())
                .filter(|came| !came.is_empty())
                .map(Value::Came),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Total {
    now: AtomicU64,
    written: AtomicU64,
}

impl Total {
    pub(super) fn take(&self) -> u64 {
        let now = self.now.load(Ordering::Relaxed);
        now.wrapping_sub(self.written.swap(now, Ordering::Relaxed))
    }
}

impl CounterFn for Total {
    fn increment(&self, value: u64) {
        self.now.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.now.fetch_max(value, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Level {
    bits: AtomicU64,
    set: AtomicBool,
}

impl Level {
    pub(super) fn take(&self) -> Option<f64> {
        let set = self.set.swap(false, Ordering::Acquire);
        let value = set.then(|| f64::from_bits(self.bits.load(Ordering::Relaxed)));
        value.and_then(within_range)
    }

    pub(super) fn add(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // Always `Ok`: `add` refuses nothing.
        let _ = self
            .bits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.set.store(true, Ordering::Release);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
        self.set.store(true, Ordering::Release);
    }
}

/// The labels of a key that may be dimensions.
pub(super) fn labels(key: &Key, allowed: Sets) -> Labels {
    let mut names: Vec<&'static str> = allowed.iter().copied().flatten().copied().collect();
    names.sort_unstable();
    names.dedup();
    let value = |name: &'static str| {
        let label = key.labels().find(|label| label.key() == name)?;
        let value = cut(label.value(), DIMENSION_BYTES_MAX);
        // CloudWatch takes no metric with an empty one.
        let value = if value.is_empty() { "-" } else { value };
        Some((name, value.to_owned()))
    };
    names.into_iter().filter_map(value).collect()
}
