//! A directory and the bytes of a secret come in; a file that is whole or absent, and private, is
//! there afterwards.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long another process may hold the lock.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(10);
const LOCK_NAME: &str = ".lock";
const NEW_NAME: &str = ".new";

/// A directory of secrets whose lock this process holds until the value is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    dir: PathBuf,
    _lock: File,
}

impl Locked {
    /// Makes the directory, private, where it is missing, and takes its lock.
    ///
    /// Blocks the thread up to 5 s while another process holds the lock, then fails with
    /// `WouldBlock`.
    pub(super) fn take(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join(LOCK_NAME))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        dir: dir.to_owned(),
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_DEADLINE => {
                    std::thread::park_timeout(LOCK_RETRY);
                }
                Err(TryLockError::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Writes a file whole: under another name, to the disk, then by its name.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let (new, path) = (self.dir.join(NEW_NAME), self.dir.join(name));
        match std::fs::remove_file(&new) {
            // Left by a process that died here; the lock says that it is nobody's now.
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(path)
    }
}

/// Reads a file, and gives its permission bits for others than its owner.
pub(super) fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let mut file = File::open(path)?;
    let exposed = file.metadata()?.mode() & 0o077;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((bytes, exposed))
}
