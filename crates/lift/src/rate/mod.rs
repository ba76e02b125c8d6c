//! How much one client may ask for: a scope, a rate and the time come in; room, or how long to wait, goes out.
//!
//! The generic cell rate algorithm (ITU-T I.371, "GCRA") keeps one number a scope, the time at which its
//! bucket would be full again, so that a backend keeps it in one row and changes it by one condition.

pub mod memory;
#[cfg(feature = "test-util")]
pub mod conformance;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ConnectionId, Owner, TenantId};

/// So many in a second on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many in a second.
    pub per_second: NonZeroU32,
    /// How many at once after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate of `per_second` with `burst` at once.
    pub const fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { per_second, burst }
    }

    /// How long one takes to flow in, in nanoseconds.
    pub const fn interval_ns(self) -> u64 {
        1_000_000_000 / self.per_second.get() as u64
    }

    /// How long an empty bucket takes to fill, in nanoseconds.
    pub const fn depth_ns(self) -> u64 {
        self.interval_ns().saturating_mul(self.burst.get() as u64)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s:{}", self.per_second, self.burst)
    }
}

/// A text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is `N/s`, or `N/s:BURST`, of whole numbers from 1; a limit may be `off`")]
pub struct NoRate;

impl FromStr for Rate {
    type Err = NoRate;

    /// `100/s` (with a burst of two seconds' worth) or `100/s:500`.
    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (rate, burst) = text.split_once("/s").ok_or(NoRate)?;
        let per_second: NonZeroU32 = rate.parse().map_err(|_none| NoRate)?;
        let burst = match burst.strip_prefix(':') {
            Some(burst) => burst.parse().map_err(|_none| NoRate)?,
            None if burst.is_empty() => {
                per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1))
            }
            None => return Err(NoRate),
        };
        Ok(Self::new(per_second, burst))
    }
}

/// What a limit of messages or of new connections counts together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Messages of one connection.
    Connection(ConnectionId),
    /// Messages of one user.
    User(Owner),
    /// Messages of one tenant.
    Tenant(TenantId),
    /// New connections of one user.
    UserConnects(Owner),
    /// New connections of one tenant.
    TenantConnects(TenantId),
}

/// When a scope's bucket is full again, in nanoseconds since 1970: all that GCRA remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullAt(pub u64);

/// Takes one from a bucket, or says how long to wait for it. Pure.
///
/// # Errors
/// The wait, where there is no room.
pub fn take(full_at: FullAt, rate: Rate, now: Timestamp) -> Result<FullAt, Duration> {
    take_up_to(NonZeroU32::MIN, full_at, rate, now).map(|(full_at, _one)| full_at)
}

/// Takes as many as there are, up to `most`, for one who spends them a little later, or says how long
/// to wait for the first. Pure.
///
/// # Errors
/// The wait, where there is not one.
pub fn take_up_to(
    most: NonZeroU32,
    full_at: FullAt,
    rate: Rate,
    now: Timestamp,
) -> Result<(FullAt, NonZeroU32), Duration> {
    let now = now.as_millis().saturating_mul(1_000_000);
    let (interval, depth) = (rate.interval_ns(), rate.depth_ns());
    let empty = now.saturating_add(depth);
    // A clock that was set back must not keep a bucket empty for longer than it takes to fill.
    let full_at = full_at.0.clamp(now, empty);
    let room = empty
        .saturating_sub(full_at)
        .checked_div(interval)
        .map_or(most.get(), |room| u32::try_from(room).unwrap_or(u32::MAX));
    match NonZeroU32::new(room) {
        Some(room) => {
            let taken = room.min(most);
            let next = full_at.saturating_add(interval.saturating_mul(u64::from(taken.get())));
            Ok((FullAt(next), taken))
        }
        None => {
            let over = full_at.saturating_add(interval).saturating_sub(empty);
            Err(Duration::from_nanos(over))
        }
    }
}

