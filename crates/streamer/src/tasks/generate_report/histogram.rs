//! Durations come in one by one; mean, percentiles and maximum go out, from a bounded number of counters.

use serde::{Deserialize, Serialize};

/// Counters for each doubling of the duration, from which a percentile is off by 1/32 at most.
const PER_DOUBLING: u64 = 32;
/// Longest duration told from longer ones, in milliseconds: 49 days. It bounds the counters at 896.
const MILLIS_MAX: u64 = u32::MAX as u64;

/// Durations in milliseconds. Mean and maximum are exact; percentiles are upper bounds, at most 1/32 too high.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Histogram {
    count: u64,
    sum: u64,
    max: u64,
    counters: Vec<u32>,
}

impl Histogram {
    pub(super) fn add(&mut self, millis: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(millis);
        self.max = self.max.max(millis);
        let at = counter(millis.min(MILLIS_MAX));
        if self.counters.len() <= at {
            self.counters.resize(at + 1, 0);
        }
        if let Some(counter) = self.counters.get_mut(at) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Adds all of another's durations.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        if self.counters.len() < other.counters.len() {
            self.counters.resize(other.counters.len(), 0);
        }
        for (mine, theirs) in self.counters.iter_mut().zip(&other.counters) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The rounded mean, of at least one duration.
    pub(super) fn mean(&self) -> Option<u64> {
        (self.sum + self.count / 2).checked_div(self.count)
    }

    pub(super) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// What `percent` of the durations do not exceed.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (at, count) in self.counters.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(highest(at as u64).min(self.max));
            }
        }
        self.max()
    }
}

/// The counter of a duration: one each below 64 ms, then 32 for each doubling.
fn counter(millis: u64) -> usize {
    let doublings = u64::from(millis.max(1).ilog2()).saturating_sub(5);
    usize::try_from(doublings * PER_DOUBLING + (millis >> doublings)).unwrap_or(usize::MAX)
}

/// The longest duration of a counter.
fn highest(at: u64) -> u64 {
    let doublings = (at / PER_DOUBLING).saturating_sub(1);
    ((at - doublings * PER_DOUBLING + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_counter_and_the_counter_is_narrow() {
        let mut last = 0;
        for millis in (0..5_000)
            .chain((5_000..MILLIS_MAX).step_by(999_983))
            .chain([MILLIS_MAX])
        {
            let at = counter(millis);
            assert!(
                at == last || millis >= 5_000 || at == last + 1,
                "{millis} is in {at}"
            );
            let top = highest(at as u64);
            assert!(
                top >= millis && top - millis <= millis / PER_DOUBLING,
                "{millis}: {top}"
            );
            assert!(
                counter(top) == at && counter(top + 1) == at + 1,
                "{millis}: {top}"
            );
            last = at;
        }
        assert_eq!(last, 895);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_durations() {
        let mut histogram = Histogram::default();
        assert_eq!(
            (histogram.mean(), histogram.percentile(50), histogram.max()),
            (None, None, None)
        );
        let mut other = Histogram::default();
        for millis in 1..=60 {
            if millis % 2 == 0 {
                &mut histogram
            } else {
                &mut other
            }
            .add(millis);
        }
        histogram.merge(&other);
        let found = [1, 50, 95, 100].map(|percent| histogram.percentile(percent));
        assert_eq!(found, [1, 30, 57, 60].map(Some));
        assert_eq!((histogram.mean(), histogram.max()), (Some(31), Some(60)));
    }
}
