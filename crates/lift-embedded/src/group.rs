//! One group of writes: calls come in one after the other, each sees those before it, rows go out.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use fjall::Keyspace;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::Owner;
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Record};
use lift::task::store::{Activity, Put};
use lift::task::transition::{Applied, Transition, apply};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::refusal;
use crate::index::{Change, Entry, Index};
use crate::layout::{self, Body, Held};
use crate::recent::Recent;

/// Rows that a purge looks at for each record that it may remove: idempotency rows go along.
const PURGE_ROWS_PER_RECORD: usize = 4;

/// Room for most rows: one that grows while it is written is copied.
const ROW_BYTES: usize = 1024;

/// Whether a group must reach the disk, or the operating system only, before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Os,
    Disk,
}

/// A group under way; nothing of it is visible to anyone else until it is committed.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    rows: Rows<'a>,
    index: &'a Mutex<Index>,
    recent: &'a Recent,
    /// The records among the rows.
    records: HashMap<Vec<u8>, Record>,
    waiting: HashMap<Owner, isize>,
    changes: Vec<Change>,
    reach: Reach,
}

/// What a group writes: the rows, `None` to remove, the records among them and the index's steps.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) records: HashMap<Vec<u8>, Record>,
    pub(crate) changes: Vec<Change>,
    pub(crate) reach: Reach,
}

/// The stored rows under those that the group has written so far.
struct Rows<'a> {
    stored: &'a Keyspace,
    written: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("written", &self.written.len())
            .finish_non_exhaustive()
    }
}

impl Rows<'_> {
    fn get<T: DeserializeOwned>(&self, row: &[u8]) -> Result<Option<T>, StoreError> {
        match self.written.get(row) {
            Some(written) => written.as_deref().map(parse).transpose(),
            None => read(self.stored, row),
        }
    }

    fn put(&mut self, row: Vec<u8>, value: &impl Serialize) -> Result<(), StoreError> {
        let mut text = Vec::with_capacity(ROW_BYTES);
        serde_json::to_writer(&mut text, value).map_err(StoreError::corrupt)?;
        self.written.insert(row, Some(text));
        Ok(())
    }

    fn put_json(&mut self, row: Vec<u8>, value: &Json) {
        self.written
            .insert(row, Some(value.get().as_bytes().to_vec()));
    }

    fn remove(&mut self, row: Vec<u8>) {
        self.written.insert(row, None);
    }
}

