//! In: a mapping of the plan and a time scale. Out: what Lambda's event source mapping keeps to, in numbers.

use std::num::NonZeroU32;
use std::time::Duration;

use super::filter::{Filters, PatternError};
use crate::plan::{Bisect, Mapping, PartialFailures, Start};

/// A stream keeps its records a day (DynamoDB Developer Guide, "Change data capture").
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Waits between tries of a batch double from here.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One event source mapping's settings; its times are divided by the time scale.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) batch_size: usize,
    pub(super) batch_window: Duration,
    pub(super) lanes: u64,
    pub(super) start: Start,
    pub(super) bisect: Bisect,
    pub(super) partial: PartialFailures,
    pub(super) retries_max: Option<u32>,
    pub(super) age_max: Duration,
    pub(super) tumbling: Option<Duration>,
    pub(super) filters: Filters,
    backoff_first: Duration,
    backoff_max: Duration,
}

impl Rules {
    /// The rules of a mapping whose time passes `speed` times as fast.
    ///
    /// # Errors
    /// If a filter pattern is not of EventBridge's syntax.
    pub fn new(mapping: &Mapping, speed: NonZeroU32) -> Result<Self, PatternError> {
        let scaled = |time: Duration| time / speed.get();
        let window = mapping.tumbling_window.filter(|window| !window.is_zero());
        Ok(Self {
            batch_size: usize::try_from(mapping.batch_size.max(1)).unwrap_or(usize::MAX),
            batch_window: scaled(mapping.batch_window),
            lanes: mapping.parallelization.max(1).into(),
            start: mapping.start,
            bisect: mapping.bisect,
            partial: mapping.partial,
            retries_max: mapping.retries_max,
            age_max: scaled(mapping.record_age_max.unwrap_or(RETENTION)),
            // Windows are told apart by whole milliseconds.
            tumbling: window.map(|window| scaled(window).max(Duration::from_millis(1))),
            filters: Filters::new(&mapping.filters)?,
            backoff_first: scaled(BACKOFF_FIRST),
            backoff_max: scaled(BACKOFF_MAX),
        })
    }

    /// The wait before the next try of what failed this often.
    pub(super) fn backoff(&self, failed: u32) -> Duration {
        let doubled = self.backoff_first.saturating_mul(1 << failed.min(16));
        doubled.min(self.backoff_max)
    }
}
