//! In: the records of some keys of a shard, in order, and what the function answered. Out: batches, one at a time, until each is done or given up.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use lift_gateway::Timestamp;

use super::InvokeFailed;
use super::answer::{self, Verdict};
use super::batch::{Batch, Turn, Window};
use super::failure::{Condition, Failure, Responded};
use super::record::Record;
use super::rules::Rules;
use crate::plan::Bisect;

/// Lambda's limit for a window's state.
const STATE_BYTES_MAX: usize = 1024 * 1024;
/// Records of a window may still be read this long after its end.
const GRACE: Duration = Duration::from_millis(250);

/// What a lane's batches are made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) rules: &'a Rules,
    pub(super) shard: &'a str,
    pub(super) arn: &'a str,
}

/// Whether more records may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    Open,
    Ended,
}

/// What a lane asks for, or tells.
#[derive(Debug)]
pub(super) enum Step {
    /// Call the function; the lane waits for [`Lane::answered`].
    Invoke { event: Bytes },
    /// Records were dealt with, or a batch failed and will be tried again.
    Dealt {
        records: usize,
        outcome: &'static str,
        newest: Option<Timestamp>,
    },
    /// Records are given up.
    GiveUp(Failure),
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: VecDeque<(Record, Timestamp)>,
    bytes: usize,
    /// Pieces of a batch that failed, which go before `waiting`.
    parts: VecDeque<Batch>,
    doing: Doing,
    window: Option<Window>,
}

#[derive(Debug, Default)]
enum Doing {
    #[default]
    Nothing,
    Running(Batch),
    Resting {
        batch: Batch,
        until: Timestamp,
    },
}

impl Lane {
    pub(super) fn push(&mut self, record: Record, now: Timestamp) {
        self.bytes += record.json.len();
        self.waiting.push_back((record, now));
    }

