//! Opening a store: a directory comes in; rows read, leases voided and a report go out.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use std::{io, thread};

use fjall::{Database, Keyspace};
use lift::clock::Timestamp;
use lift::task::record::{Record, State};
use lift::task::store::Activity;
use tokio::sync::mpsc;

use crate::backup::Control;
use crate::committer::{Committer, Op, Shared};
use crate::files::{Format, Layout, ROWS, keyspace_options};
use crate::group::Reach;
use crate::index::{Change, Entry, Index};
use crate::journal;
use crate::layout;
use crate::manifest;
use crate::recent::Recent;
use crate::report::Report;
use crate::witness::Witness;

/// How a store works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Writes that become durable with one `fdatasync` at most (512).
    pub group_max: usize,
    /// Writes that may wait for the writing thread; more wait for room (1,024).
    pub queue_max: usize,
    /// A write that is not answered by then is reported as unavailable (10 s); it may still happen.
    pub answer_within: Duration,
    /// Memory for blocks read from the disk, in bytes (32 MiB).
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group_max: 512,
            queue_max: 1024,
            answer_within: Duration::from_secs(10),
            cache_bytes: 32 * 1024 * 1024,
        }
    }
}

/// A store could not be opened; nothing in it was changed, damaged journals apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This or another process has it open.
    #[error("`{}` is in use by this or another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot use `{}`", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another version, perhaps a newer one, wrote it.
    #[error("`{}` says `{found}`, and this build knows only `{known}`", path.display())]
    Format {
        /// The file that names the format.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this build knows.
        known: &'static str,
    },
    /// Its files are damaged in a way that needs a person: restore them from a copy, or keep what can
    /// be read with [`EmbeddedTasks::salvage`](crate::EmbeddedTasks::salvage).
    #[error("the store in `{}` is damaged", dir.display())]
    Damaged {
        /// Where it lies.
        dir: PathBuf,
        /// What was found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An open store, before anything is asked of it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: mpsc::Sender<Op>,
    pub(crate) thread: Writing,
    pub(crate) control: Option<Control>,
    pub(crate) report: Report,
}

/// The writing thread.
#[derive(Debug)]
pub(crate) struct Writing {
    thread: thread::JoinHandle<()>,
    /// Closed when the thread ends, in whatever way.
    ended: std::sync::mpsc::Receiver<Infallible>,
}

impl Writing {
    /// Waits for the thread to end; false where it did not in time, or panicked.
    pub(crate) fn end(self, within: Duration) -> bool {
        let in_time = self.ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected);
        in_time && self.thread.join().is_ok()
    }
}

pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened, OpenError> {
    let files = Layout::new(dir);
    let lock = files.lock()?;
    let created = files.create(|_, _| Ok(()))?;
    let Recovered {
        database,
        rows,
        witness,
        last,
        format,
        mut report,
    } = recover(&files, options)?;
    report.created = created;
    let (index, voided) = read_all(&rows, &mut report).map_err(|error| files.failed(error))?;
    let (index, failure) = (Mutex::new(index), OnceLock::new());
    let shared = Arc::new(Shared {
        rows,
        database,
        index,
        failure,
        gate: Mutex::new(()),
        _lock: lock,
    });
    let mut commit = last;
    if !voided.is_empty() {
        commit += 1;
        let written = shared.write(voided, commit, Reach::Disk);
        written.map_err(|error| files.failed(error))?;
    }
    // A commit that was lost may have been a request's first, and a later one have kept the record.
    let is_cut = report.commits_lost > 0 || !report.lost.is_empty();
    if format == Format::One || is_cut {
        let indexed = index_activity(&shared, &mut commit);
        indexed.map_err(|error| files.failed(error))?;
    }
    if format == Format::One {
        files.renew_format().map_err(|error| files.error(error))?;
    }
    let (queue, receiver) = mpsc::channel(options.queue_max.max(1));
    let group_max = options.group_max.max(1);
    let committer = Committer {
        shared: Arc::clone(&shared),
        witness,
        commit,
        recent: Recent::default(),
        group_max,
    };
    let (alive, ended) = std::sync::mpsc::channel();
    let thread = thread::Builder::new().name("lift-store".to_owned());
    let thread = thread.spawn(move || {
        committer.run(receiver);
        drop(alive);
    });
    let thread = Writing {
        thread: thread.map_err(|error| files.error(error))?,
        ended,
    };
    let control = Control::listen(&files, &shared);
    if report.is_clean() {
        tracing::info!(%report, "store opened");
    } else {
        tracing::error!(%report, "store opened, and it is not whole");
    }
    Ok(Opened {
        shared,
        queue,
        thread,
        control,
        report,
    })
}

/// The rows of a store as its journals have them, before any record is read.
pub(crate) struct Recovered {
    pub(crate) database: Database,
    pub(crate) rows: Keyspace,
    pub(crate) witness: Witness,
    /// The number of the last commit.
    pub(crate) last: u64,
    pub(crate) format: Format,
    pub(crate) report: Report,
}

