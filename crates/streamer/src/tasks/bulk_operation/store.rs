//! Changes of a request come in; records, outcomes and the request's place go out to the disk in one atomic batch.
//!
//! `DIR/collections/` is a fjall database with one keyspace, `records`, and the file `FORMAT`. A tenant's id holds no `#`, nor
//! does a collection's name. Numbers are big-endian.
//!
//! | key | value |
//! |---|---|
//! | `r` tenant `#` collection `#` key | version (u64) and the record's JSON text |
//! | `c` tenant `#` collection | JSON `{"records","version"}`: how many there are, and the last version given out |
//! | `p` request id | JSON of [`Position`]: how far the request is |
//! | `o` request id `#` n (u32) | outcomes, one line each |

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use lift_embedded::damaged_tables;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::engine::Options;
use super::lines::Place;
use super::request::{Item, Op};
use super::rule::{Change, Counts, Done, Met, decide, line};
use crate::objects::{Tenant, WorkId};
use crate::tasks::failure::Failure;

const FORMAT: &str = "streamer-collections 1\n";
const CACHE_BYTES: u64 = 8 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Rows that one batch removes.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// The collections could not be opened; nothing in them was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This or another process has them open.
    #[error("`{}` is in use by this or another process", .0.display())]
    InUse(PathBuf),
    /// The directory cannot be made, read or written.
    #[error("cannot use `{}`", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Another version wrote them, or their files are damaged: restore them from a copy.
    #[error("the collections in `{}` cannot be read", .0.display())]
    Damaged(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The records of every tenant. Cheap to clone.
#[derive(Clone)]
pub struct Collections(Arc<Shared>);

struct Shared {
    rows: Keyspace,
    database: Database,
    /// Held from the reading of what a batch depends on until the batch is on the disk.
    writing: Mutex<()>,
}

impl std::fmt::Debug for Collections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collections").finish_non_exhaustive()
    }
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Which change of the collection wrote it; no version is given out twice.
    pub version: u64,
    /// The JSON text, as it was sent.
    pub text: String,
}

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
struct Collection {
    records: u64,
    version: u64,
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
    /// It is on the disk.
    Done(Position),
    /// A later claim has the request.
    Fenced,
}

/// All records as they were at one moment.
pub struct View {
    snapshot: fjall::Snapshot,
    rows: Keyspace,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View {
    /// How many records a collection has. It may block.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub fn count(&self, tenant: &Tenant, collection: &str) -> Result<u64, Failure> {
        let row = collection_row(&Target::new(tenant, collection));
        let row = self
            .snapshot
            .get(&self.rows, row)
            .map_err(Failure::storage)?;
        let parsed = row
            .map(|row| serde_json::from_slice::<Collection>(&row))
            .transpose();
        Ok(parsed
            .map_err(Failure::storage)?
            .unwrap_or_default()
            .records)
    }

    /// Records of a collection in the order of their keys, after `after` if given, at most `limit`. It may block.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub fn read(
        &self,
        tenant: &Tenant,
        collection: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, Failure> {
        let target = Target::new(tenant, collection);
        let prefix = record_row(&target, "");
        let mut low = record_row(&target, after.unwrap_or_default());
        low.push(0);
        let mut records = Vec::new();
        // A key is visible ASCII, so that no row of the collection lies above this one.
        let high = [prefix.as_slice(), &[u8::MAX]].concat();
        for guard in self.snapshot.range(&self.rows, low..high).take(limit) {
            let (row, value) = guard.into_inner().map_err(Failure::storage)?;
            let key = row.get(prefix.len()..).unwrap_or_default();
            let (version, text) = value.split_first_chunk::<8>().ok_or_else(cut_short)?;
            records.push(Record {
                key: String::from_utf8_lossy(key).into_owned(),
                version: u64::from_be_bytes(*version),
                text: String::from_utf8_lossy(text).into_owned(),
            });
        }
        Ok(records)
    }
}

impl Target {
    fn new(tenant: &Tenant, collection: &str) -> Self {
        Self {
            tenant: tenant.clone(),
            collection: collection.to_owned(),
        }
    }
}

