//! Bytes that came, with their times, come in; how many may leave or be read now, and when to ask again, goes out.
//!
//! One way of one connection. It knows no clock and no socket.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use bytes::{Buf as _, Bytes};
use tokio::time::Instant;

use super::conditions::Conditions;

#[cfg(test)]
mod tests;

/// Most bytes that are read at a time.
pub(super) const READ_BYTES_MAX: usize = 16 * 1024;
/// Bytes and their bookkeeping that wait where they have to. With a latency of 100 ms it lets 10 MiB/s pass.
const DELAYED_BYTES_MAX: usize = 1024 * 1024;
/// The same where nothing has to wait: what is there is on its way out.
const DIRECT_BYTES_MAX: usize = 32 * 1024;
/// How far ahead of a narrow way bytes are read, so that it is never idle.
const AHEAD: Duration = Duration::from_millis(50);
/// How much of a narrow way's bytes leave at a time, so that a slow connection is not a wake-up for each byte.
const GRANULE: Duration = Duration::from_millis(20);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Most bytes to read.
    pub(super) read: usize,
    pub(super) step: Step,
    /// When there may be more to do, if nothing else happens.
    pub(super) wake: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// Writes so many of the first bytes.
    Write(usize),
    /// Says that no more bytes come.
    End,
    /// Ends the connection for both.
    Reset,
}

/// What came with one read.
#[derive(Debug)]
struct Waiting {
    /// None are the end.
    bytes: Bytes,
    came: Instant,
    /// Where its latency is in the span, in 0–1.
    part: f64,
    /// From when its first byte passes.
    starts: Instant,
}

/// One way of one connection.
#[derive(Debug)]
pub(super) struct Line {
    conditions: Conditions,
    waiting: VecDeque<Waiting>,
    held: usize,
    /// When the last byte has passed.
    free_at: Instant,
    /// What the end is, once it came.
    ended: Option<Step>,
    /// Bytes that left since the conditions' `reset_after` is what it is.
    left: u64,
}

impl Line {
    pub(super) fn new(conditions: Conditions, now: Instant) -> Self {
        Self {
            conditions,
            waiting: VecDeque::new(),
            held: 0,
            free_at: now,
            ended: None,
            left: 0,
        }
    }

    /// What waits is timed anew: its latency from when it came, what passes each second from now.
    pub(super) fn change(&mut self, conditions: Conditions, now: Instant) {
        if conditions == self.conditions {
            return;
        }
        if conditions.reset_after != self.conditions.reset_after {
            self.left = 0;
        }
        self.conditions = conditions;
        self.free_at = now;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().map(|entry| self.timed(entry)).collect();
    }

    /// Bytes were read. `part` in 0–1 chooses from the span of latencies.
    pub(super) fn push(&mut self, bytes: Bytes, now: Instant, part: f64) {
        self.held += bytes.len() + size_of::<Waiting>();
        let entry = self.timed(Waiting {
            bytes,
            came: now,
            part,
            starts: now,
        });
        self.waiting.push_back(entry);
    }

    /// No more bytes come; when those that are there have left, this is to do.
    pub(super) fn end(&mut self, step: Step, now: Instant, part: f64) {
        self.ended = Some(step);
        self.push(Bytes::new(), now, part);
    }

    pub(super) fn plan(&self, now: Instant, stalled_until: Option<Instant>) -> Plan {
        let (step, leaves) = self.step(now);
        let (read, readable) = match stalled_until {
            Some(until) if until > now => (0, Some(until)),
            _ => self.room(now),
        };
        let wake = [leaves, readable].into_iter().flatten().min();
        Plan { read, step, wake }
    }

    /// The first bytes, at most so many.
    pub(super) fn first(&self, count: usize) -> &[u8] {
        let first = self.waiting.front().map_or(&[][..], |entry| &entry.bytes);
        first.get(..count).unwrap_or(first)
    }

