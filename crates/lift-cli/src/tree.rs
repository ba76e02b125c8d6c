//! A data directory comes in; all of it but its store goes out to another place, as it is at one moment.
//!
//! Objects, results, keys and what running tasks keep are written under another name and moved into
//! place whole, so that a link to one keeps what it holds. Names with `#` are such writes under way,
//! and are left out. Anything else may be a database, such as the collections: its tables are
//! linked, and what it writes in place, journals above all, is copied at once.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File, Metadata, TryLockError},
    io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The folder of what running tasks keep, which is looked at first and once more at the end.
const WORK: &str = "work";
/// Folders whose files are never written twice.
const WRITTEN_ONCE: [&str; 4] = [WORK, "objects", "results", "keys"];
/// The folder of a database's files that are never written twice.
const TABLES: &str = "tables";
/// How the name of a file ends to which a database appends.
const JOURNAL: &str = "jnl";
/// What a backup takes otherwise, or not at all.
const LEFT_OUT: [&str; 2] = ["store", STAGE];
/// Where links lie while their bytes are copied.
const STAGE: &str = ".backup";
/// Looks at running tasks until what they keep stands still.
const LOOKS_MAX: usize = 5;

/// How much was copied.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Copied {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Links to files as they are at one moment; removed with this value.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: PathBuf,
    _lock: File,
}

impl Stage {
    /// An empty stage in a data directory; what a killed backup left there is removed.
    pub(crate) fn new(data: &Path) -> io::Result<Self> {
        let dir = data.join(STAGE);
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("LOCK"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another backup of it is being made"),
            TryLockError::Error(error) => error,
        })?;
        let stage = Self { dir, _lock: lock };
        stage.clear()?;
        Ok(stage)
    }

    /// Where the links are.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// Links everything in a data directory whose store stands still meanwhile.
    ///
    /// A running task moves its output from its folder to where users see it, once. Its folder is
    /// linked first, so that the output is in one of the two; and where something left the folder
    /// meanwhile all is linked again, so that it is not in both.
    pub(crate) fn take(&self, data: &Path) -> io::Result<()> {
        for _ in 0..LOOKS_MAX {
            self.clear()?;
            let to = self.files();
            fs::create_dir(&to)?;
            let mut seen = Vec::new();
            let before = in_place(data)?;
            let work = data.join(WORK);
            if work.is_dir() {
                walk(&work, &to.join(WORK), &mut |file, to, _| {
                    seen.push(file.to_owned());
                    link(file, to)
                })?;
            }
            for entry in fs::read_dir(data)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == OsStr::new(WORK) || is_left_out(&name) {
                    continue;
                }
                let written_once = WRITTEN_ONCE.iter().any(|of| name == OsStr::new(of));
                one(&entry.path(), &to.join(&name), &mut |file, to, _| {
                    if written_once || is_in(file, TABLES) {
                        return link(file, to);
                    }
                    gone_or(file, fs::copy(file, to).map(drop))
                })?;
            }
            // A database that changed its list of tables meanwhile may lack some of them.
            if seen.iter().all(|file| file.exists()) && in_place(data)? == before {
                return Ok(());
            }
        }
        Err(io::Error::other(
            "what running tasks write did not stand still",
        ))
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.files()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left is removed by the next backup.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Copies what is in `from`, but the store, to `to`, which is there: bytes, modes and times of change.
///
/// Names of one file stay names of one file, by which a task knows its own output.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<Copied> {
    let mut copied = Copied::default();
    let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_left_out(&name) {
            continue;
        }
        one(&entry.path(), &to.join(&name), &mut |file, to, meta| {
            if let Some(first) = names.get(&(meta.dev(), meta.ino())) {
                return fs::hard_link(first, to);
            }
            copied.bytes += fs::copy(file, to)?;
            copied.files += 1;
            // The newest key signs.
            File::options()
                .write(true)
                .open(to)
                .and_then(|copy| copy.set_modified(meta.modified()?))?;
            if meta.nlink() > 1 {
                names.insert((meta.dev(), meta.ino()), to.to_owned());
            }
            Ok(())
        })?;
    }
    Ok(copied)
}

