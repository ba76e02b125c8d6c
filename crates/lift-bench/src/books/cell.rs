//! Single measurements come in, counts and histograms that can be sent and merged go out.

use std::{borrow::Cow, collections::BTreeMap};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Micros;
use crate::report::{Latency, Measures};

/// Longest time that is told apart: an hour.
const LONGEST: Micros = 3_600_000_000;
/// Significant digits of a measurement.
const DIGITS: u8 = 3;
/// Percentages of the curve, denser towards the end.
const CURVE: [f64; 19] = [
    0.0, 10.0, 25.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 99.95,
    99.99, 99.999, 100.0,
];

/// A histogram of times. Empty ones take no room, packed ones little.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Sketch {
    open: Option<Box<Histogram<u64>>>,
    /// Times, and how often each.
    packed: Vec<(u64, u64)>,
}

impl Sketch {
    /// Adds one time.
    pub(crate) fn record(&mut self, took: Micros) {
        self.record_n(took, 1);
    }

    fn record_n(&mut self, took: Micros, times: u64) {
        let histogram = self.open.get_or_insert_with(|| {
            let bounded = Histogram::new_with_bounds(1, LONGEST, DIGITS);
            Box::new(bounded.expect("the bounds are in order and the digits at most five"))
        });
        histogram.saturating_record_n(took, times);
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (value, times) in other.buckets() {
            self.record_n(value, times);
        }
    }

    /// Gives back the room that an open histogram takes, 184 KiB.
    pub(crate) fn pack(&mut self) {
        if self.open.is_some() {
            self.packed = self.buckets().collect();
            self.open = None;
        }
    }

    /// What `percent` of the times do not exceed.
    pub(crate) fn at(&self, percent: f64) -> Option<Micros> {
        let histogram = self.whole()?;
        Some(histogram.value_at_percentile(percent))
    }

    /// The longest.
    pub(crate) fn max(&self) -> Option<Micros> {
        self.whole().map(|histogram| histogram.max())
    }

    /// As a report has it.
    pub(crate) fn latency(&self) -> Latency {
        let Some(histogram) = self.whole() else {
            return Latency::default();
        };
        let at = |percent| histogram.value_at_percentile(percent);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of times up to an hour is between 0 and 2^32"
        )]
        let mean_us = histogram.mean().round() as u64;
        Latency {
            count: histogram.len(),
            min_us: histogram.min(),
            mean_us,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p95_us: at(95.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            max_us: histogram.max(),
            curve: CURVE
                .iter()
                .map(|percent| (*percent, at(*percent)))
                .collect(),
        }
    }

    /// All of it, if there is something in it.
    fn whole(&self) -> Option<Cow<'_, Histogram<u64>>> {
        if self.packed.is_empty() {
            return self.open.as_deref().map(Cow::Borrowed);
        }
        let mut whole = Self::default();
        whole.merge(self);
        whole.open.map(|histogram| Cow::Owned(*histogram))
    }

    fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let open = self
            .open
            .iter()
            .flat_map(|histogram| histogram.iter_recorded());
        let open = open.map(|step| (step.value_iterated_to(), step.count_at_value()));
        self.packed.iter().copied().chain(open)
    }
}

impl From<Vec<(u64, u64)>> for Sketch {
    fn from(packed: Vec<(u64, u64)>) -> Self {
        Self { open: None, packed }
    }
}

impl From<Sketch> for Vec<(u64, u64)> {
    fn from(sketch: Sketch) -> Self {
        sketch.buckets().collect()
    }
}

/// What was counted and timed in one place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    counts: BTreeMap<Cow<'static, str>, u64>,
    times: BTreeMap<Cow<'static, str>, Sketch>,
    pub(super) closes: BTreeMap<u16, u64>,
    pub(super) handshakes: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    samples: BTreeMap<String, String>,
}

/// Kinds of errors that are told apart; a server may send any code.
const ERRORS_MAX: usize = 64;
/// What is kept of the words of an error.
const SAMPLE_CHARS_MAX: usize = 300;

impl Cell {
    pub(super) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&mut self, name: &'static str, times: u64) {
        *self.counts.entry(name.into()).or_default() += times;
    }

    pub(super) fn uncount(&mut self, name: &'static str) {
        let count = self.counts.entry(name.into()).or_default();
        *count = count.saturating_sub(1);
    }

    pub(super) fn time(&mut self, name: &'static str, took: Micros) {
        self.times.entry(name.into()).or_default().record(took);
    }

    /// Counts an error, and keeps what the first of its code said.
    pub(super) fn error(&mut self, code: &str, said: &str) {
        let known = self.errors.contains_key(code);
        let code = if known || self.errors.len() < ERRORS_MAX {
            code
        } else {
            "OTHER"
        };
        *self.errors.entry(code.to_owned()).or_default() += 1;
        if !self.samples.contains_key(code) {
            let said = said.chars().take(SAMPLE_CHARS_MAX).collect();
            self.samples.insert(code.to_owned(), said);
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, times) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += times;
        }
        for (name, sketch) in &other.times {
            self.times.entry(name.clone()).or_default().merge(sketch);
        }
        for (code, times) in &other.closes {
            *self.closes.entry(*code).or_default() += times;
        }
        for (status, times) in &other.handshakes {
            *self.handshakes.entry(*status).or_default() += times;
        }
        for (code, times) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += times;
        }
        for (code, said) in &other.samples {
            self.samples
                .entry(code.clone())
                .or_insert_with(|| said.clone());
        }
    }

    /// As a report has it.
    pub(crate) fn measures(&self) -> Measures {
        let counts = self
            .counts
            .iter()
            .map(|(name, times)| (name.clone().into_owned(), *times));
        let latencies = self
            .times
            .iter()
            .map(|(name, sketch)| (name.clone().into_owned(), sketch.latency()));
        Measures {
            counts: counts.collect(),
            latencies: latencies.collect(),
            closes: self.closes.clone(),
            handshakes: self.handshakes.clone(),
            errors: self.errors.clone(),
            samples: self.samples.clone(),
        }
    }
}
