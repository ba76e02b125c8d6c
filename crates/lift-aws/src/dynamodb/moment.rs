//! In: a moment that a caller read from a clock. Out: the same moment, put right where an answer has put the clock right since.
//!
//! A process learns the time from the first answer that it gets. What it calls first with a wrong time is decided by conditions
//! that fail then; what it does next is right.

use std::time::Duration;

use lift::clock::Timestamp;
use lift_aws_client::clock::ServerClock;

/// A moment by a clock that may turn out to be wrong.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    read: Timestamp,
    clock: &'a ServerClock,
    offset_ms: i64,
}

impl<'a> Moment<'a> {
    /// The moment that was just read from `clock`.
    pub(crate) fn new(read: Timestamp, clock: &'a ServerClock) -> Self {
        Self {
            read,
            clock,
            offset_ms: clock.offset_ms(),
        }
    }

    pub(crate) fn get(&self) -> Timestamp {
        let moved_ms = self.clock.offset_ms().saturating_sub(self.offset_ms);
        let moved = Duration::from_millis(moved_ms.unsigned_abs());
        if moved_ms < 0 {
            self.read - moved
        } else {
            self.read + moved
        }
    }
}