/// Reads one stored row.
pub(crate) fn read<T: DeserializeOwned>(
    stored: &Keyspace,
    row: &[u8],
) -> Result<Option<T>, StoreError> {
    match stored.get(row) {
        Ok(Some(value)) => parse(&value).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}

pub(crate) fn read_error(error: fjall::Error) -> StoreError {
    refusal(error).map_or_else(StoreError::corrupt, StoreError::unavailable)
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(StoreError::corrupt)
}

/// What a put meets in an idempotency row; one past its time counts as absent.
pub(crate) fn met(held: &Held, idempotency: &Idempotency, now: Timestamp) -> Option<Put> {
    (held.expires_at > now).then(|| {
        if held.payload_hash == idempotency.payload_hash {
            Put::Duplicate(held.id)
        } else {
            Put::Mismatch
        }
    })
}

impl<'a> Group<'a> {
    pub(crate) fn new(stored: &'a Keyspace, index: &'a Mutex<Index>, recent: &'a Recent) -> Self {
        Self {
            rows: Rows {
                stored,
                written: BTreeMap::new(),
            },
            index,
            recent,
            records: HashMap::new(),
            waiting: HashMap::new(),
            changes: Vec::new(),
            reach: Reach::Os,
        }
    }

    pub(crate) fn put(&mut self, new: NewTask) -> Result<Put, StoreError> {
        let owner = &new.key.owner;
        let row = match &new.idempotency {
            Some(idempotency) => Some(
                layout::idempotency(owner, &new.action, &idempotency.key)
                    .ok_or_else(|| StoreError::unavailable("an idempotency key is too long"))?,
            ),
            None => None,
        };
        if let (Some(row), Some(idempotency)) = (&row, &new.idempotency)
            && let Some(held) = self.rows.get::<Held>(row)?
            && let Some(met) = met(&held, idempotency, new.created_at)
        {
            return Ok(met);
        }
        let head = layout::head(&new.key);
        if self.record(&head)?.is_some() {
            return Ok(Put::Duplicate(new.key.id));
        }
        if self.waiting(owner) >= new.queued_max {
            return Ok(Put::Full);
        }
        let record = new.record();
        let accepted = layout::activity(&Activity::of(&record).accepted);
        self.rows.written.insert(accepted, Some(Vec::new()));
        self.rows
            .put_json(layout::body(&new.key, Body::Input), &new.input);
        if let (Some(row), Some(idempotency)) = (row, new.idempotency) {
            let expires_at = record.expires_at;
            let held = Held {
                id: new.key.id,
                payload_hash: idempotency.payload_hash,
                expires_at,
            };
            self.rows.remove_later(expires_at, &row);
            self.rows.put(row, &held)?;
        }
        self.replace(head, Entry::default(), &record)?;
        self.reach = Reach::Disk;
        Ok(Put::Stored(Box::new(record)))
    }

    pub(crate) fn apply(
        &mut self,
        key: &Key,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let row = layout::head(key);
        let Some(record) = self.record(&row)? else {
            return Ok(Applied::Missing);
        };
        let next = match apply(&record, transition, now) {
            Ok(next) => next,
            Err(refusal) => return Ok(Applied::Refused(refusal, Box::new(record.into_owned()))),
        };
        let before = Entry::of(&record);
        if transition.must_sync() {
            self.reach = Reach::Disk;
        }
        if let Transition::Finish {
            result: Some(result),
            ..
        } = &transition
        {
            self.rows.put_json(layout::body(key, Body::Result), result);
        }
        if next.state.is_terminal() {
            self.rows.remove_later(next.expires_at, &row);
        }
        self.replace(row, before, &next)?;
        Ok(Applied::Done(Box::new(next)))
    }

    /// Removes ended records past their time, oldest first, and idempotency rows past theirs.
    pub(crate) fn purge(&mut self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut purged = 0;
        let stored = self.rows.stored;
        let looked_at = limit.saturating_mul(PURGE_ROWS_PER_RECORD);
        for guard in stored.prefix(layout::expiries()).take(looked_at) {
            let row = guard.key().map_err(read_error)?;
            let Some((at, target)) = layout::parse_expiry(&row) else {
                continue;
            };
            if at > now || purged == limit {
                break;
            }
            purged += self.expire(&row, target, now)?;
        }
        Ok(purged)
    }

    /// Follows one expiry row; the number of records removed, 0 or 1.
    fn expire(&mut self, row: &[u8], target: &[u8], now: Timestamp) -> Result<usize, StoreError> {
        if target.first() == Some(&layout::IDEMPOTENCY) {
            // The key may have been taken anew since.
            if self
                .rows
                .get::<Held>(target)?
                .is_some_and(|held| held.expires_at <= now)
            {
                self.rows.remove(target.to_vec());
            }
            self.rows.remove(row.to_vec());
            return Ok(0);
        }
        let record = match self.record(target) {
            // A record that cannot be read stays where it is, for someone to look at.
            Err(StoreError::Corrupt(_)) => return Ok(0),
            record => record?.map(Cow::into_owned),
        };
        self.rows.remove(row.to_vec());
        let Some(record) = record else { return Ok(0) };
        if !record.state.is_terminal() || record.expires_at > now {
            return Ok(0);
        }
        self.rows.remove(target.to_vec());
        self.records.remove(target);
        let accepted = Activity::of(&record).accepted;
        self.rows.remove(layout::activity(&accepted));
        self.rows.remove(layout::body(&record.key, Body::Input));
        self.rows.remove(layout::body(&record.key, Body::Result));
        Ok(1)
    }

    fn waiting(&self, owner: &Owner) -> usize {
        let committed = self
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting(owner);
        committed.saturating_add_signed(self.waiting.get(owner).copied().unwrap_or(0))
    }

    /// The record as this group or an earlier one left it.
    fn record(&self, row: &[u8]) -> Result<Option<Cow<'_, Record>>, StoreError> {
        if self.rows.written.contains_key(row) {
            return Ok(self.records.get(row).map(Cow::Borrowed));
        }
        match self.recent.get(row) {
            Some(record) => Ok(Some(Cow::Borrowed(record))),
            None => Ok(read(self.rows.stored, row)?.map(Cow::Owned)),
        }
    }

    fn replace(&mut self, row: Vec<u8>, before: Entry, next: &Record) -> Result<(), StoreError> {
        self.rows.put(row.clone(), next)?;
        self.records.insert(row, next.clone());
        let change = Change {
            key: next.key.clone(),
            before,
            after: Entry::of(next),
        };
        let step = isize::from(change.after.waits()) - isize::from(change.before.waits());
        *self.waiting.entry(next.key.owner.clone()).or_default() += step;
        self.changes.push(change);
        Ok(())
    }

    pub(crate) fn into_written(self) -> Written {
        Written {
            rows: self.rows.written,
            records: self.records,
            changes: self.changes,
            reach: self.reach,
        }
    }
}

impl Rows<'_> {
    fn remove_later(&mut self, at: Timestamp, target: &[u8]) {
        self.written
            .insert(layout::expiry(at, target), Some(Vec::new()));
    }
}
