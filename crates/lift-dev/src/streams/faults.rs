//! In: a seed and chances. Out: which batches are delivered twice, and which records change places.

use super::lane::Again;
use super::record::Record;
use crate::faults::{GAMMA, mix};

/// What goes wrong with records on purpose, in thousandths; the seed makes it the same every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Chance that a batch which succeeded is delivered again, as if its checkpoint were lost.
    pub duplicate: u16,
    /// Chance that a record changes places with the one before it, if that is of another key.
    pub reorder: u16,
    /// Where the chances begin.
    pub seed: u64,
}

/// Faults as they go on.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    faults: Faults,
    state: u64,
}

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            state: faults.seed,
        }
    }

    pub(super) fn again(&mut self) -> Again {
        if self.falls(self.faults.duplicate) {
            Again::Yes
        } else {
            Again::No
        }
    }

    pub(super) fn reorder(&mut self, records: &mut [Record]) {
        for at in 1..records.len() {
            if let Some([one, other]) = records.get_mut(at - 1..=at)
                && one.key != other.key
                && self.falls(self.faults.reorder)
            {
                std::mem::swap(one, other);
            }
        }
    }

    fn falls(&mut self, chance: u16) -> bool {
        if chance == 0 {
            return false;
        }
        let drawn = mix(self.state);
        self.state = self.state.wrapping_add(GAMMA);
        drawn % 1000 < chance.into()
    }
}
