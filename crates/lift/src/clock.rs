//! The time: a clock goes in, milliseconds since the epoch come out.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment, zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, `2026-11-22T10:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the time comes from: the system, a service that others ask, too, or tokio's clock, which a
/// test can pause and advance.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Other {
        read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        latest: Arc<AtomicU64>,
    },
    System {
        start: Timestamp,
        since: std::time::Instant,
        latest: Arc<AtomicU64>,
    },
    Virtual {
        start: Timestamp,
        since: tokio::time::Instant,
    },
}

impl Clock {
    /// The system's wall clock. Within this process it never goes backwards and never stands
    /// still: where the wall clock is set back, time goes on from where it was.
    pub fn system() -> Self {
        Self(Source::System {
            start: wall(),
            since: std::time::Instant::now(),
            latest: Arc::default(),
        })
    }

    /// A clock that `read` reads. Within this process it never goes backwards: where `read` does, it
    /// stands still.
    pub fn reading(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Source::Other {
            read: Arc::new(read),
            latest: Arc::default(),
        })
    }

    /// A clock that shows `start` now and moves with tokio's, paused or not.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Source::Virtual {
            start,
            since: tokio::time::Instant::now(),
        })
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System {
                start,
                since,
                latest,
            } => {
                let now = wall().max(*start + since.elapsed()).0;
                Timestamp(latest.fetch_max(now, Ordering::Relaxed).max(now))
            }
            Source::Other { read, latest } => {
                let now = read().0;
                Timestamp(latest.fetch_max(now, Ordering::Relaxed).max(now))
            }
            Source::Virtual { start, since } => *start + since.elapsed(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other { .. } => "Other",
            Self::System { .. } => "System",
            Self::Virtual { .. } => "Virtual",
        })
    }
}

fn wall() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others take"
    )]
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
}
