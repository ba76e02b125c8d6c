//! The values of one histogram: values come in, at most 100 different ones with their counts go out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::HistogramFn;

/// CloudWatch takes so many different values of a metric in a line.
pub(super) const VALUES_MAX: usize = 100;

/// CloudWatch refuses what is larger or, but for 0, smaller: 2^360 and 2^-360.
const LARGEST: f64 = f64::from_bits((1023 + 360) << 52);
const SMALLEST: f64 = f64::from_bits((1023 - 360) << 52);

/// Low bits dropped at first, once there are too many values: 8 of the mantissa's 52 stay, which
/// is exact to 0.2 %.
const FIRST_SHIFT: u32 = 44;

/// What CloudWatch takes of a number: none of what is no number, and else the nearest.
pub(super) fn within_range(value: f64) -> Option<f64> {
    if !value.is_finite() {
        None
    } else if value.abs() < SMALLEST {
        Some(0.0)
    } else {
        Some(value.clamp(-LARGEST, LARGEST))
    }
}

/// Values since they were taken last. Exact while they are few; then buckets, each as wide as a
/// power of two of the lowest bits of a float, so of a constant relative width.
#[derive(Debug, Default)]
pub(super) struct Sample(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Low bits that do not tell values apart.
    shift: u32,
    /// A value's bits without the low ones, and how often it came.
    counts: Vec<(u64, u64)>,
}

impl Sample {
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values and how often each came; none are left.
    pub(super) fn take(&self) -> Vec<(f64, u64)> {
        let Buckets { shift, counts } = std::mem::take(&mut *self.buckets());
        counts
            .into_iter()
            .map(|(bits, count)| (middle(bits, shift), count))
            .collect()
    }
}

impl HistogramFn for Sample {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if let Some(value) = within_range(value).filter(|_| count > 0) {
            self.buckets().add(value, count);
        }
    }
}

impl Buckets {
    fn add(&mut self, value: f64, count: u64) {
        let bits = value.to_bits();
        loop {
            let bits = without_low(bits, self.shift);
            if let Some((_, there)) = self.counts.iter_mut().find(|(there, _)| *there == bits) {
                *there = there.saturating_add(count);
                return;
            }
            if self.counts.len() < VALUES_MAX {
                self.counts.push((bits, count));
                return;
            }
            self.widen();
        }
    }

    /// Fewer, wider buckets. With 6 bits left there are 64, so that this ends.
    fn widen(&mut self) {
        self.shift = (self.shift + 1).max(FIRST_SHIFT);
        for (bits, _) in &mut self.counts {
            *bits = without_low(*bits, self.shift);
        }
        self.counts.sort_unstable();
        self.counts.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                first.1 = first.1.saturating_add(next.1);
            }
            same
        });
    }
}

const fn without_low(bits: u64, shift: u32) -> u64 {
    bits >> shift << shift
}

/// The value that stands for a bucket.
fn middle(bits: u64, shift: u32) -> f64 {
    let half = (1_u64 << shift) >> 1;
    within_range(f64::from_bits(bits | half)).unwrap_or(LARGEST)
}
