//! In: one shard's iterators and pages. Out: when it is opened, read, and finished.

use std::mem;
use std::time::Duration;

use lift_gateway::Timestamp;

use super::lane::Lane;
use super::mapping::{Action, From, Unread};
use super::rules::Rules;

/// The wait after a call failed.
pub(super) const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// A shard is not read on while this much of it waits.
const WAITING_RECORDS_MAX: usize = 1_000;
const WAITING_BYTES_MAX: usize = 12 * 1024 * 1024;

/// One shard: where its reading is, and the lanes of its records.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) parent: Option<String>,
    pub(super) from: From,
    pub(super) reading: Reading,
    pub(super) lanes: Vec<Lane>,
}

#[derive(Debug)]
pub(super) enum Reading {
    /// The parent is not finished.
    Waiting,
    Opening,
    /// To be opened.
    Due {
        at: Timestamp,
    },
    Between {
        iterator: String,
        at: Timestamp,
    },
    Asked {
        iterator: String,
    },
    Over,
}

impl Reader {
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.reading, Reading::Over) && self.lanes.iter().all(Lane::is_drained)
    }

    /// Where another reader of the shard would go on: at the oldest record that is not dealt with.
    pub(super) fn place(&self) -> From {
        // Numbers have up to 40 digits, and DynamoDB Local's have zeros before them.
        let digits = |number: &&String| {
            let digits = number.trim_start_matches('0');
            (digits.len(), digits.to_owned())
        };
        let undone = self.lanes.iter().flat_map(Lane::undone);
        let oldest = undone.min_by_key(digits);
        oldest.map_or_else(|| self.from.clone(), |oldest| From::At(oldest.clone()))
    }

    fn has_room(&self, rules: &Rules) -> bool {
        let loads = self.lanes.iter().map(Lane::load);
        let (records, bytes) = loads.fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
        let most = rules.batch_size.saturating_mul(self.lanes.len());
        records < most.max(WAITING_RECORDS_MAX) && bytes < WAITING_BYTES_MAX
    }

    pub(super) fn next(&mut self, now: Timestamp, shard: &str, rules: &Rules) -> Option<Action> {
        let room = self.has_room(rules);
        let shard = shard.to_owned();
        match mem::replace(&mut self.reading, Reading::Opening) {
            Reading::Due { at } if at <= now => {
                let from = self.from.clone();
                Some(Action::Open { shard, from })
            }
            Reading::Between { iterator, at } if at <= now && room => {
                self.reading = Reading::Asked {
                    iterator: iterator.clone(),
                };
                Some(Action::Read { shard, iterator })
            }
            other => {
                self.reading = other;
                None
            }
        }
    }

    pub(super) fn wake(&self, rules: &Rules) -> Option<Timestamp> {
        let reading = match self.reading {
            Reading::Due { at } => Some(at),
            Reading::Between { at, .. } if self.has_room(rules) => Some(at),
            Reading::Between { .. } | Reading::Waiting => None,
            Reading::Opening | Reading::Asked { .. } | Reading::Over => None,
        };
        let lanes = self.lanes.iter().filter_map(|lane| lane.wake(rules));
        reading.into_iter().chain(lanes).min()
    }

    pub(super) fn unread(&mut self, why: Unread, now: Timestamp) {
        let later = now + FAILED_PAUSE;
        self.reading = match (why, mem::replace(&mut self.reading, Reading::Over)) {
            (Unread::Failed, Reading::Asked { iterator }) => Reading::Between {
                iterator,
                at: later,
            },
            (Unread::Failed, _) => Reading::Due { at: later },
            (Unread::Expired, _) => Reading::Due { at: now },
            (Unread::Trimmed, _) => {
                self.from = From::TrimHorizon;
                Reading::Due { at: now }
            }
        };
    }
}
