//! A collection's row comes in, and its records page by page; whether those are all of them at one moment goes out.
//!
//! DynamoDB reads each row by itself. The collection's row has a mark of the versions of all its records, which is
//! written with every change of them: records whose versions have that mark are all, and of one moment.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;

use super::table::{Row, Table};
use super::{number, set};
use crate::tasks::bulk_operation::batch::{Collection, Effects};
use crate::tasks::bulk_operation::store::{Page, Pages, Record};
use crate::tasks::failure::Failure;

/// What a collection's row says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Summary {
    pub(super) collection: Collection,
    mark: Mark,
}

/// Stands for a set of versions: the sum of a number for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark(u64);

/// The records of a collection, as far as they are read.
#[derive(Debug)]
pub(super) struct TablePages {
    table: Table,
    partition: String,
    summary: Summary,
    read: Mark,
    next: Next,
}

/// What is to be read.
#[derive(Debug)]
enum Next {
    First,
    After(Value),
    Nothing,
}

impl Mark {
    fn with(self, version: u64) -> Self {
        Self(self.0.wrapping_add(scattered(version)))
    }

    fn without(self, version: u64) -> Self {
        Self(self.0.wrapping_sub(scattered(version)))
    }
}

/// Another number for each, without a pattern that sums could share: the last step of `SplitMix64`.
fn scattered(version: u64) -> u64 {
    let mut bits = version;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Summary {
    pub(super) fn read(row: Option<&Row>) -> Result<Self, Failure> {
        let Some(row) = row else {
            return Ok(Self::default());
        };
        Ok(Self {
            collection: Collection {
                records: row.number("n")?,
                version: row.number("v")?,
            },
            mark: Mark(row.number("m")?),
        })
    }

    /// The same once a batch is written, whose records had the versions `found`.
    pub(super) fn after(&self, effects: &Effects<'_>, found: &HashMap<&str, u64>) -> Self {
        let mut mark = self.mark;
        for (key, write) in &effects.written {
            if let Some(was) = found.get(key) {
                mark = mark.without(*was);
            }
            if let Some(is) = write.version() {
                mark = mark.with(is);
            }
        }
        Self {
            collection: effects.collection,
            mark,
        }
    }

    /// The row under its key.
    pub(super) fn row(&self, mut key: Value) -> Value {
        set(&mut key, "n", number(self.collection.records));
        set(&mut key, "v", number(self.collection.version));
        set(&mut key, "m", number(self.mark.0));
        key
    }
}

impl TablePages {
    pub(super) fn new(table: Table, partition: String, summary: Summary) -> Self {
        Self {
            table,
            partition,
            summary,
            read: Mark::default(),
            next: Next::First,
        }
    }
}

#[async_trait]
impl Pages for TablePages {
    fn records(&self) -> u64 {
        self.summary.collection.records
    }

    async fn next(&mut self, most: usize) -> Result<Page, Failure> {
        loop {
            let after = match &self.next {
                Next::First => None,
                Next::After(key) => Some(key),
                Next::Nothing if self.read == self.summary.mark => return Ok(Page::End),
                Next::Nothing => return Ok(Page::Moved),
            };
            let queried = self.table.query(&self.partition, after, most).await?;
            self.next = queried
                .last_evaluated_key
                .map_or(Next::Nothing, Next::After);
            let records = queried.items.iter().map(record);
            let records = records.collect::<Result<Vec<_>, _>>()?;
            // What can only be of no one moment is read no further.
            let last = self.summary.collection.version;
            if records.iter().any(|record| record.version > last) {
                return Ok(Page::Moved);
            }
            for record in &records {
                self.read = self.read.with(record.version);
            }
            if !records.is_empty() {
                return Ok(Page::Records(records));
            }
        }
    }
}

fn record(row: &Row) -> Result<Record, Failure> {
    Ok(Record {
        key: row.text("sk")?.to_owned(),
        version: row.number("v")?,
        text: row.text("j")?.to_owned(),
    })
}
