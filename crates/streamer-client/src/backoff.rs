//! The number of failures and a random number come in, the time to wait goes out.

use std::time::Duration;

/// Ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(250);
/// Ceiling of every wait.
const MAX: Duration = Duration::from_secs(30);

/// Exponential backoff with full jitter: `random` in 0–1 of a ceiling that doubles from 0.25 s to 30 s.
pub(crate) fn delay(failures: u32, random: f64) -> Duration {
    let doubled = 2_u32
        .checked_pow(failures)
        .and_then(|by| FIRST.checked_mul(by));
    doubled
        .unwrap_or(MAX)
        .min(MAX)
        .mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_thirty_seconds() {
        let ceilings: Vec<_> = (0..9).map(|n| delay(n, 1.0).as_millis()).collect();
        assert_eq!(
            ceilings,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        for failures in [31, 32, u32::MAX] {
            assert_eq!(delay(failures, 1.0), MAX);
        }
    }

    #[test]
    fn jitter_takes_any_part_of_the_ceiling() {
        assert_eq!(
            [0.0, 0.5, 7.0].map(|r| delay(2, r).as_millis()),
            [0, 500, 1000]
        );
        assert_eq!(delay(2, f64::NAN.max(0.0)), Duration::ZERO);
    }
}
