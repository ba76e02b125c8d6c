//! In: instants. Out: the time of day that functions see, in the forms that Lambda writes.

use tokio::time::Instant;

/// The wall clock at start plus monotonic time since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let wall = jiff::Timestamp::now().as_millisecond();
        Self {
            started: Instant::now(),
            started_ms: u64::try_from(wall).unwrap_or_default(),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn epoch_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started).as_millis();
        self.started_ms + u64::try_from(since).unwrap_or_default()
    }

    /// `2019-11-14T18:16:05.568Z`.
    pub(super) fn timestamp(&self) -> String {
        format!("{:.3}", self.now())
    }

    /// `2026/11/25`.
    pub(super) fn day(&self) -> String {
        let timestamp = self.timestamp();
        timestamp.get(..10).unwrap_or_default().replace('-', "/")
    }

    fn now(&self) -> jiff::Timestamp {
        let now = i64::try_from(self.epoch_ms(Instant::now())).unwrap_or_default();
        jiff::Timestamp::from_millisecond(now).unwrap_or_default()
    }
}
