//! In: the shards of a stream, pages read, answers of the function, and the time. Out: what to read, invoke and give up.
//!
//! [`Mapping`] is Lambda's event source mapping without its I/O: [`run`](super::run()) carries out
//! [`Action`]s and feeds [`Input`]s, and so does a test with a clock of its own (Lambda Developer
//! Guide, "Using AWS Lambda with Amazon DynamoDB").

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use lift_gateway::Timestamp;
use serde::{Deserialize, Serialize};

use super::InvokeFailed;
use super::failure::Failure;
use super::faults::{Dice, Faults};
use super::lane::{Lane, Place, Step, Supply};
use super::reader::{FAILED_PAUSE, Reader, Reading};
use super::record::Record;
use super::rules::Rules;
use crate::plan::Start;

/// Each shard is read four times a second.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How often the stream is asked for new shards.
const LIST_EVERY: Duration = Duration::from_secs(5);

/// A shard as `DescribeStream` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: String,
    /// The shard that it continues.
    pub parent: Option<String>,
    /// Whether records are still added.
    pub state: ShardState,
}

/// Whether records are still added to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// They are.
    Open,
    /// It has a last sequence number.
    Closed,
}

/// Where a shard's reading begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// At its oldest record.
    TrimHorizon,
    /// After its newest record.
    Latest,
    /// At this sequence number.
    At(String),
    /// After this sequence number.
    After(String),
}

impl From {
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self, Self::At(_) | Self::After(_))
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Nothing but that time passed.
    Tick,
    /// All shards of the stream.
    Listed(Vec<Shard>),
    /// They could not be listed.
    NotListed,
    /// A shard's iterator.
    Opened {
        /// The shard.
        shard: String,
        /// Its iterator.
        iterator: String,
    },
    /// A page of a shard.
    Read {
        /// The shard.
        shard: String,
        /// The page's records.
        records: Vec<Record>,
        /// Where to read on; none at the shard's end.
        next: Option<String>,
    },
    /// A shard could not be opened or read.
    Unread {
        /// The shard.
        shard: String,
        /// What to do about it.
        why: Unread,
    },
    /// The function answered to a lane's batch.
    Answered {
        /// The shard.
        shard: String,
        /// The lane.
        lane: usize,
        /// The answer.
        result: Result<Bytes, InvokeFailed>,
    },
}

/// Why a shard was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The iterator is too old: another one from the same place.
    Expired,
    /// What was to be read is deleted: on at the oldest record.
    Trimmed,
    /// Anything else: the same again a second later.
    Failed,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// List the shards.
    List,
    /// Get an iterator.
    Open {
        /// The shard.
        shard: String,
        /// Where.
        from: From,
    },
    /// Read a page.
    Read {
        /// The shard.
        shard: String,
        /// Its iterator.
        iterator: String,
    },
    /// Call the function.
    Invoke {
        /// The shard.
        shard: String,
        /// The lane.
        lane: usize,
        /// The Lambda event.
        event: Bytes,
    },
    /// Tell that records were dealt with, or will be tried again.
    Dealt {
        /// How many.
        records: usize,
        /// `ok`, `failed`, `bisected`, `throttled` or `unavailable`.
        outcome: &'static str,
        /// Age of the last of them (Lambda's `IteratorAge`).
        age: Option<Duration>,
    },
    /// Write to the on-failure destination.
    GiveUp(Failure),
}

/// One event source mapping.
#[derive(Debug)]
pub struct Mapping {
    rules: Rules,
    arn: String,
    dice: Dice,
    listing: Listing,
    shards: BTreeMap<String, Reader>,
    /// Where shards are begun that were read before.
    places: BTreeMap<String, From>,
}

#[derive(Debug)]
enum Listing {
    /// Never listed so far: where the mapping starts is decided by the first list.
    First(Timestamp),
    FirstAsked,
    Due(Timestamp),
    Asked,
}

impl Mapping {
    /// A mapping of the stream with this ARN.
    #[must_use]
    pub fn new(rules: Rules, arn: impl Into<String>, faults: Faults) -> Self {
        Self {
            rules,
            arn: arn.into(),
            dice: Dice::new(faults),
            listing: Listing::First(Timestamp::default()),
            shards: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Goes on where a mapping of the same stream was ([`Self::places`]); it starts as it is told to
    /// if there are none.
    #[must_use]
    pub fn resume(mut self, places: BTreeMap<String, From>) -> Self {
        self.places = places;
        self
    }

    /// Each shard's place up to which all is dealt with; none before the shards are listed.
    #[must_use]
    pub fn places(&self) -> BTreeMap<String, From> {
        let shards = self.shards.iter();
        shards
            .map(|(id, reader)| (id.clone(), reader.place()))
            .collect()
    }

    /// What follows from what happened. Begins with [`Input::Tick`].
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Tick => {}
            Input::Listed(shards) => self.listed(now, shards),
            Input::NotListed => {
                self.listing = match self.listing {
                    Listing::FirstAsked | Listing::First(_) => Listing::First(now + FAILED_PAUSE),
                    Listing::Asked | Listing::Due(_) => Listing::Due(now + FAILED_PAUSE),
                };
            }
            Input::Opened { shard, iterator } => {
                if let Some(reader) = self.shards.get_mut(&shard) {
                    reader.reading = Reading::Between { iterator, at: now };
                }
            }
            Input::Read {
                shard,
                records,
                next,
            } => self.read(now, &shard, records, next),
            Input::Unread { shard, why } => {
                if let Some(reader) = self.shards.get_mut(&shard) {
                    reader.unread(why, now);
                }
            }
            Input::Answered {
                shard,
                lane,
                result,
            } => {
                let again = self.dice.again();
                let place = Place {
                    rules: &self.rules,
                    shard: &shard,
                    arn: &self.arn,
                };
                let reader = self.shards.get_mut(&shard);
                if let Some(of) = reader.and_then(|reader| reader.lanes.get_mut(lane)) {
                    let steps = of.answered(now, place, result, again);
                    actions.extend(
                        steps
                            .into_iter()
                            .map(|step| action(step, now, &shard, lane)),
                    );
                }
            }
        }
        self.advance(now, &mut actions);
        actions
    }

