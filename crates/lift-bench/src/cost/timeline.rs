//! Amounts at times come in; how much there was in each slice of a run goes out.

use std::time::Duration;

/// Most slices of a run: two hours of seconds.
const SLICES_MAX: u64 = 7_200;
/// The shortest slice.
const SECOND_MS: u64 = 1_000;

/// How a run is cut into slices: of a second, or longer in a run of more than two hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slicing {
    /// Length of a slice.
    pub(super) slice_ms: u64,
    /// Length of the run.
    pub(super) end_ms: u64,
}

impl Slicing {
    pub(super) fn of(end_ms: u64) -> Self {
        let seconds = end_ms.div_ceil(SLICES_MAX * SECOND_MS).max(1);
        Self {
            slice_ms: seconds * SECOND_MS,
            end_ms,
        }
    }

    /// Each slice's start and end.
    pub(super) fn slices(self) -> impl Iterator<Item = (u64, u64)> {
        let starts = (0..self.end_ms.div_ceil(self.slice_ms)).map(move |n| n * self.slice_ms);
        starts.map(move |start| (start, (start + self.slice_ms).min(self.end_ms)))
    }

    fn index(self, at_ms: u64) -> usize {
        usize::try_from(at_ms / self.slice_ms).unwrap_or(usize::MAX)
    }
}

/// Milliseconds as seconds.
pub(super) fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// Milliseconds of a length of time.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Amounts of one thing, slice by slice.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    slicing: Slicing,
    /// What falls into one slice alone.
    single: Vec<f64>,
    /// What a slice has more than the one before, of what spans many.
    steps: Vec<f64>,
}

impl Timeline {
    pub(super) fn new(slicing: Slicing) -> Self {
        let slices = slicing.slices().count();
        Self {
            slicing,
            single: vec![0.0; slices],
            steps: vec![0.0; slices],
        }
    }

    /// An amount at one time; none after the end.
    pub(super) fn at(&mut self, at_ms: u64, amount: f64) {
        if at_ms < self.slicing.end_ms
            && let Some(slot) = self.single.get_mut(self.slicing.index(at_ms))
        {
            *slot += amount;
        }
    }

    /// An amount spread evenly from one time to another; what is after the end is left out.
    pub(super) fn over(&mut self, from_ms: u64, until_ms: u64, amount: f64) {
        if until_ms <= from_ms {
            return self.at(from_ms, amount);
        }
        let per_ms = amount / (seconds(until_ms - from_ms) * 1_000.0);
        let until_ms = until_ms.min(self.slicing.end_ms);
        if from_ms >= until_ms {
            return;
        }
        let slice_ms = self.slicing.slice_ms;
        let (first, last) = (from_ms / slice_ms, (until_ms - 1) / slice_ms);
        let part = |from: u64, until: u64| per_ms * seconds(until - from) * 1_000.0;
        if first == last {
            return self.at(from_ms, part(from_ms, until_ms));
        }
        self.at(from_ms, part(from_ms, (first + 1) * slice_ms));
        self.at(last * slice_ms, part(last * slice_ms, until_ms));
        let whole = part(0, slice_ms);
        for (slice, change) in [(first + 1, whole), (last, -whole)] {
            if let Some(slot) = self.steps.get_mut(self.slicing.index(slice * slice_ms)) {
                *slot += change;
            }
        }
    }

    /// All amounts.
    pub(super) fn amounts(&self) -> Vec<f64> {
        let mut reader = Reader::default();
        (0..self.single.len()).map(|_| reader.next(self)).collect()
    }
}

/// A place in a timeline: what is before it grows no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    slice: usize,
    level: f64,
}

impl Reader {
    /// What is in the next slice.
    pub(super) fn next(&mut self, timeline: &Timeline) -> f64 {
        let step = timeline.steps.get(self.slice).copied().unwrap_or_default();
        let single = timeline.single.get(self.slice).copied().unwrap_or_default();
        self.slice += 1;
        self.level += step;
        single + self.level
    }
}
