//! Keys come in; each distinct one gets a number in order of appearance.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Bounds, Column, Fate};
use crate::tasks::failure::Failure;
use crate::tasks::process_data::row::{Kind, Row, Value};
use crate::tasks::process_data::state::{Damaged, Decoder, Encoder};

/// Distinct keys, one after another in one allocation: about 16 bytes a key beside its own.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    table: HashTable<u32>,
    state: RandomState,
    scratch: Encoder,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.bytes.len() + 16 * self.ends.len()
    }

    /// The bytes of a key by its number.
    pub(super) fn get(&self, number: usize) -> &[u8] {
        slice(&self.bytes, &self.ends, number)
    }

    /// The number of the row's key, and whether it is a new one.
    ///
    /// Keys are equal where each cell has the same JSON type and the same text; missing is null.
    pub(super) fn number(&mut self, by: &[Column], row: &Row) -> (usize, Novelty) {
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        for column in by {
            let value = column.of(row);
            let kind = if value.kind == Kind::Missing {
                Kind::Null
            } else {
                value.kind
            };
            Value { kind, ..value }.encode(&mut key);
        }
        let found = self.insert(key.as_slice());
        self.scratch = key;
        found
    }

    fn insert(&mut self, key: &[u8]) -> (usize, Novelty) {
        let Self {
            bytes,
            ends,
            table,
            state,
            ..
        } = self;
        let at = |number: &u32| slice(bytes, ends, place(*number));
        let entry = table.entry(
            state.hash_one(key),
            |number| at(number) == key,
            |number| state.hash_one(at(number)),
        );
        match entry {
            Entry::Occupied(entry) => (place(*entry.get()), Novelty::Known),
            Entry::Vacant(entry) => {
                let number = ends.len();
                entry.insert(u32::try_from(number).unwrap_or(u32::MAX));
                bytes.extend_from_slice(key);
                ends.push(bytes.len() as u64);
                (number, Novelty::New)
            }
        }
    }

    pub(super) fn encode(&self, to: &mut Encoder) {
        to.number(self.len() as u64);
        (0..self.len()).for_each(|number| to.bytes(self.get(number)));
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        for _ in 0..from.length()? {
            let key = from.bytes()?;
            self.insert(key);
        }
        Ok(())
    }
}

/// Whether a key was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    Known,
}

fn slice<'b>(bytes: &'b [u8], ends: &[u64], number: usize) -> &'b [u8] {
    let end = |number: usize| ends.get(number).and_then(|end| usize::try_from(*end).ok());
    let start = number.checked_sub(1).and_then(end).unwrap_or(0);
    bytes
        .get(start..end(number).unwrap_or(start))
        .unwrap_or_default()
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Lets the first row of each key through.
#[derive(Debug)]
pub(in crate::tasks::process_data) struct Deduplicate {
    pub(super) by: Vec<Column>,
    pub(super) keys: Keys,
    bounds: Bounds,
}

impl Deduplicate {
    pub(in crate::tasks::process_data) fn new(by: Vec<Column>, bounds: Bounds) -> Self {
        Self {
            by,
            keys: Keys::default(),
            bounds,
        }
    }

    pub(super) fn take(&mut self, row: &Row) -> Result<Fate, Failure> {
        match self.keys.number(&self.by, row) {
            (_, Novelty::Known) => Ok(Fate::Gone),
            (_, Novelty::New) => {
                self.bounds
                    .check(self.keys.len(), self.keys.state_bytes())?;
                Ok(Fate::On)
            }
        }
    }
}
