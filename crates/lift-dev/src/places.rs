//! In: directories and files. Out: a watch on each directory in them that holds sources, on those that come later too.
//!
//! The watches are one a directory and not recursive: what tools make (`node_modules`, `.venv`) has tens of
//! thousands of directories, and the system's watches are few.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Directories whose content is made, not written.
const MADE: &[&str] = &[
    ".lift",
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    ".venv",
];

/// Whether what is in a directory of this name is made.
pub(crate) fn is_made(name: &OsStr) -> bool {
    MADE.iter().any(|made| name == *made)
}

/// What is watched.
#[derive(Debug)]
pub(crate) struct Places {
    watcher: RecommendedWatcher,
    roots: BTreeSet<PathBuf>,
    supply: Supply,
}

/// The system's watches.
#[derive(Debug)]
enum Supply {
    Enough,
    /// There was none for this directory.
    UsedUp(PathBuf),
    /// As above, and it was said.
    Told,
}

impl Places {
    pub(crate) fn new(watcher: RecommendedWatcher) -> Self {
        Self {
            watcher,
            roots: BTreeSet::new(),
            supply: Supply::Enough,
        }
    }

    /// Watches a directory with all that is in it, or a file.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn add(&mut self, root: &Path) -> notify::Result<()> {
        // An editor puts another file in a file's place: its directory is watched.
        match root.parent() {
            Some(parent) if root.is_file() => self.one(parent)?,
            Some(_) | None => {
                self.one(root)?;
                self.walk(root, |_| ());
            }
        }
        self.roots.insert(root.to_owned());
        Ok(())
    }

    /// Watches a directory alone.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn one(&mut self, directory: &Path) -> notify::Result<()> {
        if !matches!(self.supply, Supply::Enough) {
            return Ok(());
        }
        let watched = self.watcher.watch(directory, RecursiveMode::NonRecursive);
        match watched {
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                self.supply = Supply::UsedUp(directory.to_owned());
                Ok(())
            }
            watched => watched,
        }
    }

    /// Watches what came, if it is a directory of sources; its files may have come before the watch.
    pub(crate) fn appeared(&mut self, path: &Path, file: impl FnMut(PathBuf)) {
        let below = |root: &PathBuf| path.strip_prefix(root).ok();
        let mut below = self.roots.iter().filter_map(below);
        let is_source = below.any(|path| !path.iter().any(is_made));
        if is_source && path.is_dir() {
            self.walk(path, file);
        }
    }

    /// Looks at everything anew, after changes were missed.
    pub(crate) fn again(&mut self, mut file: impl FnMut(PathBuf)) {
        for root in self.roots.clone() {
            self.walk(&root, &mut file);
        }
    }

    /// The directory from which on nothing more is watched; once.
    pub(crate) fn unwatched(&mut self) -> Option<PathBuf> {
        if !matches!(self.supply, Supply::UsedUp(_)) {
            return None;
        }
        match std::mem::replace(&mut self.supply, Supply::Told) {
            Supply::UsedUp(directory) => Some(directory),
            Supply::Enough | Supply::Told => None,
        }
    }

    fn walk(&mut self, top: &Path, mut file: impl FnMut(PathBuf)) {
        // A link may lead back to where it is.
        let mut visited = HashSet::new();
        let mut open = vec![top.to_owned()];
        while let Some(directory) = open.pop() {
            let Ok(about) = fs::metadata(&directory) else {
                continue;
            };
            if !visited.insert((about.dev(), about.ino())) {
                continue;
            }
            if !about.is_dir() {
                file(directory);
                continue;
            }
            if let Err(error) = self.one(&directory) {
                tracing::debug!(%error, "a directory is not watched");
            }
            // What was here before the watch is seen now, and what comes after it is told.
            let listed = fs::read_dir(&directory).into_iter().flatten().flatten();
            for entry in listed {
                match is_directory(&entry) {
                    true if is_made(&entry.file_name()) => {}
                    true => open.push(entry.path()),
                    false => file(entry.path()),
                }
            }
        }
    }
}

/// Whether it is a directory, or a link to one.
fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}
