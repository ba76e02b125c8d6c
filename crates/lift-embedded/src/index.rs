//! What the store knows without reading: committed changes come in, due requests and counts go out.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use lift::clock::Timestamp;
use lift::id::Owner;
use lift::task::record::{Key, Record, State};
use lift::task::store::Due;

/// What the index keeps of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When to look at it, and its deadline.
    due: Option<(Timestamp, Timestamp)>,
    waits: bool,
}

impl Entry {
    pub(crate) fn of(record: &Record) -> Self {
        let waits = matches!(record.state, State::Queued | State::Retrying);
        Self {
            due: record.due_at.map(|at| (at, record.ends_by())),
            waits,
        }
    }

    pub(crate) fn waits(self) -> bool {
        self.waits
    }
}

/// One record's step from one entry to the next; the default entry stands for no record.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) before: Entry,
    pub(crate) after: Entry,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    due: BTreeSet<Due>,
    waiting: HashMap<Owner, usize>,
}

impl Index {
    pub(crate) fn apply(&mut self, Change { key, before, after }: Change) {
        let due = |(at, deadline_at)| Due {
            at,
            key: key.clone(),
            deadline_at,
        };
        if let Some(before) = before.due.map(due) {
            self.due.remove(&before);
        }
        self.due.extend(after.due.map(due));
        match (before.waits, after.waits) {
            (false, true) => *self.waiting.entry(key.owner).or_default() += 1,
            (true, false) => self.waits_less(&key.owner),
            (true, true) | (false, false) => {}
        }
    }

    fn waits_less(&mut self, owner: &Owner) {
        if let Some(count) = self.waiting.get_mut(owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting.remove(owner);
            }
        }
    }

    pub(crate) fn waiting(&self, owner: &Owner) -> usize {
        self.waiting.get(owner).copied().unwrap_or(0)
    }

    pub(crate) fn due(&self, now: Timestamp, after: Option<&Due>, limit: usize) -> Vec<Due> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let due = self.due.range((from, Bound::Unbounded));
        due.take_while(|due| due.at <= now)
            .take(limit)
            .cloned()
            .collect()
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|due| due.at)
    }
}
