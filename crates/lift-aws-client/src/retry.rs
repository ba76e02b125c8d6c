//! In: how often a call failed, and a random number. Out: how long to wait before the next try, or that there is none.

use std::time::Duration;

/// The types of error that ask to come back later (DynamoDB Developer Guide, "Error handling").
pub const THROTTLES: [&str; 6] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionConflictException",
    "TransactionInProgressException",
];
/// Tries of a call.
const TRIES_MAX: u32 = 6;
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Full jitter: anything from nothing to a limit that doubles with each failure.
#[must_use]
pub fn delay(failed: u32, random: u32) -> Option<Duration> {
    if failed >= TRIES_MAX {
        return None;
    }
    let limit = FIRST
        .saturating_mul(1 << failed.saturating_sub(1).min(16))
        .min(LONGEST);
    Some(limit.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

/// Whether a transaction was cancelled by nothing but others at its items, or their throughput.
pub(crate) fn conflicts(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Cancelled {
        cancellation_reasons: Vec<Reason>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Reason {
        code: String,
    }
    let Ok(cancelled) = serde_json::from_slice::<Cancelled>(body) else {
        return false;
    };
    let passing = [
        "None",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ];
    let mut reasons = cancelled.cancellation_reasons.iter();
    reasons.all(|reason| passing.contains(&reason.code.as_str()))
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

    #[test]
    fn a_transaction_that_met_another_is_tried_again_and_one_that_failed_a_condition_is_not() {
        let body = |code: &str| {
            format!(r#"{{"CancellationReasons":[{{"Code":"None"}},{{"Code":"{code}"}}]}}"#)
        };
        assert!(conflicts(body("TransactionConflict").as_bytes()));
        assert!(!conflicts(body("ConditionalCheckFailed").as_bytes()));
        assert!(!conflicts(b"{}"));
    }
}