    /// When to give [`Input::Tick`] although nothing else happens.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        let listing = match self.listing {
            Listing::First(at) | Listing::Due(at) => Some(at),
            Listing::FirstAsked | Listing::Asked => None,
        };
        let readers = self
            .shards
            .values()
            .filter_map(|reader| reader.wake(&self.rules));
        listing.into_iter().chain(readers).min()
    }

    fn listed(&mut self, now: Timestamp, shards: Vec<Shard>) {
        let first = matches!(self.listing, Listing::FirstAsked | Listing::First(_));
        let listed: Vec<String> = shards.iter().map(|shard| shard.id.clone()).collect();
        // What has come to the stream since it was read is new, as what comes after the first list.
        let is_new = first && self.places.is_empty();
        for shard in shards {
            let start = match self.rules.start {
                Start::Latest if is_new => From::Latest,
                Start::Latest | Start::TrimHorizon => From::TrimHorizon,
            };
            let from = self.places.remove(&shard.id).unwrap_or(start);
            self.shards.entry(shard.id).or_insert_with(|| Reader {
                parent: shard.parent,
                reading: match shard.state {
                    // All that it has is older than the mapping.
                    ShardState::Closed if from == From::Latest => Reading::Over,
                    ShardState::Closed | ShardState::Open => Reading::Waiting,
                },
                from,
                lanes: (0..self.rules.lanes).map(|_| Lane::default()).collect(),
            });
        }
        self.places.clear();
        // A finished shard stays for its children until the stream forgets it.
        self.shards
            .retain(|id, reader| !reader.is_finished() || listed.contains(id));
        self.listing = Listing::Due(now + LIST_EVERY);
    }

    fn read(
        &mut self,
        now: Timestamp,
        shard: &str,
        mut records: Vec<Record>,
        next: Option<String>,
    ) {
        let Some(reader) = self.shards.get_mut(shard) else {
            return;
        };
        if let Some(last) = records.last() {
            reader.from = From::After(last.sequence.clone());
        }
        self.dice.reorder(&mut records);
        for record in records {
            let lane = usize::try_from(record.key % self.rules.lanes).unwrap_or_default();
            if self.rules.filters.pass(&record.json)
                && let Some(lane) = reader.lanes.get_mut(lane)
            {
                lane.push(record, now);
            }
        }
        reader.reading = match next {
            Some(iterator) => Reading::Between {
                iterator,
                at: now + POLL_EVERY,
            },
            None => {
                // Its children are wanted now.
                if let Listing::Due(at) = &mut self.listing {
                    *at = now;
                }
                Reading::Over
            }
        };
    }

    fn advance(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        match self.listing {
            Listing::First(at) if at <= now => {
                self.listing = Listing::FirstAsked;
                actions.push(Action::List);
            }
            Listing::Due(at) if at <= now => {
                self.listing = Listing::Asked;
                actions.push(Action::List);
            }
            Listing::First(_) | Listing::Due(_) | Listing::FirstAsked | Listing::Asked => {}
        }
        for (shard, reader) in &mut self.shards {
            let supply = match reader.reading {
                Reading::Over => Supply::Ended,
                _ => Supply::Open,
            };
            let place = Place {
                rules: &self.rules,
                shard,
                arn: &self.arn,
            };
            for (at, lane) in reader.lanes.iter_mut().enumerate() {
                let steps = lane.advance(now, place, supply);
                actions.extend(steps.into_iter().map(|step| action(step, now, shard, at)));
            }
        }
        self.free_children(now);
        for (shard, reader) in &mut self.shards {
            actions.extend(reader.next(now, shard, &self.rules));
        }
    }

    /// A child is read once all records of its parent are done; one that is not listed is.
    fn free_children(&mut self, now: Timestamp) {
        let unfinished: Vec<String> = self
            .shards
            .iter()
            .filter(|(_, reader)| !reader.is_finished())
            .map(|(id, _)| id.clone())
            .collect();
        for reader in self.shards.values_mut() {
            let held = reader
                .parent
                .as_ref()
                .is_some_and(|parent| unfinished.contains(parent));
            if matches!(reader.reading, Reading::Waiting) && !held {
                reader.reading = Reading::Due { at: now };
            }
        }
    }
}

fn action(step: Step, now: Timestamp, shard: &str, lane: usize) -> Action {
    match step {
        Step::Invoke { event } => Action::Invoke {
            shard: shard.to_owned(),
            lane,
            event,
        },
        Step::Dealt {
            records,
            outcome,
            newest,
        } => Action::Dealt {
            records,
            outcome,
            age: newest.map(|newest| now.since(newest)),
        },
        Step::GiveUp(failure) => Action::GiveUp(failure),
    }
}
