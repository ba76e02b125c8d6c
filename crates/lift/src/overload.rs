//! Whether a process has more to do than it can: how late it is comes in, whether to shed work goes out.
//!
//! A process that falls behind answers ever later and then all too late. One that refuses the
//! work it cannot do answers the rest in time (Google SRE book, "Handling Overload").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Lateness that counts (100 ms).
pub const LATE: Duration = Duration::from_millis(100);

/// Samples in a row that must be late: one alone is a pause of the machine.
const IN_A_ROW: u32 = 3;

/// Decides from samples of how late the process does what it was to do at a set time. Pure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shedding {
    late_in_a_row: u32,
    sheds: bool,
}

impl Shedding {
    /// Takes the next sample; whether to shed from now on.
    pub fn sample(&mut self, late: Duration) -> bool {
        if late > LATE {
            self.late_in_a_row = self.late_in_a_row.saturating_add(1);
        } else {
            self.late_in_a_row = 0;
        }
        self.sheds = match self.sheds {
            true => late > LATE / 2,
            false => self.late_in_a_row >= IN_A_ROW,
        };
        self.sheds
    }
}

/// What the app and its host share: the host says whether the process sheds work. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<AtomicBool>);

impl Load {
    /// Whether new work is to be refused with `OVERLOADED`.
    pub fn is_shed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says so; what it was before.
    pub fn shed(&self, sheds: bool) -> bool {
        self.0.swap(sheds, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheds(late_ms: &[u64]) -> Vec<bool> {
        let mut shedding = Shedding::default();
        let sample = |late: &u64| shedding.sample(Duration::from_millis(*late));
        late_ms.iter().map(sample).collect()
    }

    #[test]
    fn lasting_lateness_sheds_until_half_of_it_is_gone() {
        assert_eq!(
            sheds(&[0, 101, 500, 101, 99, 51, 50, 101, 101]),
            [false, false, false, true, true, true, false, false, false]
        );
    }

    #[test]
    fn a_pause_of_the_machine_sheds_nothing() {
        assert_eq!(sheds(&[0, 3_000, 3_000, 0, 3_000]), [false; 5]);
    }
}
