//! In: the `Date` of answers. Out: the server's time, by which signatures and leases of many machines agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// Differences up to this are the second's fraction that `Date` leaves out, and the answer's way.
const EXACT_TO_MS: u64 = 2_000;

/// This machine's clock, put right by a server's where they differ by seconds. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    offset_ms: Arc<AtomicI64>,
}

impl ServerClock {
    /// A clock that is wrong by so much, as a test has it.
    #[must_use]
    pub fn skewed_by(offset_ms: i64) -> Self {
        Self {
            offset_ms: Arc::new(AtomicI64::new(offset_ms)),
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        wall_ms().saturating_add_signed(self.offset_ms())
    }

    /// How far it is from this machine's, in milliseconds: another number later tells that it was put right meanwhile.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Learns from the `Date` header of an answer that has just come (RFC 9110 §6.6.1); whether the
    /// clock was wrong by more than two seconds.
    pub fn learn(&self, date: &str) -> bool {
        let Ok(moment) = jiff::fmt::rfc2822::parse(date) else {
            return false;
        };
        let Ok(server_ms) = u64::try_from(moment.timestamp().as_millisecond()) else {
            return false;
        };
        if server_ms.abs_diff(self.now_ms()) <= EXACT_TO_MS {
            return false;
        }
        let wall_ms = wall_ms();
        let apart = i64::try_from(server_ms.abs_diff(wall_ms)).unwrap_or(i64::MAX);
        let offset = if server_ms > wall_ms { apart } else { -apart };
        self.offset_ms.store(offset, Ordering::Relaxed);
        true
    }
}

/// The time of day by this machine, in milliseconds since 1970-01-01T00:00:00Z. It may jump.
#[must_use]
pub fn wall_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "signatures carry the time of day, which other machines check"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_minutes_off_is_put_right_and_one_that_is_not_stays() {
        let http_date = |ms: u64| {
            let moment = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        let clock = ServerClock::skewed_by(0);
        let now = clock.now_ms();
        assert!(!clock.learn(&http_date(now)), "right");
        assert!(!clock.learn("yesterday"));
        for wrong in [-300_000, 300_000] {
            let clock = ServerClock::skewed_by(wrong);
            assert!(clock.learn(&http_date(now)), "{wrong}");
            assert!(clock.now_ms().abs_diff(now) < 4_000, "{wrong}");
            assert!(!clock.learn(&http_date(now)), "{wrong}: once is enough");
        }
    }
}
