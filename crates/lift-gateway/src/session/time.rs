//! In: times from a driver. Out: the same as a number that sessions compare and print.

use std::ops::Add;
use std::time::Duration;

/// Milliseconds since the epoch, as a driver's clock says it; it never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// This many milliseconds after the epoch.
    #[must_use]
    pub fn from_epoch_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn epoch_ms(self) -> u64 {
        self.0
    }

    /// The time passed since an earlier moment; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ms))
    }
}
