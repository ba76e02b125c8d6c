//! What can be read of a damaged store: its rows come in, a new store of them goes out, the old one stays aside.

use std::fs;
use std::path::Path;

use fjall::{Database, Guard, Keyspace, PersistMode};

use crate::files::{Format, Layout, sync_dir};
use crate::journal;
use crate::layout;
use crate::open::{OpenError, Options, commit_number, open_database};
use crate::report::{Gap, Report};
use crate::witness::Witness;

/// Rows that are copied with one write.
const COPIED_AT_ONCE: usize = 256;

/// Copies the readable rows of the store in `dir` to a new one and puts the old one aside.
pub(crate) fn salvage(dir: &Path) -> Result<Report, OpenError> {
    let files = Layout::new(dir);
    let _lock = files.lock()?;
    files.check()?;
    let mut report = Report::default();
    let mended = journal::mend(&files.database(), &files.damaged(), &mut report);
    let mended = mended.map_err(|error| files.error(error))?;
    let witness = Witness::open(&files.witness()).map_err(|error| files.error(error))?;
    let (database, rows) = open_database(&files, &Options::default())?;
    let witnessed = witness.read().unwrap_or(0);
    // The row may lie in the part that cannot be read; nothing is known then of commits at the end.
    let last = met_commit(&rows).unwrap_or(witnessed);
    let settled = mended.settle(witnessed.saturating_sub(last), &mut report);
    settled.map_err(|error| files.error(error))?;
    let unfinished = files.unfinished();
    // Activity rows are made anew by the next opening: some may lie where nothing can be read.
    let copied = files.build(&unfinished, Format::One, |new, new_rows| {
        report
            .gaps
            .extend(copy(&rows, new, new_rows, &mut report.records)?);
        new_rows.insert(layout::COMMIT, last.to_be_bytes())?;
        new.persist(PersistMode::SyncAll)
    });
    copied.map_err(|error| files.not_built(error))?;
    drop((rows, database));
    if report.records == 0 && !report.gaps.is_empty() {
        return Err(files.damage("no record can be read"));
    }
    let free = |n: u32| files.damaged().join(format!("store-{n}"));
    let aside = (1..)
        .map(free)
        .find(|path| !path.exists())
        .unwrap_or_else(|| free(0));
    let moved = fs::create_dir_all(files.damaged())
        .and_then(|()| fs::rename(files.store(), aside))
        .and_then(|()| fs::rename(&unfinished, files.store()))
        .and_then(|()| sync_dir(&files.damaged()))
        .and_then(|()| sync_dir(dir));
    moved.map_err(|error| files.error(error))?;
    Ok(report)
}

/// The last commit as the copying meets it, which asks no table's filter: a bent one must not hide
/// that later commits are missing.
fn met_commit(rows: &Keyspace) -> fjall::Result<u64> {
    let met = rows.prefix(layout::COMMIT).next().map(Guard::value);
    Ok(commit_number(met.transpose()?.as_deref()))
}

/// Copies rows from the front until one cannot be read, then from the back until one cannot.
///
/// A failed read in the middle of a walk leaves the walk without one of its tables, so that an old
/// row could show where a newer one is lost: whatever comes after it is not trusted.
fn copy(
    from: &Keyspace,
    to: &Database,
    to_rows: &Keyspace,
    records: &mut u64,
) -> fjall::Result<Option<Gap>> {
    let mut copy = Copy {
        to,
        to_rows,
        records,
        pending: Vec::new(),
    };
    let (mut after, mut before) = (Vec::new(), Vec::new());
    let mut broken = false;
    for guard in from.iter() {
        let Some(row) = copy.take(guard)? else {
            broken = true;
            break;
        };
        after = row;
    }
    if broken {
        for guard in from.iter().rev() {
            let Some(row) = copy.take(guard)? else { break };
            before = row;
        }
    }
    copy.write()?;
    let text = |row: Vec<u8>| row.escape_ascii().to_string();
    Ok(broken.then(|| Gap {
        after: text(after),
        before: text(before),
    }))
}

struct Copy<'a> {
    to: &'a Database,
    to_rows: &'a Keyspace,
    records: &'a mut u64,
    pending: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Copy<'_> {
    /// Takes one row over and gives its key, or nothing where it cannot be read.
    fn take(&mut self, guard: Guard) -> fjall::Result<Option<Vec<u8>>> {
        let Ok((row, value)) = guard.into_inner() else {
            return Ok(None);
        };
        *self.records += u64::from(row.first() == Some(&layout::HEAD));
        if &*row != layout::COMMIT && row.first() != Some(&layout::ACTIVITY) {
            self.pending.push((row.to_vec(), value.to_vec()));
        }
        if self.pending.len() >= COPIED_AT_ONCE {
            self.write()?;
        }
        Ok(Some(row.to_vec()))
    }

    fn write(&mut self) -> fjall::Result<()> {
        let mut batch = self.to.batch();
        for (row, value) in self.pending.drain(..) {
            batch.insert(self.to_rows, row, value);
        }
        batch.commit()
    }
}
