//! What happened comes in with its time, what happened in each second goes out.

use serde::{Deserialize, Serialize};

use super::{Micros, Sketch};
use crate::report::{Moment, float};

/// Seconds whose histograms were not packed when the next one began.
const OPEN_SECONDS: usize = 3;
/// Longest timeline: a day. What is later is put into its last second.
const SECONDS_MAX: usize = 86_400;

/// What happened in one second.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Connections that were open at its end.
    pub(crate) open: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Messages that were sent.
    pub(crate) sent: u64,
    /// Answers, acknowledgments and ends that came.
    pub(crate) answered: u64,
    /// Errors, refusals, losses.
    pub(crate) errors: u64,
    /// The corrected latencies of what was answered.
    pub(crate) took: Sketch,
}

impl Second {
    /// Adds what happened in the same second elsewhere.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.open += other.open;
        self.opened += other.opened;
        self.sent += other.sent;
        self.answered += other.answered;
        self.errors += other.errors;
        self.took.merge(&other.took);
    }
}

#[derive(Debug, Default)]
pub(super) struct Seconds {
    all: Vec<Second>,
    open: u64,
}

impl Seconds {
    pub(super) fn opened(&mut self, at: Micros) {
        self.open += 1;
        self.at(at).opened += 1;
    }

    pub(super) fn closed(&mut self, at: Micros) {
        self.open = self.open.saturating_sub(1);
        self.at(at);
    }

    pub(super) fn sent(&mut self, at: Micros) {
        self.at(at).sent += 1;
    }

    pub(super) fn answered(&mut self, at: Micros, took: Micros) {
        let second = self.at(at);
        second.answered += 1;
        second.took.record(took);
    }

    pub(super) fn failed(&mut self, at: Micros) {
        self.at(at).errors += 1;
    }

    pub(super) fn get(&self, second: u64) -> Second {
        let known = usize::try_from(second)
            .ok()
            .and_then(|second| self.all.get(second));
        known.cloned().unwrap_or_else(|| Second {
            open: self.open,
            ..Second::default()
        })
    }

    pub(super) fn finish(self) -> Vec<Second> {
        self.all
    }

    /// The second of `at`, which knows how many connections are open. Notes of several clients may come a little out
    /// of order.
    fn at(&mut self, at: Micros) -> &mut Second {
        let place = place(at);
        let open = self.open;
        if self.all.len() <= place {
            let settled = self.all.len().saturating_sub(OPEN_SECONDS);
            for second in self.all.iter_mut().skip(settled) {
                second.took.pack();
            }
            let before = self.all.last().map_or(0, |second| second.open);
            self.all.resize_with(place + 1, || Second {
                open: before,
                ..Second::default()
            });
        }
        if let Some(last) = self.all.last_mut() {
            last.open = open;
        }
        self.all.get_mut(place).expect("it was made long enough")
    }
}

fn place(at: Micros) -> usize {
    usize::try_from(at / 1_000_000)
        .unwrap_or(SECONDS_MAX)
        .min(SECONDS_MAX - 1)
}

impl Moment {
    /// What happened in some seconds, the first of which is `second`.
    pub(crate) fn of(second: u64, seconds: &[Second]) -> Self {
        let mut all = Second::default();
        for second in seconds {
            all.merge(second);
        }
        let count = u32::try_from(seconds.len().max(1)).map_or(1.0, f64::from);
        let mean = |sum: u64| float(sum) / count;
        Self {
            second,
            open: seconds.last().map_or(0, |second| second.open),
            opened: mean(all.opened),
            sent: mean(all.sent),
            answered: mean(all.answered),
            errors: mean(all.errors),
            p50_us: all.took.at(50.0),
            p99_us: all.took.at(99.0),
            max_us: all.took.max(),
        }
    }
}