/// Takes damage out of the journals and lets the database read them; the caller holds the lock.
pub(crate) fn recover(files: &Layout, options: &Options) -> Result<Recovered, OpenError> {
    let mut report = Report::default();
    let format = files.check()?;
    let witness = Witness::open(&files.witness()).map_err(|error| files.error(error))?;
    let witnessed = witness.read().unwrap_or(0);
    let mended = journal::mend(&files.database(), &files.damaged(), &mut report);
    let mended = mended.map_err(|error| files.error(error))?;
    let (database, rows) = open_database(files, options)?;
    let last = last_commit(&rows).map_err(|error| files.failed(error))?;
    let settled = mended.settle(witnessed.saturating_sub(last), &mut report);
    settled.map_err(|error| files.error(error))?;
    if witnessed > last {
        // What is missing has been said; the numbers are given out again.
        witness.restart(last).map_err(|error| files.error(error))?;
    }
    match whole(&rows) {
        Ok(true) => {}
        Ok(false) => return Err(files.damage("a table has other rows forwards than backwards")),
        Err(error) => return Err(files.failed(error)),
    }
    Ok(Recovered {
        database,
        rows,
        witness,
        last,
        format,
        report,
    })
}

pub(crate) fn open_database(
    files: &Layout,
    options: &Options,
) -> Result<(Database, Keyspace), OpenError> {
    match manifest::damaged_tables(&files.database()) {
        Ok(None) => {}
        Ok(Some(wrong)) => return Err(files.damage(wrong)),
        Err(error) => return Err(files.error(error)),
    }
    let builder = Database::builder(files.database()).cache_size(options.cache_bytes);
    // The database has assertions about its own files; a damaged one must not end the process.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = builder.open()?;
        if !database.keyspace_exists(ROWS) {
            return Err(fjall::Error::Unrecoverable);
        }
        let rows = database.keyspace(ROWS, keyspace_options)?;
        Ok((database, rows))
    }));
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(files.failed(error)),
        Err(_panic) => Err(files.damage("the database found its files inconsistent")),
    }
}

fn last_commit(rows: &Keyspace) -> fjall::Result<u64> {
    Ok(commit_number(rows.get(layout::COMMIT)?.as_deref()))
}

/// The number in the row of the last commit; none was made where there is no such row.
pub(crate) fn commit_number(row: Option<&[u8]>) -> u64 {
    row.and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

/// Whether what is read in order is the same both ways: a table whose index is damaged may end early
/// and say nothing, and a request that no scan meets would never run.
fn whole(rows: &Keyspace) -> fjall::Result<bool> {
    for kind in [layout::HEAD, layout::ACTIVITY] {
        let mut all = rows.prefix([kind]);
        let mut back = rows.prefix([kind]).rev();
        let forwards = all.try_fold(0_u64, |count, row| row.key().map(|_| count + 1))?;
        let backwards = back.try_fold(0_u64, |count, row| row.key().map(|_| count + 1))?;
        if forwards != backwards {
            return Ok(false);
        }
    }
    Ok(true)
}

type VoidedRows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Reads every record for the index, and voids the leases of those that were running: their worker
/// died with the process that held this store.
fn read_all(rows: &Keyspace, report: &mut Report) -> fjall::Result<(Index, VoidedRows)> {
    let mut index = Index::default();
    let mut running = Vec::new();
    for guard in rows.prefix([layout::HEAD]) {
        let (row, value) = guard.into_inner()?;
        let record = match serde_json::from_slice::<Record>(&value) {
            Ok(record) if layout::parse_head(&row).as_ref() == Some(&record.key) => record,
            Ok(_) => {
                report.cannot_read(&row, "it holds another request".to_owned());
                continue;
            }
            Err(error) => {
                report.cannot_read(&row, error.to_string());
                continue;
            }
        };
        report.records += 1;
        if record.state == State::Running && record.due_at != Some(VOIDED) {
            running.push(record);
        } else {
            add(&mut index, &record);
        }
    }
    report.voided = u64::try_from(running.len()).unwrap_or(u64::MAX);
    let alone = running.len() == 1;
    let mut written = Vec::new();
    for mut record in running {
        record.due_at = Some(VOIDED);
        record.died_alone = alone;
        add(&mut index, &record);
        if let Ok(value) = serde_json::to_vec(&record) {
            written.push((layout::head(&record.key), Some(value)));
        }
    }
    Ok((index, written))
}

/// Activity rows that are written with one commit.
const INDEXED_AT_ONCE: usize = 1_000;

/// Writes the activity row of every record; one that is there is written again, the same.
fn index_activity(shared: &Shared, commit: &mut u64) -> fjall::Result<()> {
    let mut pending = Vec::new();
    let mut records = shared.rows.prefix([layout::HEAD]);
    loop {
        let guard = records.next();
        let ended = guard.is_none();
        if let Some(guard) = guard
            && let Ok(record) = serde_json::from_slice::<Record>(&guard.into_inner()?.1)
        {
            let row = layout::activity(&Activity::of(&record).accepted);
            pending.push((row, Some(Vec::new())));
        }
        if pending.len() == INDEXED_AT_ONCE || (ended && !pending.is_empty()) {
            *commit += 1;
            shared.write(std::mem::take(&mut pending), *commit, Reach::Disk)?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// The due time of a request whose lease was voided: before all others.
const VOIDED: Timestamp = Timestamp::from_millis(0);

fn add(index: &mut Index, record: &Record) {
    let (key, after) = (record.key.clone(), Entry::of(record));
    index.apply(Change {
        key,
        before: Entry::default(),
        after,
    });
}
