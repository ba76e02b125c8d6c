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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use lift_embedded::{damaged_tables, refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Applied, Batch, Collection, Position, Target, Write};
use super::engine::Options;
use super::store::{BatchMax, Collections, Page, Pages, Record, Store};
use crate::objects::WorkId;
use crate::tasks::claim::blocking;
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

/// The records of one machine.
#[derive(Clone)]
struct Embedded(Arc<Shared>);

struct Shared {
    rows: Keyspace,
    database: Database,
    /// Held from the reading of what a batch depends on until the batch is written.
    writing: Mutex<()>,
    /// How many batches were written.
    written: AtomicU64,
    /// How many of them are on the disk. Held while the disk is waited for: what was written before
    /// needs no `fdatasync` of its own.
    synced: Mutex<u64>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

/// All records as they were at one moment, of which one collection is read.
struct Snapshot {
    snapshot: fjall::Snapshot,
    rows: Keyspace,
    target: Target,
    records: u64,
    after: String,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Whether that is there without which the database would quietly begin empty, or count from zero
/// beside what is in its tables.
fn has_files(database: &Path) -> io::Result<bool> {
    if !database.join("version").try_exists()? {
        return Ok(false);
    }
    for entry in std::fs::read_dir(database)? {
        if entry?.path().extension().is_some_and(|end| end == "jnl") {
            return Ok(true);
        }
    }
    Ok(false)
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
        if !is_new && !has_files(&files).map_err(failed)? {
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
            Ok(Err(fjall::Error::Io(error))) if is_new => return Err(failed(error)),
            Ok(Err(error)) => {
                let damage = |error: fjall::Error| damaged(error.into());
                return Err(refusal(error).map_or_else(damage, failed));
            }
            Err(_panic) => return Err(damaged("their files contradict each other".into())),
        };
        if is_new {
            let sync = |path: &Path| std::fs::File::open(path)?.sync_all();
            let written = std::fs::write(&format, FORMAT).and_then(|()| sync(&format));
            written.and_then(|()| sync(&place)).map_err(failed)?;
        }
        let shared = Shared {
            rows,
            database,
            writing: Mutex::new(()),
            written: AtomicU64::new(0),
            synced: Mutex::new(0),
        };
        Ok(Self {
            store: Arc::new(Embedded(Arc::new(shared))),
        })
    }
}

#[async_trait]
impl Store for Embedded {
    fn batch_max(&self) -> BatchMax {
        BatchMax {
            items: usize::MAX,
            bytes: usize::MAX,
        }
    }

    async fn position(&self, id: &WorkId) -> Result<Option<Position>, Failure> {
        let (shared, id) = (Arc::clone(&self.0), id.clone());
        blocking(move || shared.position(&id)).await
    }

    async fn take(&self, id: &WorkId, begin: Position) -> Result<Option<Position>, Failure> {
        let (shared, id) = (Arc::clone(&self.0), id.clone());
        blocking(move || shared.take(&id, begin)).await
    }

    async fn apply(
        &self,
        target: &Target,
        id: &WorkId,
        from: &Position,
        batch: Batch,
        options: &Options,
    ) -> Result<Applied, Failure> {
        let (shared, target, id) = (Arc::clone(&self.0), target.clone(), id.clone());
        let (from, options) = (from.clone(), options.clone());
        blocking(move || shared.apply(&target, &id, &from, &batch, &options)).await
    }

    async fn outcomes(&self, id: &WorkId, n: u32) -> Result<Vec<u8>, Failure> {
        let (shared, id) = (Arc::clone(&self.0), id.clone());
        blocking(move || shared.outcomes(&id, n)).await
    }

    async fn forget(&self, id: &WorkId) -> Result<(), Failure> {
        let (shared, id) = (Arc::clone(&self.0), id.clone());
        blocking(move || shared.forget(&id)).await
    }

    async fn view(&self, target: Target) -> Result<Box<dyn Pages>, Failure> {
        let shared = Arc::clone(&self.0);
        blocking(move || {
            let held = shared.hold();
            let snapshot = shared.database.snapshot();
            let written = shared.written.load(Ordering::Acquire);
            drop(held);
            // Nobody is shown what a loss of power could take back.
            shared.sync(written)?;
            let row = snapshot.get(&shared.rows, collection_row(&target));
            let row = row.map_err(Failure::storage)?;
            let collection: Option<Collection> = parsed(row.as_deref())?;
            let pages = Snapshot {
                snapshot,
                rows: shared.rows.clone(),
                target,
                records: collection.unwrap_or_default().records,
                after: String::new(),
            };
            Ok(Box::new(pages) as Box<dyn Pages>)
        })
        .await
    }
}

#[async_trait]
impl Pages for Snapshot {
    fn records(&self) -> u64 {
        self.records
    }

