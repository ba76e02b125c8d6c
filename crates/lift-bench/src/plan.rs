//! A scenario comes in, when each connection and message is due goes out, the same for the same seed. No clock.

use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    report::float,
    scenario::{Behaviour, Phase, Scenario},
};

/// Something due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due {
    /// When, after the first phase's start.
    pub at: Duration,
    /// The phase, by its place.
    pub phase: u16,
    /// What.
    pub what: What,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A virtual client starts, unless as many as the phase holds are there.
    Start {
        /// Its number, from 0.
        client: u64,
        /// Its behaviour, by its place in the order of names.
        behaviour: u16,
    },
    /// One of the clients of a behaviour sends a message.
    Message {
        /// The message's number, from 0.
        number: u64,
        /// The behaviour.
        behaviour: u16,
        /// The message, by its place in the behaviour.
        message: u16,
    },
}

/// Everything due, in order, of one process's part.
#[derive(Debug)]
pub struct Plan {
    phases: Vec<Spread>,
    starts: Choice,
    senders: Choice,
    messages: Vec<Choice>,
    random: ChaCha8Rng,
    part: Part,
    phase: usize,
    clients: u64,
    sent: u64,
}

/// Which of the processes that share a load this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub number: u16,
    /// How many there are.
    pub of: u16,
}

impl Part {
    /// The only process.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    fn has(self, number: u64) -> bool {
        number % u64::from(self.of.max(1)) == u64::from(self.number)
    }

    /// This process's share of `all`.
    #[must_use]
    pub fn share(self, all: u32) -> u32 {
        let of = u32::from(self.of.max(1));
        all / of + u32::from(u32::from(self.number) < all % of)
    }
}

/// The two rates of one phase.
#[derive(Debug)]
struct Spread {
    began: Duration,
    starts: Times,
    messages: Times,
    only: Option<u16>,
}

/// Times of a rate that changes evenly.
#[derive(Debug)]
struct Times {
    from: f64,
    to: f64,
    lasts: f64,
    made: u64,
    next: Option<f64>,
}

/// Numbers chosen by weight.
#[derive(Debug)]
struct Choice(Vec<(u16, u64)>);

impl Plan {
    /// What a scenario has due in one part of it.
    #[must_use]
    pub fn new(scenario: &Scenario, part: Part) -> Self {
        let mut began = Duration::ZERO;
        let phases = scenario.phases.iter().map(|phase| {
            let only = phase
                .behaviour
                .as_ref()
                .and_then(|name| place(scenario, name));
            let spread = Spread::new(phase, began, only);
            began += phase.duration;
            spread
        });
        let phases = phases.collect();
        let weights = |weight: &dyn Fn(&Behaviour) -> u64| {
            Choice::new(scenario.behaviours.values().map(weight))
        };
        Self {
            phases,
            starts: weights(&|behaviour| u64::from(behaviour.weight)),
            senders: weights(&|behaviour| {
                if behaviour.messages.is_empty() {
                    0
                } else {
                    u64::from(behaviour.weight)
                }
            }),
            messages: scenario
                .behaviours
                .values()
                .map(|behaviour| {
                    Choice::new(
                        behaviour
                            .messages
                            .iter()
                            .map(|message| u64::from(message.weight)),
                    )
                })
                .collect(),
            random: ChaCha8Rng::seed_from_u64(scenario.seed),
            part,
            phase: 0,
            clients: 0,
            sent: 0,
        }
    }

    /// The next one due in the whole scenario, whoever's part it is.
    fn advance(&mut self) -> Option<(bool, Due)> {
        loop {
            let phase = self.phases.get_mut(self.phase)?;
            let start = phase.starts.next;
            let message = phase.messages.next;
            let is_start = match (start, message) {
                (None, None) => {
                    self.phase += 1;
                    continue;
                }
                (Some(start), Some(message)) => start <= message,
                (start, None) => start.is_some(),
                (None, Some(_)) => false,
            };
            let times = if is_start {
                &mut phase.starts
            } else {
                &mut phase.messages
            };
            let after = times.take();
            let at = phase.began + Duration::from_secs_f64(after);
            let only = phase.only;
            let (number, what) = if is_start {
                self.start(only)
            } else {
                self.message(only)
            };
            let Some(what) = what else { continue };
            let phase = u16::try_from(self.phase).unwrap_or(u16::MAX);
            return Some((self.part.has(number), Due { at, phase, what }));
        }
    }

