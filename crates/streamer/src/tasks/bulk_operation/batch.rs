//! The changes of a batch and what they meet come in; all that is to be written goes out. Nothing is read or written here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::engine::Options;
use super::lines::Place;
use super::request::{Item, Op};
use super::rule::{Change, Counts, Done, Met, decide, line};
use crate::objects::Tenant;
use crate::tasks::failure::Failure;

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The last claim that asked; an earlier one writes no more.
    pub(super) claim: u64,
    pub(super) next: Place,
    /// How many changes there are.
    pub(super) items: u64,
    /// Which content of the input they are in.
    pub(super) input: Option<String>,
    pub(super) counts: Counts,
    /// How many rows of outcomes there are.
    pub(super) chunks: u32,
}

/// What a collection's row says.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Collection {
    /// How many records there are.
    pub(super) records: u64,
    /// The last version given out, 0 before the first.
    pub(super) version: u64,
}

/// Which collection.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) tenant: Tenant,
    pub(super) collection: String,
}

/// Some changes, and where reading goes on after them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) next: Place,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Applied {
    /// It is durable.
    Done(Position),
    /// A later claim has the request, or it has ended.
    Fenced,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write<'a> {
    Put { version: u64, text: &'a str },
    Remove,
}

impl Write<'_> {
    /// The record's version after it.
    pub(super) fn version(self) -> Option<u64> {
        match self {
            Self::Put { version, .. } => Some(version),
            Self::Remove => None,
        }
    }
}

/// All that a batch does, which is written together or not at all.
#[derive(Debug)]
pub(super) struct Effects<'a> {
    pub(super) collection: Collection,
    /// The records that are written, by key.
    pub(super) written: BTreeMap<&'a str, Write<'a>>,
    /// One line for each change.
    pub(super) outcomes: Vec<u8>,
    pub(super) position: Position,
}

impl Batch {
    /// The keys of the records that it meets.
    pub(super) fn keys(&self) -> BTreeSet<&str> {
        let items = self
            .changes
            .iter()
            .filter_map(|change| change.item.as_ref().ok());
        items.map(|item| item.key.as_str()).collect()
    }

    /// What it does at the place `from` of a request, in a collection whose records have the versions `found`.
    pub(super) fn effects(
        &self,
        from: &Position,
        mut collection: Collection,
        found: &HashMap<&str, u64>,
        options: &Options,
    ) -> Effects<'_> {
        let mut position = from.clone();
        let (mut written, mut outcomes) = (BTreeMap::new(), Vec::new());
        for change in &self.changes {
            let item = change.item.as_ref();
            let met = Met {
                version: item.ok().and_then(|item| version(item, &written, found)),
                is_full: collection.records >= options.records_max,
                next: collection.version + 1,
            };
            let done = item.map_or(Done::Invalid, |item| decide(item, met));
            if let Ok(item) = item
                && matches!(done, Done::Created | Done::Updated | Done::Deleted)
            {
                collection.version = met.next;
                collection.records += u64::from(done == Done::Created);
                let deleted = u64::from(done == Done::Deleted);
                collection.records = collection.records.saturating_sub(deleted);
                written.insert(item.key.as_str(), write(item, met.next));
            }
            position.counts.count(done);
            outcomes.extend(line(change, done, met));
        }
        position.chunks += 1;
        position.next = self.next;
        Effects {
            collection,
            written,
            outcomes,
            position,
        }
    }
}

/// The version of an item's record, as the changes of this batch before it have left it.
fn version(
    item: &Item,
    written: &BTreeMap<&str, Write<'_>>,
    found: &HashMap<&str, u64>,
) -> Option<u64> {
    let key = item.key.as_str();
    match written.get(key) {
        Some(write) => write.version(),
        None => found.get(key).copied(),
    }
}

fn write(item: &Item, version: u64) -> Write<'_> {
    match (item.op, &item.record) {
        (Op::Create | Op::Update, Some(record)) => Write::Put {
            version,
            text: record.get(),
        },
        (Op::Create | Op::Update | Op::Delete, _) => Write::Remove,
    }
}

impl Collection {
    /// A tenant's first change of a collection needs room for one more beside its `others`.
    pub(super) fn check_room(&self, others: u64, options: &Options) -> Result<(), Failure> {
        let max = options.collections_max as u64;
        if self.version > 0 || others < max {
            return Ok(());
        }
        Err(Failure::Limit {
            limit: "collections_max",
            max,
            pointer: Some("/payload/collection".to_owned()),
            line: None,
        })
    }
}
