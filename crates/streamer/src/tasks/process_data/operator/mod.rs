//! A row comes in; it goes on, goes on changed, or is held back until the input ends.

mod aggregate;
mod filter;
mod keys;
mod top;

pub(super) use aggregate::{Aggregate, Measure};
pub(super) use filter::Filter;
pub(super) use keys::Deduplicate;
pub(super) use top::Top;

use super::options::Options;
use super::read::Columns;
use super::row::Row;
use super::state::{Damaged, Decoder, Encoder};
use crate::tasks::failure::Failure;

/// A column that an operation names.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// Where the operation names it.
    pub(super) pointer: String,
    /// Its place in the rows that reach the operation; `None` while no NDJSON object had it.
    pub(super) at: Option<usize>,
}

impl Column {
    pub(super) fn of<'r>(&self, row: &'r Row) -> super::row::Value<'r> {
        self.at.map(|at| row.get(at)).unwrap_or_default()
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it is.
    On,
    /// The other row goes on in its place.
    Replaced,
    /// It was dropped or is held.
    Gone,
}

/// The bounds of one operator, and where to say that one was passed.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// `/payload/operations/{step}`.
    pub(super) pointer: String,
    pub(super) keys_max: u64,
    pub(super) state_bytes_max: u64,
}

impl Bounds {
    pub(super) fn new(pointer: String, options: &Options) -> Self {
        let Options {
            keys_max,
            state_bytes_max,
            ..
        } = *options;
        Self {
            pointer,
            keys_max,
            state_bytes_max,
        }
    }

    pub(super) fn check(&self, keys: usize, bytes: usize) -> Result<(), Failure> {
        let passed = |limit, max| Failure::Limit {
            limit,
            max,
            pointer: Some(self.pointer.clone()),
            line: None,
        };
        if keys as u64 > self.keys_max {
            return Err(passed("keys_max", self.keys_max));
        }
        match bytes as u64 > self.state_bytes_max {
            true => Err(passed("state_bytes_max", self.state_bytes_max)),
            false => Ok(()),
        }
    }
}

/// One operation at work.
#[derive(Debug)]
pub(super) enum Operator {
    Filter(Filter),
    Select(Vec<Column>),
    Deduplicate(Deduplicate),
    Aggregate(Aggregate),
    Top(Top),
}

impl Operator {
    /// Takes a row that starts on `line`, or that an earlier operation made.
    pub(super) fn take(
        &mut self,
        row: &Row,
        other: &mut Row,
        line: Option<u64>,
    ) -> Result<Fate, Failure> {
        match self {
            Self::Filter(filter) => Ok(if filter.holds(row) {
                Fate::On
            } else {
                Fate::Gone
            }),
            Self::Select(columns) => {
                other.clear();
                columns.iter().for_each(|column| other.push(column.of(row)));
                Ok(Fate::Replaced)
            }
            Self::Deduplicate(seen) => seen.take(row),
            Self::Aggregate(groups) => groups.take(row, line).map(|()| Fate::Gone),
            Self::Top(top) => top.take(row).map(|()| Fate::Gone),
        }
    }

    /// The next row that was held back, once the input has ended.
    pub(super) fn release(&mut self, row: &mut Row) -> Result<bool, Failure> {
        match self {
            Self::Filter(_) | Self::Select(_) | Self::Deduplicate(_) => Ok(false),
            Self::Aggregate(groups) => groups.release(row),
            Self::Top(top) => Ok(top.release(row)),
        }
    }

    /// Finds the columns again after NDJSON showed new ones.
    pub(super) fn resolve(&mut self, columns: &Columns) {
        self.columns()
            .for_each(|column| column.at = columns.at(&column.name));
    }

    /// Every column that the operation names.
    pub(super) fn columns(&mut self) -> Box<dyn Iterator<Item = &mut Column> + '_> {
        match self {
            Self::Filter(filter) => Box::new(std::iter::once(&mut filter.column)),
            Self::Select(columns) => Box::new(columns.iter_mut()),
            Self::Deduplicate(seen) => Box::new(seen.by.iter_mut()),
            Self::Aggregate(groups) => Box::new(groups.columns()),
            Self::Top(top) => Box::new(std::iter::once(&mut top.by)),
        }
    }

    pub(super) fn encode(&self, to: &mut Encoder) {
        match self {
            Self::Filter(_) | Self::Select(_) => {}
            Self::Deduplicate(seen) => seen.keys.encode(to),
            Self::Aggregate(groups) => groups.encode(to),
            Self::Top(top) => top.encode(to),
        }
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        match self {
            Self::Filter(_) | Self::Select(_) => Ok(()),
            Self::Deduplicate(seen) => seen.keys.decode(from),
            Self::Aggregate(groups) => groups.decode(from),
            Self::Top(top) => top.decode(from),
        }
    }
}
