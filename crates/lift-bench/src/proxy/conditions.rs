//! What is wrong with a network comes in; what that is for one of its connections goes out.

use std::num::NonZeroU32;

use rand_chacha::{ChaCha8Rng, rand_core::Rng as _};
use tokio::time::Instant;

use crate::scenario::{Network, Share, Span};

/// What is wrong with a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// How many of the connections are affected. A connection that a share affects, a larger one affects, too.
    pub share: Share,
    /// What each byte waits, each way; a span is chosen from anew for each read, and bytes keep their order.
    pub latency: Span,
    /// Bytes that pass each second, each way of each connection.
    pub bytes_per_second: Option<NonZeroU32>,
    /// Most bytes that are written at a time.
    pub slice: Option<NonZeroU32>,
    /// A connection is reset (RST) after this many bytes to the client, counted from when this began to apply to it.
    pub reset_after: Option<u64>,
}

impl Conditions {
    /// Nothing is wrong.
    #[must_use]
    pub fn clear() -> Self {
        Self {
            share: Share::ALL,
            latency: Span::default(),
            bytes_per_second: None,
            slice: None,
            reset_after: None,
        }
    }
}

impl From<&Network> for Conditions {
    fn from(network: &Network) -> Self {
        Self {
            share: network.share,
            latency: network.latency,
            bytes_per_second: network.bytes_per_second.and_then(NonZeroU32::new),
            slice: network.slice.and_then(NonZeroU32::new),
            reset_after: network.reset_after,
        }
    }
}

/// Where a connection stands among all. Shares are arcs from 0, so that a larger one includes a smaller one.
///
/// Neighbours in time are a golden section of the circle apart: of any run of connections each share is met to within
/// a connection or two, where independent choices would miss it by the root of their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// Of the connection with this number, from 0.
    pub(super) fn of(number: u32, seed: u32) -> Self {
        Self(number.wrapping_mul(0x9E37_79B9).wrapping_add(seed))
    }

    fn is_in(self, share: Share) -> bool {
        f64::from(self.0) < share.part() * (f64::from(u32::MAX) + 1.0)
    }

    fn turned(self, by: u32) -> Self {
        Self(self.0.wrapping_add(by))
    }
}

/// Some connections' bytes from the server are not read.
#[derive(Debug, Clone, Copy)]
struct Stalled {
    share: Share,
    until: Instant,
    /// How far the choice is turned, so that each stall chooses for itself.
    turn: u32,
}

/// What holds for all connections of a proxy.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) conditions: Conditions,
    stalls: Vec<Stalled>,
    /// What turns the stalls' choices.
    dice: ChaCha8Rng,
}

impl Settings {
    pub(super) fn clear(dice: ChaCha8Rng) -> Self {
        Self {
            conditions: Conditions::clear(),
            stalls: Vec::new(),
            dice,
        }
    }

    pub(super) fn stall(&mut self, share: Share, until: Instant, now: Instant) {
        self.stalls.retain(|stall| stall.until > now);
        let turn = self.dice.next_u32();
        self.stalls.push(Stalled { share, until, turn });
    }

    pub(super) fn conditions_at(&self, place: Place) -> Conditions {
        if place.is_in(self.conditions.share) {
            self.conditions
        } else {
            Conditions::clear()
        }
    }

    /// Until when the connection's bytes from the server are not read.
    pub(super) fn stalled_until(&self, place: Place) -> Option<Instant> {
        let chosen = self.stalls.iter();
        let chosen = chosen.filter(|stall| place.turned(stall.turn).is_in(stall.share));
        chosen.map(|stall| stall.until).max()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn affected(count: u32, percent: f64, seed: u32) -> Vec<u32> {
        let share = Share::percent(percent);
        let is_affected = |number: &u32| Place::of(*number, seed).is_in(share);
        (0..count).filter(is_affected).collect()
    }

    #[test]
    fn a_share_is_met_by_few_connections_and_by_many() {
        for seed in [0, 1, 7, 0x8000_0000, u32::MAX] {
            for (count, percent) in [
                (10_u32, 50.0),
                (20, 10.0),
                (100, 1.0),
                (1_000, 33.0),
                (10_000, 0.5),
            ] {
                let expected = f64::from(count) * percent / 100.0;
                let met = affected(count, percent, seed).len() as f64;
                assert!(
                    (met - expected).abs() <= 2.0,
                    "seed {seed}: {met} of {count} at {percent} %"
                );
            }
        }
    }

    #[test]
    fn all_is_every_connection_and_none_is_no_connection() {
        for seed in [0, 1, u32::MAX] {
            assert_eq!(affected(1_000, 100.0, seed).len(), 1_000);
            assert_eq!(affected(1_000, 0.0, seed), Vec::<u32>::new());
        }
    }

    #[test]
    fn a_larger_share_affects_whom_a_smaller_one_does() {
        let few = affected(1_000, 10.0, 3);
        let many = affected(1_000, 40.0, 3);
        assert!(few.iter().all(|number| many.contains(number)));
    }

    #[test]
    fn another_seed_chooses_other_connections() {
        assert_ne!(affected(100, 50.0, 0), affected(100, 50.0, 0x4000_0000));
    }

    #[test]
    fn of_two_stalls_the_longer_holds_and_those_that_ended_are_forgotten() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut settings = Settings::clear(ChaCha8Rng::seed_from_u64(1));
        let place = Place::of(5, 9);
        assert_eq!(settings.stalled_until(place), None);
        settings.stall(Share::ALL, after(2), now);
        settings.stall(Share::ZERO, after(9), now);
        settings.stall(Share::ALL, after(1), now);
        assert_eq!(settings.stalled_until(place), Some(after(2)));
        settings.stall(Share::ALL, after(5), after(3));
        assert_eq!(settings.stalls.len(), 2);
    }
}