    /// Records that wait, and their bytes.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    pub(super) fn is_drained(&self) -> bool {
        let resting = matches!(self.doing, Doing::Nothing) && self.parts.is_empty();
        resting && self.waiting.is_empty() && self.window.is_none()
    }

    /// The numbers of the records that are not dealt with, and of the first of an open window.
    pub(super) fn undone(&self) -> impl Iterator<Item = &String> {
        let doing = match &self.doing {
            Doing::Nothing => None,
            Doing::Running(batch) | Doing::Resting { batch, .. } => Some(batch),
        };
        let begun = doing.into_iter().chain(&self.parts);
        let begun = begun.flat_map(|batch| batch.records.iter());
        let waiting = self.waiting.iter().map(|(record, _)| record);
        let window = self.window.iter().map(|window| &window.first);
        window.chain(begun.chain(waiting).map(|record| &record.sequence))
    }

    /// When [`Self::advance`] has something to do although nothing else happens.
    pub(super) fn wake(&self, rules: &Rules) -> Option<Timestamp> {
        match &self.doing {
            Doing::Running(_) => None,
            Doing::Resting { until, .. } => Some(*until),
            Doing::Nothing => {
                let window = self.window.as_ref().map(|window| window.end + GRACE);
                let filled = self
                    .waiting
                    .front()
                    .map(|(_, read)| *read + rules.batch_window);
                window.into_iter().chain(filled).min()
            }
        }
    }

    /// Begins the next batch if there is one and none is running.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        supply: Supply,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let mut batch = match mem::take(&mut self.doing) {
                Doing::Nothing => {
                    let part = self.parts.pop_front();
                    match part.or_else(|| self.form(now, place.rules, supply)) {
                        Some(batch) => batch,
                        None => return steps,
                    }
                }
                Doing::Resting { batch, until } if until <= now => batch,
                busy => {
                    self.doing = busy;
                    return steps;
                }
            };
            let old = batch.take_older_than(place.rules.age_max, now);
            if !old.is_empty() {
                let responded = batch.responded;
                let age = Condition::RecordAgeExceeded;
                steps.push(give_up(place, age, &old, batch.invokes, responded));
            }
            if batch.records.is_empty() && batch.turn != Turn::Final {
                continue;
            }
            batch.invokes += 1;
            let event = batch.event(self.window.as_ref(), place.shard, place.arn);
            self.doing = Doing::Running(batch);
            steps.push(Step::Invoke { event });
            return steps;
        }
    }

    /// What the function made of the running batch; `again` has a finished one delivered once more.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        result: Result<Bytes, InvokeFailed>,
        again: Again,
    ) -> Vec<Step> {
        let Doing::Running(mut batch) = mem::take(&mut self.doing) else {
            return Vec::new();
        };
        match result {
            Ok(answer) => {
                batch.responded = Responded::Well;
                match answer::verdict(place.rules.partial, &answer, &batch.records) {
                    Verdict::Done => self.done(batch, &answer, again),
                    Verdict::FailedFrom(0) => self.failed(now, place, batch),
                    Verdict::FailedFrom(first) => {
                        let rest = batch.records.split_off(first);
                        let rest = batch.with(rest);
                        let mut steps = self.done(batch, &answer, Again::No);
                        if place.rules.bisect == Bisect::On {
                            self.parts.push_front(rest);
                        } else {
                            steps.extend(self.failed(now, place, rest));
                        }
                        steps
                    }
                }
            }
            Err(InvokeFailed::Function { .. }) => {
                batch.responded = Responded::Error;
                self.failed(now, place, batch)
            }
            Err(InvokeFailed::Throttled) => self.refused(now, place.rules, batch, "throttled"),
            Err(InvokeFailed::Unavailable { .. }) => {
                self.refused(now, place.rules, batch, "unavailable")
            }
        }
    }

    /// The function was not called: no attempt.
    fn refused(
        &mut self,
        now: Timestamp,
        rules: &Rules,
        batch: Batch,
        outcome: &'static str,
    ) -> Vec<Step> {
        let step = dealt(&batch, outcome);
        self.rest(now, rules, batch);
        vec![step]
    }

    fn rest(&mut self, now: Timestamp, rules: &Rules, mut batch: Batch) {
        let until = now + rules.backoff(batch.failures);
        batch.failures += 1;
        self.doing = Doing::Resting { batch, until };
    }

    fn done(&mut self, batch: Batch, answer: &[u8], again: Again) -> Vec<Step> {
        let step = dealt(&batch, "ok");
        match (batch.turn, &mut self.window) {
            (Turn::Final, window) => *window = None,
            (Turn::Window, Some(window)) => {
                let state = answer::state(answer);
                if state.len() > STATE_BYTES_MAX {
                    window.ends_early = true;
                } else {
                    window.state = state;
                }
            }
            (Turn::Window | Turn::Plain, _) => {
                // What was delivered twice already is enough.
                if again == Again::Yes && batch.invokes == 1 {
                    self.parts.push_front(batch);
                }
            }
        }
        vec![step]
    }

    fn failed(&mut self, now: Timestamp, place: Place<'_>, mut batch: Batch) -> Vec<Step> {
        let rules = place.rules;
        if rules.bisect == Bisect::On && batch.records.len() > 1 {
            let step = dealt(&batch, "bisected");
            let later = batch.records.split_off(batch.records.len().div_ceil(2));
            self.parts.push_front(batch.with(later));
            self.parts.push_front(batch);
            return vec![step];
        }
        if rules.retries_max.is_some_and(|most| batch.retries >= most) {
            if batch.turn == Turn::Final {
                self.window = None;
            }
            let exhausted = Condition::RetryAttemptsExhausted;
            let (records, invokes) = (&batch.records, batch.invokes);
            return vec![give_up(place, exhausted, records, invokes, batch.responded)];
        }
        let step = dealt(&batch, "failed");
        batch.retries += 1;
        self.rest(now, rules, batch);
        vec![step]
    }

    /// The next batch, if enough waits or waited long enough.
    fn form(&mut self, now: Timestamp, rules: &Rules, supply: Supply) -> Option<Batch> {
        let Some(length) = rules.tumbling else {
            let ready = self.is_ready(now, rules, supply, self.waiting.len());
            return ready.then(|| self.take(rules.batch_size, Turn::Plain));
        };
        if self.window.is_none() {
            let front = self.waiting.front();
            self.window = front.map(|(record, _)| Window::of(record, length));
        }
        let window = self.window.as_ref()?;
        let inside = self.waiting.iter().take(rules.batch_size);
        let inside = inside
            .take_while(|(record, _)| record.arrived < window.end)
            .count();
        let later = inside < rules.batch_size && inside < self.waiting.len();
        let over = later || supply == Supply::Ended || window.end <= now;
        if window.ends_early {
            return Some(Batch::last());
        }
        if inside == 0 {
            let over = later || supply == Supply::Ended || window.end + GRACE <= now;
            return over.then(Batch::last);
        }
        let ready = over || self.is_ready(now, rules, supply, inside);
        ready.then(|| self.take(inside, Turn::Window))
    }

    fn is_ready(&self, now: Timestamp, rules: &Rules, supply: Supply, count: usize) -> bool {
        let Some((_, read)) = self.waiting.front() else {
            return false;
        };
        let full = count >= rules.batch_size || self.bytes >= Batch::BYTES_MAX;
        full || supply == Supply::Ended || *read + rules.batch_window <= now
    }

    fn take(&mut self, most: usize, turn: Turn) -> Batch {
        let state = self.window.as_ref().map_or(0, |window| window.state.len());
        let mut batch = Batch::new(turn);
        let mut bytes = state;
        while let Some((record, _)) = self.waiting.front() {
            bytes += record.json.len() + 1;
            let fits = batch.records.is_empty() || bytes <= Batch::BYTES_MAX;
            if batch.records.len() >= most || !fits {
                break;
            }
            let taken = self.waiting.pop_front();
            batch.records.extend(taken.map(|(record, _)| record));
        }
        let taken: usize = batch.records.iter().map(|record| record.json.len()).sum();
        self.bytes = self.bytes.saturating_sub(taken);
        batch
    }
}

/// Whether a batch that succeeded is delivered again, as if its checkpoint were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    Yes,
}

fn dealt(batch: &Batch, outcome: &'static str) -> Step {
    Step::Dealt {
        records: batch.records.len(),
        outcome,
        newest: batch.records.last().map(|record| record.arrived),
    }
}

fn give_up(
    place: Place<'_>,
    condition: Condition,
    records: &[Record],
    invokes: u32,
    responded: Responded,
) -> Step {
    Step::GiveUp(Failure::new(
        place.shard,
        condition,
        records,
        invokes,
        responded,
    ))
}