    /// So many of the first bytes were written.
    pub(super) fn leave(&mut self, count: usize) {
        let takes = self.takes(count);
        let Some(first) = self.waiting.front_mut() else {
            return;
        };
        let count = count.min(first.bytes.len());
        first.bytes.advance(count);
        first.starts += takes;
        self.held -= count;
        self.left = self.left.saturating_add(wide(count));
        if first.bytes.is_empty() {
            self.held -= size_of::<Waiting>();
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            // An idle connection holds nothing.
            self.waiting = VecDeque::new();
        }
    }

    /// When it passes, behind all that is there.
    fn timed(&mut self, entry: Waiting) -> Waiting {
        let due = entry.came + self.conditions.latency.at(entry.part);
        let starts = due.max(self.free_at);
        self.free_at = starts + self.takes(entry.bytes.len());
        Waiting { starts, ..entry }
    }

    /// What the first bytes need, or when that is to be asked again.
    fn step(&self, now: Instant) -> (Step, Option<Instant>) {
        let reset_after = self.conditions.reset_after;
        let may_leave = reset_after.map(|after| after.saturating_sub(self.left));
        if may_leave == Some(0) {
            return (Step::Reset, None);
        }
        let Some(first) = self.waiting.front() else {
            return (Step::Wait, None);
        };
        if first.bytes.is_empty() {
            return match self.ended {
                Some(end) if first.starts <= now => (end, None),
                _ => (Step::Wait, Some(first.starts)),
            };
        }
        let enough = self.granule().min(first.bytes.len());
        let passed = self.passed(first, now);
        if passed < enough {
            return (Step::Wait, Some(first.starts + self.takes(enough)));
        }
        let slice = self.conditions.slice.map_or(usize::MAX, narrow);
        let may_leave = may_leave.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        });
        (Step::Write(passed.min(slice).min(may_leave)), None)
    }

    /// How many bytes may be read, or when that is to be asked again.
    fn room(&self, now: Instant) -> (usize, Option<Instant>) {
        let latency = self.conditions.latency.to;
        let rate = self.conditions.bytes_per_second;
        let held_max = if latency.is_zero() && rate.is_none() {
            DIRECT_BYTES_MAX
        } else {
            DELAYED_BYTES_MAX
        };
        let room = held_max.saturating_sub(self.held + size_of::<Waiting>());
        if self.ended.is_some() || room == 0 {
            return (0, None);
        }
        let room = room.min(READ_BYTES_MAX);
        let Some(rate) = rate else {
            return (room, None);
        };
        let queued = self.free_at.saturating_duration_since(now);
        let over = queued.saturating_sub(latency + AHEAD);
        if over.is_zero() {
            (room.min(passing(rate, AHEAD).max(1)), None)
        } else {
            (0, Some(now + over))
        }
    }

    /// How many of an entry's bytes may have left.
    fn passed(&self, entry: &Waiting, now: Instant) -> usize {
        match self.conditions.bytes_per_second {
            _ if entry.starts > now => 0,
            None => entry.bytes.len(),
            Some(rate) => passing(rate, now - entry.starts).min(entry.bytes.len()),
        }
    }

    fn granule(&self) -> usize {
        let slice = self.conditions.slice.map_or(usize::MAX, narrow);
        let rate = self.conditions.bytes_per_second;
        slice.min(rate.map_or(1, |rate| passing(rate, GRANULE).max(1)))
    }

    /// How long so many bytes take, rounded up.
    fn takes(&self, count: usize) -> Duration {
        const SECOND: u64 = 1_000_000_000;
        let rate = self.conditions.bytes_per_second;
        rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((wide(count) * SECOND).div_ceil(u64::from(rate.get())))
        })
    }
}

/// How many bytes pass in a time.
fn passing(bytes_per_second: NonZeroU32, time: Duration) -> usize {
    let passed = time.as_nanos() * u128::from(bytes_per_second.get()) / 1_000_000_000;
    usize::try_from(passed).unwrap_or(usize::MAX)
}

fn narrow(count: NonZeroU32) -> usize {
    usize::try_from(count.get()).unwrap_or(usize::MAX)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
