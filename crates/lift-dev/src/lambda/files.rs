//! In: what one process makes for its functions. Out: a directory that ends with it, or else at the start of the next.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::launch::{NODE, PYTHON};

/// How the directories' names begin.
const PREFIX: &str = "lift-dev-";

/// The directory, and that it is in use.
#[derive(Debug)]
pub(super) struct Files {
    directory: TempDir,
    /// The system lets go of it however this process ends, and not before the directory is removed.
    _lock: File,
}

impl Files {
    pub(super) fn new() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = File::open(directory.path())?;
        lock.lock()?;
        // Only now: a directory with these files and without the lock is a leftover.
        for (name, text) in [PYTHON, NODE] {
            fs::write(directory.path().join(name), text)?;
        }
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of processes that were killed; what cannot be removed stays.
pub(super) fn remove_leftovers() {
    let listed = fs::read_dir(std::env::temp_dir()).into_iter().flatten();
    for entry in listed.flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && is_named(&entry.file_name()) && is_left(&entry.path()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_named(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX))
}

fn is_left(directory: &Path) -> bool {
    let unlocked = || File::open(directory).is_ok_and(|file| file.try_lock().is_ok());
    directory.join(PYTHON.0).is_file() && unlocked()
}
