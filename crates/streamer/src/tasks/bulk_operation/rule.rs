//! A change and what it meets come in; what it does, and the line that says so, go out. Nothing is read or written here.

use serde::{Deserialize, Serialize};

use super::request::{Item, Op};

/// A change as it was read.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Its place among the changes, from 1.
    pub(super) number: u64,
    /// Its line in the input object, from 1.
    pub(super) line: Option<u64>,
    /// The change, or why the line is none.
    pub(super) item: Result<Item, String>,
}

/// What a change meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    /// The version of the record, if there is one.
    pub(super) version: Option<u64>,
    /// Whether the collection takes no more records.
    pub(super) is_full: bool,
    /// The version that a write would get.
    pub(super) next: u64,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    Created,
    Updated,
    Deleted,
    Conflict,
    NotFound,
    Full,
    Invalid,
}

/// How many changes came to what.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Counts {
    /// Records made.
    pub created: u64,
    /// Records replaced.
    pub updated: u64,
    /// Records removed.
    pub deleted: u64,
    /// Changes that met another version, or a record where there should have been none.
    pub conflicts: u64,
    /// Changes that met no record.
    pub not_found: u64,
    /// Records that the collection had no room for.
    pub full: u64,
    /// Lines that were no change.
    pub invalid: u64,
}

impl Counts {
    pub(super) fn count(&mut self, done: Done) {
        *match done {
            Done::Created => &mut self.created,
            Done::Updated => &mut self.updated,
            Done::Deleted => &mut self.deleted,
            Done::Conflict => &mut self.conflicts,
            Done::NotFound => &mut self.not_found,
            Done::Full => &mut self.full,
            Done::Invalid => &mut self.invalid,
        } += 1;
    }
}

/// What becomes of an item.
pub(super) fn decide(item: &Item, met: Met) -> Done {
    let expected = |version| item.if_version.is_none_or(|expected| expected == version);
    match (item.op, met.version) {
        (Op::Create, None) if met.is_full => Done::Full,
        (Op::Create, None) => Done::Created,
        (Op::Create, Some(_)) => Done::Conflict,
        (Op::Update | Op::Delete, None) => Done::NotFound,
        (Op::Update | Op::Delete, Some(version)) if !expected(version) => Done::Conflict,
        (Op::Update, Some(_)) => Done::Updated,
        (Op::Delete, Some(_)) => Done::Deleted,
    }
}

/// The line that tells of one change; `version` is the record's, after it.
pub(super) fn line(change: &Change, done: Done, met: Met) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        item: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        op: Option<Op>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        outcome: Done,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let item = change.item.as_ref().ok();
    let line = Line {
        item: change.number,
        line: change.line,
        op: item.map(|item| item.op),
        key: item.map(|item| item.key.as_str()),
        outcome: done,
        version: match done {
            Done::Created | Done::Updated => Some(met.next),
            Done::Conflict => met.version,
            Done::Deleted | Done::NotFound | Done::Full | Done::Invalid => None,
        },
        reason: change.item.as_ref().err().map(String::as_str),
    };
    let mut text = serde_json::to_vec(&line).expect("numbers and texts have a JSON form");
    text.push(b'\n');
    text
}
