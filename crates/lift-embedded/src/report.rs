//! What opening a store found: findings come in, a report for people and programs goes out.

use std::fmt;
use std::path::PathBuf;

/// What opening a store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The directory held no store before.
    pub created: bool,
    /// Records that were read.
    pub records: u64,
    /// Requests whose worker died with the process; they can be claimed at once.
    pub voided: u64,
    /// Bytes of a write that was under way when the process or machine stopped; never answered.
    pub torn_tail_bytes: u64,
    /// Parts of the journal that are damaged, kept aside and no longer in the store.
    pub lost: Vec<Lost>,
    /// Answered commits that are missing; each held up to a group of writes.
    pub commits_lost: u64,
    /// Parts of the tables that cannot be read; only a salvage finds them, an opening fails at them.
    pub gaps: Vec<Gap>,
    /// Records that cannot be read, kept in place; only the first [`Report::UNREADABLE_MAX`].
    pub unreadable: Vec<Unreadable>,
    /// How many there are in all.
    pub unreadable_count: u64,
}

/// A part of a journal that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The journal.
    pub journal: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How long, in bytes.
    pub bytes: u64,
    /// Where the bytes were put.
    pub kept: PathBuf,
}

/// Rows that cannot be read: those between two that can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The key of the last readable row before them, empty if there is none.
    pub after: String,
    /// The key of the first readable row after them, empty if there is none.
    pub before: String,
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its key, readable as far as it is text.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Most entries of `unreadable`.
    pub const UNREADABLE_MAX: usize = 100;

    /// Whether everything that was ever answered is there.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.gaps.is_empty()
            && self.commits_lost == 0
            && self.unreadable_count == 0
    }

    pub(crate) fn cannot_read(&mut self, row: &[u8], reason: String) {
        self.unreadable_count += 1;
        if self.unreadable.len() < Self::UNREADABLE_MAX {
            self.unreadable.push(Unreadable {
                key: row.escape_ascii().to_string(),
                reason,
            });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records read, {} leases voided",
            self.records, self.voided
        )?;
        if self.torn_tail_bytes > 0 {
            write!(
                f,
                ", an unfinished write of {} bytes dropped",
                self.torn_tail_bytes
            )?;
        }
        if self.commits_lost > 0 {
            write!(f, "; {} ANSWERED COMMITS ARE MISSING", self.commits_lost)?;
        }
        for Lost {
            journal,
            offset,
            bytes,
            kept,
        } in &self.lost
        {
            let (journal, kept) = (journal.display(), kept.display());
            write!(
                f,
                "; {bytes} damaged bytes at {offset} of `{journal}`, kept in `{kept}`"
            )?;
        }
        for Gap { after, before } in &self.gaps {
            write!(
                f,
                "; the rows between `{after}` and `{before}` cannot be read"
            )?;
        }
        for Unreadable { key, reason } in &self.unreadable {
            write!(f, "; record `{key}` cannot be read: {reason}")?;
        }
        Ok(())
    }
}