fn is_left_out(name: &OsStr) -> bool {
    LEFT_OUT.iter().any(|left_out| name == OsStr::new(left_out))
}

type Each<'a> = &'a mut dyn FnMut(&Path, &Path, &Metadata) -> io::Result<()>;

fn walk(from: &Path, to: &Path, each: Each<'_>) -> io::Result<()> {
    fs::create_dir(to)?;
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        one(&from.join(&name), &to.join(&name), each)?;
    }
    let meta = fs::metadata(from);
    meta.map_or(Ok(()), |meta| fs::set_permissions(to, meta.permissions()))
}

fn one(from: &Path, to: &Path, each: Each<'_>) -> io::Result<()> {
    let meta = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    let name = from.file_name().unwrap_or_default();
    if meta.is_dir() {
        walk(from, to, each)
    } else if meta.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if meta.is_file() && !name.as_encoded_bytes().contains(&b'#') {
        each(from, to, &meta)
    } else {
        Ok(())
    }
}

/// A file, its inode, and when it was changed.
type Found = (PathBuf, u64, SystemTime);

/// Files that are written in place or replaced, but no journals: those may grow at any time.
fn in_place(data: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        let written_once = WRITTEN_ONCE.iter().any(|of| name == OsStr::new(of));
        if !written_once && !is_left_out(&name) {
            survey(&entry.path(), &mut found)?;
        }
    }
    found.sort();
    Ok(found)
}

fn survey(at: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    let meta = match fs::symlink_metadata(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if meta.is_dir() {
        for entry in fs::read_dir(at)? {
            survey(&entry?.path(), found)?;
        }
    } else if !is_in(at, TABLES) && !is_journal(at) {
        found.push((at.to_owned(), meta.ino(), meta.modified()?));
    }
    Ok(())
}

fn is_in(file: &Path, folder: &str) -> bool {
    let parent = file.parent().and_then(Path::file_name);
    parent == Some(OsStr::new(folder))
}

fn is_journal(file: &Path) -> bool {
    file.extension() == Some(OsStr::new(JOURNAL))
}

/// A file that is gone by now is not part of the moment.
fn gone_or(file: &Path, done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.exists() => Ok(()),
        done => done,
    }
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            Err(io::Error::other(format!(
                "`{}` is on another file system than the data directory: stop the server for this",
                from.display()
            )))
        }
        linked => gone_or(from, linked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_in_place_after_the_moment_is_not_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let files = [
            ("objects/acme/a.csv", true),
            ("work/01/part-1-0", true),
            ("collections/db/keyspaces/1/tables/7", true),
            ("collections/db/0.jnl", false),
            ("collections/db/keyspaces/1/current", false),
        ];
        for (name, _) in files {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "before").unwrap();
        }
        for left_out in ["objects/acme/b.csv#1", "store/store/FORMAT"] {
            let path = data.join(left_out);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no").unwrap();
        }
        let stage = Stage::new(data).unwrap();
        assert!(Stage::new(data).is_err(), "one at a time");
        stage.take(data).unwrap();
        for (name, is_link) in files {
            let (ours, staged) = (data.join(name), stage.files().join(name));
            let inode = |path: &Path| fs::metadata(path).unwrap().ino();
            assert_eq!(inode(&ours) == inode(&staged), is_link, "{name}");
            if !is_link {
                let mut file = File::options().append(true).open(&ours).unwrap();
                file.write_all(b", after").unwrap();
            }
            assert_eq!(fs::read(staged).unwrap(), b"before", "{name}");
        }
        assert!(!stage.files().join("objects/acme/b.csv#1").exists());
        assert!(!stage.files().join("store").exists());
        drop(stage);
        assert!(!data.join(STAGE).exists());
    }
}