    async fn next(&mut self, most: usize) -> Result<Page, Failure> {
        let (snapshot, rows) = (self.snapshot.clone(), self.rows.clone());
        let (target, after) = (self.target.clone(), self.after.clone());
        let records = blocking(move || read(&snapshot, &rows, &target, &after, most)).await?;
        let Some(last) = records.last() else {
            return Ok(Page::End);
        };
        self.after.clone_from(&last.key);
        Ok(Page::Records(records))
    }
}

/// Records of a collection in the order of their keys, after `after`, at most `most`.
fn read(
    snapshot: &fjall::Snapshot,
    rows: &Keyspace,
    target: &Target,
    after: &str,
    most: usize,
) -> Result<Vec<Record>, Failure> {
    let prefix = record_row(target, "");
    let mut low = record_row(target, after);
    low.push(0);
    let mut records = Vec::new();
    // A key is visible ASCII, so that no row of the collection lies above this one.
    let high = [prefix.as_slice(), &[u8::MAX]].concat();
    for guard in snapshot.range(rows, low..high).take(most) {
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

impl Shared {
    fn position(&self, id: &WorkId) -> Result<Option<Position>, Failure> {
        self.get(&position_row(id))
    }

    fn take(&self, id: &WorkId, begin: Position) -> Result<Option<Position>, Failure> {
        let held = self.hold();
        let claim = begin.claim;
        let known = self.position(id)?;
        // A beginning need not be on the disk before the first changes are: without it there are none.
        let goes_on = known.is_some();
        let mut taken = known.unwrap_or(begin);
        if taken.claim > claim {
            return Ok(None);
        }
        taken.claim = claim;
        let mut rows = self.batch();
        rows.insert(&self.rows, position_row(id), json(&taken)?);
        let written = self.write(rows, &held)?;
        drop(held);
        if goes_on {
            self.sync(written)?;
        }
        Ok(Some(taken))
    }

    fn apply(
        &self,
        target: &Target,
        id: &WorkId,
        from: &Position,
        batch: &Batch,
        options: &Options,
    ) -> Result<Applied, Failure> {
        let held = self.hold();
        if self.position(id)?.as_ref() != Some(from) {
            return Ok(Applied::Fenced);
        }
        let row = collection_row(target);
        let collection: Collection = self.get(&row)?.unwrap_or_default();
        if collection.version == 0 {
            let others = self.rows.prefix(format!("c{}#", target.tenant.as_str()));
            let others = others.take(options.collections_max).count() as u64;
            collection.check_room(others, options)?;
        }
        let mut found = HashMap::new();
        for key in batch.keys() {
            let value = self.rows.get(record_row(target, key));
            if let Some(value) = value.map_err(Failure::storage)? {
                let (version, _) = value.split_first_chunk::<8>().ok_or_else(cut_short)?;
                found.insert(key, u64::from_be_bytes(*version));
            }
        }
        let effects = batch.effects(from, collection, &found, options);
        let mut rows = self.batch();
        if !effects.written.is_empty() {
            rows.insert(&self.rows, row, json(&effects.collection)?);
        }
        for (key, write) in effects.written {
            let row = record_row(target, key);
            match write {
                Write::Put { version, text } => {
                    let value = [&version.to_be_bytes(), text.as_bytes()].concat();
                    rows.insert(&self.rows, row, value);
                }
                Write::Remove => rows.remove(&self.rows, row),
            }
        }
        rows.insert(&self.rows, outcome_row(id, from.chunks), effects.outcomes);
        rows.insert(&self.rows, position_row(id), json(&effects.position)?);
        let written = self.write(rows, &held)?;
        drop(held);
        self.sync(written)?;
        Ok(Applied::Done(effects.position))
    }

    fn outcomes(&self, id: &WorkId, n: u32) -> Result<Vec<u8>, Failure> {
        let row = self
            .rows
            .get(outcome_row(id, n))
            .map_err(Failure::storage)?;
        row.map(|row| row.to_vec()).ok_or_else(cut_short)
    }

    /// Not synced: what a loss of power brings back is never read again.
    fn forget(&self, id: &WorkId) -> Result<(), Failure> {
        let held = self.hold();
        let mut prefix = outcome_row(id, 0);
        prefix.truncate(prefix.len() - 4);
        let mut kept = self.rows.prefix(prefix);
        let mut more = self.position(id)?.is_some();
        while more {
            let mut rows = self.batch();
            // The place goes with the first rows: an outcome without it is never read.
            rows.remove(&self.rows, position_row(id));
            more = false;
            for guard in kept.by_ref().take(FORGOTTEN_AT_ONCE) {
                rows.remove(&self.rows, guard.key().map_err(Failure::storage)?);
                more = true;
            }
            self.write(rows, &held)?;
        }
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, row: &[u8]) -> Result<Option<T>, Failure> {
        parsed(self.rows.get(row).map_err(Failure::storage)?.as_deref())
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch that the operating system has once it is committed: it survives the process.
    fn batch(&self) -> fjall::OwnedWriteBatch {
        let batch = self.database.batch();
        batch.durability(Some(PersistMode::Buffer))
    }

    /// Gives a batch's number, in the order of the journal.
    fn write(
        &self,
        batch: fjall::OwnedWriteBatch,
        _held: &MutexGuard<'_, ()>,
    ) -> Result<u64, Failure> {
        batch.commit().map_err(Failure::storage)?;
        Ok(self.written.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Returns once the batch of this number, and all before it, are on the disk.
    fn sync(&self, number: u64) -> Result<(), Failure> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced < number {
            let written = self.written.load(Ordering::Acquire);
            let kept = self.database.persist(PersistMode::SyncData);
            kept.map_err(Failure::storage)?;
            *synced = written;
        }
        Ok(())
    }
}

fn parsed<T: DeserializeOwned>(row: Option<&[u8]>) -> Result<Option<T>, Failure> {
    let parsed = row.map(serde_json::from_slice).transpose();
    parsed.map_err(Failure::storage)
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
