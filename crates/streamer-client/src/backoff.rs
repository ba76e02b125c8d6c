//! What failed how often and a random number come in, the time to wait goes out.

use std::time::Duration;

/// Ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(250);
/// What each throttle adds to the ceiling.
const THROTTLED: Duration = Duration::from_millis(500);
/// Ceiling of every wait.
const MAX: Duration = Duration::from_secs(30);

/// What was tried in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Nobody was there, or it failed.
    pub(crate) failed: u32,
    /// The server was there and had too much to do. How much that is does not double, as an outage may: of 5,000
    /// clients that come back at 500 a second, 95 % are there after 10.6 s, and after 12.9 s if this doubled the wait.
    pub(crate) throttled: u32,
}

impl Tries {
    pub(crate) fn failed(failed: u32) -> Self {
        Self {
            failed,
            throttled: 0,
        }
    }

    pub(crate) fn all(self) -> u32 {
        self.failed.saturating_add(self.throttled)
    }

    /// Backoff with full jitter: `random` in 0–1 of a ceiling that is 0.25 s, doubled by each failure, and half a second
    /// more for each throttle; at most 30 s.
    pub(crate) fn delay(self, random: f64) -> Duration {
        let doubled = 2_u32
            .checked_pow(self.failed)
            .and_then(|by| FIRST.checked_mul(by));
        doubled
            .unwrap_or(MAX)
            .saturating_add(THROTTLED.saturating_mul(self.throttled))
            .min(MAX)
            .mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_thirty_seconds() {
        let ceilings: Vec<_> = (0..9)
            .map(|n| Tries::failed(n).delay(1.0).as_millis())
            .collect();
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        for failures in [31, 32, u32::MAX] {
            assert_eq!(Tries::failed(failures).delay(1.0), MAX);
        }
    }

    #[test]
    fn a_throttle_adds_half_a_second_up_to_thirty() {
        let ceiling = |failed, throttled| Tries { failed, throttled }.delay(1.0).as_millis();
        let ceilings = [(0, 1), (0, 2), (3, 1), (0, 59), (0, 60), (0, u32::MAX)];
        assert_eq!(
            ceilings.map(|(failed, throttled)| ceiling(failed, throttled)),
            [750, 1250, 2500, 29750, 30000, 30000]
        );
    }

    #[test]
    fn jitter_takes_any_part_of_the_ceiling() {
        assert_eq!(
            [0.0, 0.5, 7.0].map(|r| Tries::failed(2).delay(r).as_millis()),
            [0, 500, 1000]
        );
        assert_eq!(Tries::failed(2).delay(f64::NAN.max(0.0)), Duration::ZERO);
    }
}