    fn start(&mut self, only: Option<u16>) -> (u64, Option<What>) {
        let roll = self.random.next_u64();
        let client = self.clients;
        self.clients += 1;
        let behaviour = only.or_else(|| self.starts.at(roll));
        (
            client,
            behaviour.map(|behaviour| What::Start { client, behaviour }),
        )
    }

    fn message(&mut self, only: Option<u16>) -> (u64, Option<What>) {
        let (first, second) = (self.random.next_u64(), self.random.next_u64());
        let number = self.sent;
        self.sent += 1;
        let what = only
            .or_else(|| self.senders.at(first))
            .and_then(|behaviour| {
                let messages = self.messages.get(usize::from(behaviour))?;
                let message = messages.at(second)?;
                Some(What::Message {
                    number,
                    behaviour,
                    message,
                })
            });
        (number, what)
    }
}

impl Iterator for Plan {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        loop {
            let (is_ours, due) = self.advance()?;
            if is_ours {
                return Some(due);
            }
        }
    }
}

impl Spread {
    fn new(phase: &Phase, began: Duration, only: Option<u16>) -> Self {
        let times = |rate: f64| {
            let to = phase.ramp_to.filter(|_| rate > 0.0);
            Times::new(rate, to.unwrap_or(rate), phase.duration)
        };
        Self {
            began,
            starts: times(phase.connections_per_second),
            messages: times(phase.messages_per_second),
            only,
        }
    }
}

impl Times {
    fn new(from: f64, to: f64, lasts: Duration) -> Self {
        let mut times = Self {
            from,
            to,
            lasts: lasts.as_secs_f64(),
            made: 0,
            next: None,
        };
        times.next = times.of(0);
        times
    }

    fn take(&mut self) -> f64 {
        let taken = self.next.unwrap_or_default();
        self.made = self.made.saturating_add(1);
        self.next = self.of(self.made);
        taken
    }

    /// When the n-th is due: in the middle of its share of the rate's integral.
    fn of(&self, n: u64) -> Option<f64> {
        let all = f64::midpoint(self.from, self.to) * self.lasts;
        let wanted = float(n) + 0.5;
        if wanted > all {
            return None;
        }
        let slope = (self.to - self.from) / self.lasts;
        let root = (self.from * self.from + 2.0 * slope * wanted)
            .max(0.0)
            .sqrt();
        Some(2.0 * wanted / (self.from + root))
    }
}

impl Choice {
    fn new(weights: impl Iterator<Item = u64>) -> Self {
        let mut sum = 0;
        let sums = weights
            .enumerate()
            .filter(|(_, weight)| *weight > 0)
            .map(|(place, weight)| {
                sum += weight;
                (u16::try_from(place).unwrap_or(u16::MAX), sum)
            });
        Self(sums.collect())
    }

    fn at(&self, roll: u64) -> Option<u16> {
        let (_, all) = self.0.last()?;
        let wanted = roll % all;
        self.0
            .iter()
            .find(|(_, sum)| wanted < *sum)
            .map(|(place, _)| *place)
    }
}

fn place(scenario: &Scenario, name: &str) -> Option<u16> {
    let place = scenario.behaviours.keys().position(|known| known == name)?;
    u16::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_of_days_goes_on_after_more_than_four_billion() {
        let mut times = Times::new(1e6, 1e6, Duration::from_secs(7 * 86_400));
        times.made = u64::from(u32::MAX);
        times.next = times.of(times.made);
        let taken: Vec<f64> = (0..3).map(|_| times.take()).collect();
        let expected = [4_294.967_295_5, 4_294.967_296_5, 4_294.967_297_5];
        let near = |(taken, expected): (&f64, f64)| (taken - expected).abs() < 1e-7;
        assert!(taken.iter().zip(expected).all(near), "{taken:?}");
    }
}