impl Collections {
    /// Opens `dir/collections`, or makes it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let place = dir.join("collections");
        let failed = |error| OpenError::Directory(place.clone(), error);
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
            OpenError::Damaged(place.clone(), error)
        };
        std::fs::create_dir_all(&place).map_err(failed)?;
        let (format, files) = (place.join("FORMAT"), place.join("db"));
        let is_new = match std::fs::read(&format) {
            Ok(found) if found == FORMAT.as_bytes() => false,
            Ok(found) => {
                let found = String::from_utf8_lossy(&found);
                let found = found.trim().escape_default();
                return Err(damaged(format!("their format is `{found}`").into()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(failed(error)),
        };
        // The database would quietly begin empty.
        if !is_new && !files.join("version").exists() {
            return Err(damaged("their files are missing".into()));
        }
        if !is_new && let Some(wrong) = damaged_tables(&files).map_err(failed)? {
            return Err(damaged(wrong.into()));
        }
        let builder = Database::builder(files).cache_size(CACHE_BYTES);
        // The database has assertions about its own files; damaged ones must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = builder.open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            let rows = database.keyspace("records", options)?;
            Ok((database, rows))
        }));
        let (database, rows) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(fjall::Error::Locked)) => return Err(OpenError::InUse(place)),
            Ok(Err(fjall::Error::Io(error))) => return Err(failed(error)),
            Ok(Err(error)) => return Err(damaged(error.into())),
            Err(_panic) => return Err(damaged("their files contradict each other".into())),
        };
        if is_new {
            let sync = |path: &Path| std::fs::File::open(path)?.sync_all();
            let written = std::fs::write(&format, FORMAT).and_then(|()| sync(&format));
            written.and_then(|()| sync(&place)).map_err(failed)?;
        }
        Ok(Self(Arc::new(Shared {
            rows,
            database,
            writing: Mutex::new(()),
        })))
    }

    /// The records as they are at this moment.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            snapshot: self.0.database.snapshot(),
            rows: self.0.rows.clone(),
        }
    }

    /// How far a request is, if it has begun.
    pub(super) fn position(&self, id: &WorkId) -> Result<Option<Position>, Failure> {
        self.get(&position_row(id))
    }

    /// Takes a request for a claim: it begins at `position`, or goes on where it is. None for a later claim's.
    pub(super) fn take(
        &self,
        id: &WorkId,
        position: Position,
    ) -> Result<Option<Position>, Failure> {
        let _held = self.hold();
        let claim = position.claim;
        let mut taken = self.position(id)?.unwrap_or(position);
        if taken.claim > claim {
            return Ok(None);
        }
        taken.claim = claim;
        let mut batch = self.batch();
        batch.insert(&self.0.rows, position_row(id), json(&taken)?);
        batch.commit().map_err(Failure::storage)?;
        Ok(Some(taken))
    }

    /// Applies the changes that follow the place `from` of a request.
    pub(super) fn apply(
        &self,
        target: &Target,
        id: &WorkId,
        from: &Position,
        Batch { changes, next }: &Batch,
        options: &Options,
    ) -> Result<Applied, Failure> {
        let _held = self.hold();
        if self.position(id)?.as_ref() != Some(from) {
            return Ok(Applied::Fenced);
        }
        let mut position = from.clone();
        let row = collection_row(target);
        let mut state: Collection = self.get(&row)?.unwrap_or_default();
        if state.version == 0 {
            self.check_room(&target.tenant, options)?;
        }
        let (mut written, mut outcomes) = (HashMap::new(), Vec::new());
        for change in changes {
            let met = Met {
                version: match &change.item {
                    Ok(item) => self.version(target, item, &written)?,
                    Err(_) => None,
                },
                is_full: state.records >= options.records_max,
                next: state.version + 1,
            };
            let item = change.item.as_ref();
            let done = item.map_or(Done::Invalid, |item| decide(item, met));
            if let Ok(item) = item
                && matches!(done, Done::Created | Done::Updated | Done::Deleted)
            {
                state.version = met.next;
                state.records += u64::from(done == Done::Created);
                state.records = state
                    .records
                    .saturating_sub(u64::from(done == Done::Deleted));
                written.insert(item.key.as_str(), (met.next, item));
            }
            position.counts.count(done);
            outcomes.extend(line(change, done, met));
        }
        let mut batch = self.batch();
        if !written.is_empty() {
            batch.insert(&self.0.rows, row, json(&state)?);
        }
        for (key, (version, item)) in written {
            let row = record_row(target, key);
            match (item.op, &item.record) {
                (Op::Create | Op::Update, Some(record)) => {
                    let value = [&version.to_be_bytes(), record.get().as_bytes()].concat();
                    batch.insert(&self.0.rows, row, value);
                }
                (Op::Create | Op::Update | Op::Delete, _) => batch.remove(&self.0.rows, row),
            }
        }
        batch.insert(&self.0.rows, outcome_row(id, position.chunks), outcomes);
        position.chunks += 1;
        position.next = *next;
        batch.insert(&self.0.rows, position_row(id), json(&position)?);
        batch.commit().map_err(Failure::storage)?;
        Ok(Applied::Done(position))
    }

    /// The nth row of a request's outcomes.
    pub(super) fn outcomes(&self, id: &WorkId, n: u32) -> Result<Vec<u8>, Failure> {
        let row = self
            .0
            .rows
            .get(outcome_row(id, n))
            .map_err(Failure::storage)?;
        row.map(|row| row.to_vec()).ok_or_else(cut_short)
    }

    /// Forgets how far a request is and its outcomes; what it changed stays. Does nothing twice.
    pub(super) fn forget(&self, id: &WorkId) -> Result<(), Failure> {
        let _held = self.hold();
        let mut prefix = outcome_row(id, 0);
        prefix.truncate(prefix.len() - 4);
        let mut rows = self.0.rows.prefix(prefix);
        let mut more = self.position(id)?.is_some();
        while more {
            let mut batch = self.batch();
            // The place goes with the first rows: an outcome without it is never read.
            batch.remove(&self.0.rows, position_row(id));
            more = false;
            for guard in rows.by_ref().take(FORGOTTEN_AT_ONCE) {
                batch.remove(&self.0.rows, guard.key().map_err(Failure::storage)?);
                more = true;
            }
            batch.commit().map_err(Failure::storage)?;
        }
        Ok(())
    }

    /// A tenant's first change of a collection needs room for one more.
    fn check_room(&self, tenant: &Tenant, options: &Options) -> Result<(), Failure> {
        let others = self.0.rows.prefix(format!("c{}#", tenant.as_str()));
        if others.take(options.collections_max).count() < options.collections_max {
            return Ok(());
        }
        Err(Failure::Limit {
            limit: "collections_max",
            max: options.collections_max as u64,
            pointer: Some("/payload/collection".to_owned()),
            line: None,
        })
    }

    /// The version of an item's record, as the changes of this batch before it have left it.
    fn version(
        &self,
        target: &Target,
        item: &Item,
        written: &HashMap<&str, (u64, &Item)>,
    ) -> Result<Option<u64>, Failure> {
        if let Some((version, by)) = written.get(item.key.as_str()) {
            return Ok((by.op != Op::Delete).then_some(*version));
        }
        let row = record_row(target, &item.key);
        let Some(value) = self.0.rows.get(row).map_err(Failure::storage)? else {
            return Ok(None);
        };
        let (version, _) = value.split_first_chunk::<8>().ok_or_else(cut_short)?;
        Ok(Some(u64::from_be_bytes(*version)))
    }

    fn get<T: DeserializeOwned>(&self, row: &[u8]) -> Result<Option<T>, Failure> {
        let value = self.0.rows.get(row).map_err(Failure::storage)?;
        let parsed = value
            .map(|value| serde_json::from_slice(&value))
            .transpose();
        parsed.map_err(Failure::storage)
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, ()> {
        self.0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch that is on the disk once it is committed.
    fn batch(&self) -> fjall::OwnedWriteBatch {
        self.0
            .database
            .batch()
            .durability(Some(PersistMode::SyncData))
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(Failure::storage)
}

fn cut_short() -> Failure {
    Failure::storage(io::Error::new(
        io::ErrorKind::InvalidData,
        "a row is cut short",
    ))
}

fn record_row(Target { tenant, collection }: &Target, key: &str) -> Vec<u8> {
    format!("r{}#{collection}#{key}", tenant.as_str()).into_bytes()
}

fn collection_row(Target { tenant, collection }: &Target) -> Vec<u8> {
    format!("c{}#{collection}", tenant.as_str()).into_bytes()
}

fn position_row(id: &WorkId) -> Vec<u8> {
    format!("p{}", id.as_str()).into_bytes()
}

fn outcome_row(id: &WorkId, n: u32) -> Vec<u8> {
    let mut row = format!("o{}#", id.as_str()).into_bytes();
    row.extend_from_slice(&n.to_be_bytes());
    row
}
