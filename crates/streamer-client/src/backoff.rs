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
    /// The server was there and had too much to do, which passes: those who wait for long while it has time again
    /// are what makes a return late.
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

    /// One more failure; how long to wait after it.
    pub(crate) fn fail(&mut self, random: f64) -> Duration {
        let wait = self.delay(random);
        self.failed = self.failed.saturating_add(1);
        wait
    }

    /// One more throttle; how long to wait after it.
    pub(crate) fn throttle(&mut self, random: f64) -> Duration {
        let wait = self.delay(random);
        self.throttled = self.throttled.saturating_add(1);
        wait
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

    /// When clients that lost their server are back, in order, and how often they tried in all: the server is gone for
    /// 1.5 s, then takes so many a second (API Gateway: 500) and answers 429 to the others.
    fn back(
        clients: u32,
        per_second: u32,
        wait: fn(Tries, f64) -> Duration,
    ) -> (Vec<Duration>, u32) {
        const GONE: Duration = Duration::from_millis(1500);
        let mut seed = 1_u64;
        let mut random = || {
            // Knuth's MMIX generator: which numbers come is of no matter here, but that they are the same each time.
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(seed >> 32).unwrap()) / f64::from(u32::MAX)
        };
        let mut due = std::collections::BTreeSet::new();
        for client in 0..clients {
            due.insert((wait(Tries::default(), random()), client, 1, 0));
        }
        let (mut tokens, mut filled) = (f64::from(per_second), GONE);
        let (mut back, mut tries) = (Vec::new(), 0);
        while let Some((now, client, mut failed, mut throttled)) = due.pop_first() {
            tries += 1;
            let passed = now.saturating_sub(filled);
            filled = filled.max(now);
            tokens =
                (tokens + passed.as_secs_f64() * f64::from(per_second)).min(f64::from(per_second));
            if now < GONE {
                failed += 1;
            } else if tokens >= 1.0 {
                tokens -= 1.0;
                back.push(now);
                continue;
            } else {
                throttled += 1;
            }
            due.insert((
                now + wait(Tries { failed, throttled }, random()),
                client,
                failed,
                throttled,
            ));
        }
        (back, tries)
    }

    #[test]
    fn clients_are_back_soon_after_the_quota_lets_all_of_them_in() {
        for clients in [5_000, 20_000] {
            let (back, tries) = back(clients, 500, Tries::delay);
            let p95 = back[back.len() * 95 / 100];
            let goal = Duration::from_secs(u64::from(clients) / 500 + 2);
            assert!(p95 < goal, "{clients}: {p95:?}");
            assert!(tries < 15 * clients, "{clients}: {tries} tries");
        }
        // Where a throttle doubles the wait as a failure does, some sleep while there is room.
        let doubled = |tries: Tries, random| Tries::failed(tries.all()).delay(random);
        let (back, _) = back(5_000, 500, doubled);
        assert!(back[4_750] > Duration::from_secs(12), "{:?}", back[4_750]);
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