/// Keeps buckets. Implement it to add a backend.
#[async_trait]
pub trait Rates: fmt::Debug + Send + Sync + 'static {
    /// Takes one from every scope's bucket, or says how long to wait and why; where one has no room,
    /// what the others gave may be gone.
    async fn take(
        &self,
        scopes: &[(Scope, Rate)],
        now: Timestamp,
    ) -> Result<Result<(), Duration>, StoreError>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_750_000_000_000;

    /// Which of the messages at these times (ms) pass.
    fn passed(rate: &str, at: &[u64]) -> Vec<bool> {
        let rate: Rate = rate.parse().unwrap();
        let mut full_at = FullAt::default();
        let pass = |at: &u64| match take(full_at, rate, Timestamp::from_millis(START + at)) {
            Ok(next) => {
                full_at = next;
                true
            }
            Err(wait) => {
                assert!(wait > Duration::ZERO);
                false
            }
        };
        at.iter().map(pass).collect()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        assert_eq!(
            passed("1/s:2", &[0, 0, 0, 999, 1000, 1000]),
            [true, true, false, false, true, false]
        );
        assert_eq!(
            passed("1000/s:1", &[0, 0, 1, 1, 2]),
            [true, false, true, false, true]
        );
        assert_eq!(
            passed("1/s", &[0, 0, 0, 60_000, 60_000, 60_000]),
            [true, true, false, true, true, false]
        );
    }

    #[test]
    fn a_wait_that_is_waited_out_is_enough() {
        let rate: Rate = "3/s:1".parse().unwrap();
        let now = Timestamp::from_millis(START);
        let full = take(FullAt::default(), rate, now).unwrap();
        let wait = take(full, rate, now).unwrap_err();
        assert!(take(full, rate, now + wait + Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn texts_that_are_no_rate() {
        for text in [
            "", "5", "0/s", "5/m", "5/s:", "5/s:0", "5/s7", "-1/s", "5/s:x",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(NoRate), "{text}");
        }
        let rate: Rate = "5/s:7".parse().unwrap();
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Never more than the burst and what flowed in, whatever the clock does.
        #[test]
        fn no_window_passes_more_than_it_may(steps in prop::collection::vec(-300_i64..300, 1..200)) {
            let rate: Rate = "10/s:5".parse().unwrap();
            let (mut full_at, mut now, mut forward, mut passed) = (FullAt::default(), START, 0_u64, 0_u64);
            for step in steps {
                now = now.saturating_add_signed(step);
                forward += step.unsigned_abs();
                if let Ok(next) = take(full_at, rate, Timestamp::from_millis(now)) {
                    full_at = next;
                    passed += 1;
                }
            }
            prop_assert!(passed <= 5 + forward / 100 + 1, "{passed} in {forward} ms");
        }

        /// Many at once are what as many single ones are.
        #[test]
        fn a_lease_is_so_many_single_ones(
            full_at in 0_u64..3_000_000_000, most in 1_u32..30, per_second in 1_u32..1_000, burst in 1_u32..20,
        ) {
            let [most, per_second, burst] = [most, per_second, burst].map(|n| NonZeroU32::new(n).unwrap());
            let (rate, now) = (Rate::new(per_second, burst), Timestamp::from_millis(START));
            let full_at = FullAt(START * 1_000_000 - 1_000_000_000 + full_at);
            let mut one_by_one = (full_at, 0);
            let mut wait = None;
            while one_by_one.1 < most.get() {
                match take(one_by_one.0, rate, now) {
                    Ok(next) => one_by_one = (next, one_by_one.1 + 1),
                    Err(for_the_next) => {
                        wait = Some(for_the_next);
                        break;
                    }
                }
            }
            match take_up_to(most, full_at, rate, now) {
                Ok((next, taken)) => prop_assert_eq!((next, taken.get()), one_by_one),
                Err(for_the_first) => prop_assert_eq!((Some(for_the_first), 0), (wait, one_by_one.1)),
            }
        }
    }
}
