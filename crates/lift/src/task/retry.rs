//! How long to wait before the next attempt: attempts so far and a random number come in. Pure.

use std::time::Duration;

/// Longest wait before the second attempt; doubles with each further one.
pub const BASE: Duration = Duration::from_secs(1);
/// Longest wait of all.
pub const CAP: Duration = Duration::from_secs(300);

/// Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"):
/// anything from nothing to `BASE` × 2^(failures − 1), at most [`CAP`].
///
/// `random` is uniform over all of `u64`.
pub fn wait(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = BASE.saturating_mul(1 << doublings).min(CAP);
    let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (longest + 1))
}

#[cfg(test)]
mod tests {
    use super::{CAP, wait};
    use std::time::Duration;

    fn check(failures: u32, longest: Duration) {
        let millis = u64::try_from(longest.as_millis()).unwrap();
        assert_eq!(wait(failures, 0), Duration::ZERO);
        assert_eq!(wait(failures, millis), longest);
        assert_eq!(wait(failures, millis + 1), Duration::ZERO);
    }

    #[test]
    fn the_longest_wait_doubles_with_each_failure_up_to_the_cap() {
        check(1, Duration::from_secs(1));
        check(2, Duration::from_secs(2));
        check(5, Duration::from_secs(16));
        check(10, CAP);
        check(u32::MAX, CAP);
    }
}
