//! Looking into a store that nobody has open, and packing it: a directory comes in, counts and sizes go out.

use std::fs;
use std::path::Path;

use lift::clock::Timestamp;
use lift::task::record::{Record, State};

use crate::backup::{Take, copy_tree, fill};
use crate::files::{Layout, sync_dir};
use crate::layout;
use crate::open::{OpenError, Options, Recovered, recover};
use crate::report::Report;
use crate::witness::Witness;

/// What is in a store; nothing of any payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// What the store's file `FORMAT` says.
    pub format: &'static str,
    /// The number of the last commit.
    pub commit: u64,
    /// Records by where they stand.
    pub counts: Counts,
    /// Requests that a worker should look at now.
    pub due: u64,
    /// Requests whose deadline has passed and that have not ended.
    pub overdue: u64,
    /// When the request was accepted that has waited longest.
    pub oldest_waiting: Option<Timestamp>,
    /// When the newest request was accepted.
    pub newest: Option<Timestamp>,
    /// Idempotency keys that are kept.
    pub idempotency_keys: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// What the next opening will find; paths of kept bytes mean nothing, as nothing was changed.
    pub report: Report,
}

/// Records by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the states' names")]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub retrying: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl Counts {
    fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Queued => &mut self.queued,
            State::Running => &mut self.running,
            State::Retrying => &mut self.retrying,
            State::Completed => &mut self.completed,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
        }
    }
}

/// What packing a store brought, in bytes on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
    /// What opening found.
    pub report: Report,
}

/// Says what is in the store of `dir`, as at `now`, without changing it.
///
/// Reads a copy, `DIR/inspect`, as an opening mends journals: its tables, which are never
/// written twice, are links, so that it takes the room of the journals alone. It is removed.
///
/// # Errors
/// As for an opening; [`OpenError::InUse`] while another process has the store open.
pub fn inspect(dir: &Path, now: Timestamp) -> Result<Inspection, OpenError> {
    let files = Layout::new(dir);
    files.check()?;
    let _lock = files.lock()?;
    let scratch = Scratch::new(&files).map_err(|error| files.error(error))?;
    let copy = Layout::new(&files.scratch());
    let found = look(&copy, now).and_then(|mut found| {
        found.bytes = bytes_below(&files.store()).map_err(|error| files.error(error))?;
        for lost in &mut found.report.lost {
            if let Ok(inside) = lost.journal.strip_prefix(files.scratch()) {
                lost.journal = dir.join(inside);
            }
        }
        Ok(found)
    });
    drop(scratch);
    found.map_err(|error| match error {
        OpenError::Damaged { source, .. } => files.damage(source),
        error => error,
    })
}

/// The copy that is read; removed with this value.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(files: &Layout) -> std::io::Result<Self> {
        let scratch = Self(files.scratch());
        scratch.remove()?;
        let to = Layout::new(&scratch.0).store();
        copy_tree(&files.store(), &to, &|path| {
            let folder = path.parent().and_then(Path::file_name);
            if folder.is_some_and(|folder| folder == "tables") {
                Take::Link
            } else {
                Take::Bytes
            }
        })?;
        Ok(scratch)
    }

    fn remove(&self) -> std::io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "the copy that was inspected was not removed");
        }
    }
}

fn look(files: &Layout, now: Timestamp) -> Result<Inspection, OpenError> {
    let Recovered {
        database,
        rows,
        last,
        format,
        report,
        ..
    } = recover(files, &Options::default())?;
    let mut found = Inspection {
        format: format.text().trim_ascii_end(),
        commit: last,
        counts: Counts::default(),
        due: 0,
        overdue: 0,
        oldest_waiting: None,
        newest: None,
        idempotency_keys: 0,
        bytes: 0,
        report,
    };
    for guard in rows.prefix([layout::HEAD]) {
        let (row, value) = guard.into_inner().map_err(|error| files.failed(error))?;
        match serde_json::from_slice::<Record>(&value) {
            Ok(record) if layout::parse_head(&row).as_ref() == Some(&record.key) => {
                found.add(&record, now);
            }
            Ok(_) => found
                .report
                .cannot_read(&row, "it holds another request".to_owned()),
            Err(error) => found.report.cannot_read(&row, error.to_string()),
        }
    }
    for guard in rows.prefix([layout::IDEMPOTENCY]) {
        guard.key().map_err(|error| files.failed(error))?;
        found.idempotency_keys += 1;
    }
    drop((rows, database));
    Ok(found)
}

impl Inspection {
    fn add(&mut self, record: &Record, now: Timestamp) {
        self.report.records += 1;
        *self.counts.of(record.state) += 1;
        self.newest = self.newest.max(Some(record.created_at));
        if record.state.is_terminal() {
            return;
        }
        self.due += u64::from(record.due_at.is_some_and(|at| at <= now));
        self.overdue += u64::from(record.deadline_at <= now);
        if record.state != State::Running {
            let oldest = self.oldest_waiting.unwrap_or(record.created_at);
            self.oldest_waiting = Some(oldest.min(record.created_at));
        }
    }
}

/// Writes the rows of the store in `dir` to a new one, without what they have replaced, and puts it
/// in the old one's place.
///
/// Both are on the disk for a while. Mends what an opening mends, and says so in the report; voids
/// no lease.
///
/// # Errors
/// As for an opening; [`OpenError::InUse`] while another process has the store open; where the file
/// system cannot exchange two directories (`renameat2(2)`). The store is then as it was.
pub fn compact(dir: &Path) -> Result<Compacted, OpenError> {
    let files = Layout::new(dir);
    files.check()?;
    let _lock = files.lock()?;
    let size = || bytes_below(&files.store()).map_err(|error| files.error(error));
    let before = size()?;
    let Recovered {
        database,
        rows,
        last,
        format,
        report,
        ..
    } = recover(&files, &Options::default())?;
    let unfinished = files.unfinished();
    let built = files.build(&unfinished, format, |new, new_rows| {
        fill(new, new_rows, rows.iter(), &mut || Ok(()))
    });
    built.map_err(|error| files.not_built(error))?;
    drop((rows, database));
    let exchanged = Witness::open(&unfinished.join("witness"))
        .and_then(|witness| witness.restart(last))
        .and_then(|()| exchange(&unfinished, &files.store()))
        .and_then(|()| sync_dir(dir));
    // The old one now, or the new one where they were not exchanged.
    let removed = fs::remove_dir_all(&unfinished);
    exchanged.and(removed).map_err(|error| files.error(error))?;
    Ok(Compacted {
        before,
        after: size()?,
        report,
    })
}

/// Exchanges two directories at once, so that no crash leaves neither in its place.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
    syncfs(fs::File::open(one)?)?;
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Bytes that files below `dir` take on the disk; the zeros that a journal is made with take none.
fn bytes_below(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    /// The unit of `st_blocks`, whatever the file system's own blocks are (stat(2)).
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() {
            bytes_below(&entry.path())?
        } else {
            meta.blocks() * BLOCK_BYTES
        };
    }
    Ok(bytes)
}
