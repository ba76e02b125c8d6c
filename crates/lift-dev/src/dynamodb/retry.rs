//! In: how often a call failed, and a random number. Out: how long to wait before the next try, or that there is none.

use std::time::Duration;

/// The types of error that ask to come back later (DynamoDB Developer Guide, "Error handling").
pub(super) const THROTTLES: [&str; 4] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "LimitExceededException",
];
/// Tries of a call.
const TRIES_MAX: u32 = 6;
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Full jitter: anything from nothing to a limit that doubles with each failure.
pub(super) fn delay(failed: u32, random: u32) -> Option<Duration> {
    if failed >= TRIES_MAX {
        return None;
    }
    let limit = FIRST
        .saturating_mul(1 << failed.saturating_sub(1).min(16))
        .min(LONGEST);
    Some(limit.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_end() {
        let longest = |failed| delay(failed, u32::MAX).map(|pause| pause.as_millis());
        let all: Vec<_> = (1..=6).map(longest).collect();
        let wanted = [Some(50), Some(100), Some(200), Some(400), Some(800), None];
        assert_eq!(all, wanted);
        assert_eq!(delay(3, 0), Some(Duration::ZERO), "jitter is full");
    }
}
