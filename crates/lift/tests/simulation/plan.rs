//! What one run is made of: a seed comes in, the world that it lives in goes out.

use crate::dice::Dice;

/// Whether the store refuses the writes of an old claim: off is the planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fencing {
    On,
    Off,
}

/// Who holds the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A gateway of their own: they outlive a process, and a delivery that a crash cut short is
    /// made again, as AWS Lambda retries an asynchronous invocation.
    Cloud,
    /// The one process that there is: they die with it, and nobody delivers again.
    Machine,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) fencing: Fencing,
    pub(crate) place: Place,
    pub(crate) processes: usize,
    pub(crate) clients: usize,
    /// Steps that each client takes before it only waits.
    pub(crate) steps: u64,
    /// Times in a thousand that a call of the store fails, done or not.
    pub(crate) store_errors: u64,
    /// Times in a thousand that a call of the store takes longer than a lease.
    pub(crate) stalls: u64,
    /// Times in a thousand that a post is throttled or not answered.
    pub(crate) post_errors: u64,
    /// Longest time between two crashes or drains, in milliseconds; 0: none.
    pub(crate) crashes_ms: u64,
    /// How far apart the clocks of two processes may be, in milliseconds.
    pub(crate) skew_ms: u64,
    /// Whether time jumps ahead for all.
    pub(crate) jumps: bool,
    /// Whether a line is kept for all that happens.
    pub(crate) is_logged: bool,
}

impl Plan {
    pub(crate) fn logged(self) -> Self {
        Self {
            is_logged: true,
            ..self
        }
    }

    pub(crate) fn of(seed: u64, fencing: Fencing) -> Self {
        let dice = Dice::new(seed ^ 0x5eed);
        let some = |of: &[u64]| dice.pick(of).copied().unwrap_or(0);
        let place = if some(&[0, 0, 0, 1]) == 1 {
            Place::Machine
        } else {
            Place::Cloud
        };
        Self {
            seed,
            fencing,
            place,
            processes: match place {
                Place::Cloud => 2 + usize::from(dice.chance(400)),
                Place::Machine => 1,
            },
            clients: 1 + usize::try_from(dice.roll(3)).unwrap(),
            steps: 6 + dice.roll(8),
            store_errors: some(&[0, 20, 60]),
            stalls: some(&[0, 0, 10, 30]),
            post_errors: some(&[0, 20, 100]),
            crashes_ms: some(&[0, 3_000, 10_000, 25_000]),
            skew_ms: match place {
                Place::Cloud => some(&[0, 0, 500, 25_000]),
                Place::Machine => 0,
            },
            jumps: dice.chance(300),
            is_logged: false,
        }
    }
}
