//! The files around the database: a directory comes in, locked and with a known format.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError};

use crate::open::OpenError;

/// Which layout the file `FORMAT` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Without activity rows: opening the store makes them.
    One,
    /// This build's.
    Two,
}

impl Format {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::One => "lift-embedded 1\n",
            Self::Two => "lift-embedded 2\n",
        }
    }
}

/// The one keyspace of the database.
pub(crate) const ROWS: &str = "tasks";

/// Rows in memory before they become a table, in bytes; up to five times as much while tables are written.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// How the keyspace is made; the database keeps it.
pub(crate) fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

/// Where everything lies below the directory that was opened.
#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
}

/// Holds the directory; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Where a store is made before it is moved into place whole.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.dir.join("store.new")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.store().join("db")
    }

    pub(crate) fn witness(&self) -> PathBuf {
        self.store().join("witness")
    }

    /// The socket at which the process that has the store open is asked for a backup.
    pub(crate) fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// Where a copy lies that an inspection reads.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dir.join("inspect")
    }

    pub(crate) fn damaged(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    pub(crate) fn error(&self, source: io::Error) -> OpenError {
        OpenError::Directory {
            dir: self.dir.clone(),
            source,
        }
    }

    pub(crate) fn damage(
        &self,
        what: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OpenError {
        OpenError::Damaged {
            dir: self.store(),
            source: what.into(),
        }
    }

    /// What the database gives up for: damage, unless the machine refused it something.
    pub(crate) fn failed(&self, error: fjall::Error) -> OpenError {
        match refusal(error) {
            Ok(refusal) => self.error(refusal),
            Err(fjall::Error::Locked) => self.in_use(),
            Err(error) => self.damage(error),
        }
    }

    /// Why [`Self::build`] came to no end. What it writes is new: an error of a file is none of what lies there, and
    /// what it reads of another store fails as that database does.
    pub(crate) fn not_built(&self, error: fjall::Error) -> OpenError {
        match error {
            fjall::Error::Io(error) => self.error(error),
            error => self.failed(error),
        }
    }

    pub(crate) fn in_use(&self) -> OpenError {
        OpenError::InUse {
            dir: self.dir.clone(),
        }
    }

    /// Makes the directory if need be and takes it for this process.
    pub(crate) fn lock(&self) -> Result<Lock, OpenError> {
        fs::create_dir_all(&self.dir).map_err(|error| self.error(error))?;
        let path = self.dir.join("LOCK");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = file.map_err(|error| self.error(error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(self.in_use()),
            Err(TryLockError::Error(error)) => Err(self.error(error)),
        }
    }

    /// Makes a store where there is none, with the rows that `fill` puts there; a crash half-way
    /// leaves none. True if it did.
    pub(crate) fn create(
        &self,
        fill: impl FnOnce(&Database, &Keyspace) -> fjall::Result<()>,
    ) -> Result<bool, OpenError> {
        let (store, unfinished) = (self.store(), self.unfinished());
        if store.try_exists().map_err(|error| self.error(error))? {
            return Ok(false);
        }
        let built = self.build(&unfinished, Format::Two, fill);
        built.map_err(|error| self.not_built(error))?;
        let moved = fs::rename(&unfinished, &store).and_then(|()| sync_dir(&self.dir));
        moved.map_err(|error| self.error(error))?;
        Ok(true)
    }

    /// Makes a whole store at `at`, with the rows that `fill` puts there in a layout of this format.
    pub(crate) fn build(
        &self,
        at: &Path,
        format: Format,
        fill: impl FnOnce(&Database, &Keyspace) -> fjall::Result<()>,
    ) -> fjall::Result<()> {
        if at.try_exists()? {
            fs::remove_dir_all(at)?;
        }
        fs::create_dir_all(at)?;
        let database = Database::builder(at.join("db")).open()?;
        let rows = database.keyspace(ROWS, keyspace_options)?;
        fill(&database, &rows)?;
        drop((rows, database));
        fs::write(at.join("FORMAT"), format.text())?;
        File::open(at.join("FORMAT"))?.sync_all()?;
        sync_dir(at)?;
        Ok(())
    }

    /// Says that the store is of this build's format from now on.
    pub(crate) fn renew_format(&self) -> io::Result<()> {
        let renewed = self.store().join("FORMAT.new");
        fs::write(&renewed, Format::Two.text())?;
        File::open(&renewed)?.sync_all()?;
        fs::rename(renewed, self.store().join("FORMAT"))?;
        sync_dir(&self.store())
    }

    /// Refuses a store that this build does not know, or that lacks files without which the
    /// database would quietly start empty.
    pub(crate) fn check(&self) -> Result<Format, OpenError> {
        let path = self.store().join("FORMAT");
        let found = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.damage("the file `FORMAT` is missing"),
            _ => self.error(error),
        })?;
        let known = [Format::One, Format::Two];
        let Some(format) = known
            .iter()
            .find(|format| found == format.text().as_bytes())
        else {
            let found = String::from_utf8_lossy(&found)
                .trim()
                .escape_default()
                .to_string();
            return Err(OpenError::Format {
                path,
                found,
                known: Format::Two.text().trim(),
            });
        };
        for file in ["version", "keyspaces/0/current", "keyspaces/1/current"] {
            if !self
                .database()
                .join(file)
                .try_exists()
                .map_err(|error| self.error(error))?
            {
                return Err(self.damage(format!("the file `db/{file}` is missing")));
            }
        }
        Ok(*format)
    }
}

/// What the machine refused of a database: a disk that is full or fails, rights or a limit.
///
/// # Errors
/// Every other error, which is of what lies in the files.
pub fn refusal(error: fjall::Error) -> Result<io::Error, fjall::Error> {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    let of_files = [InvalidData, InvalidInput, NotFound, Other, UnexpectedEof];
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error))
            if !of_files.contains(&error.kind()) =>
        {
            Ok(error)
        }
        // A write failed before, and what it was of is not said; the log has it.
        fjall::Error::Poisoned => Ok(io::Error::other("a write failed, and no other is taken")),
        error => Err(error),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
