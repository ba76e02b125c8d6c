//! An object's name comes in; what the file system has at its place goes out, symbolic links followed inside the folder alone.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Found, ObjectName};

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

pub(super) fn look(folder: &Path, name: &ObjectName) -> io::Result<Found> {
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(Found::Outside),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(error),
    }
    let mut at = PathBuf::from(folder);
    let mut segments = name.segments().peekable();
    while let Some(segment) = segments.next() {
        at.push(segment);
        let mut meta = match fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        if meta.is_symlink() {
            match fs::canonicalize(&at) {
                Ok(real) if real.starts_with(folder) => at = real,
                _ => return Ok(Found::Outside),
            }
            meta = fs::metadata(&at)?;
        }
        match (segments.peek().is_some(), meta.is_dir(), meta.is_file()) {
            (true, true, _) => {}
            (false, _, true) => return Ok(Found::File),
            _ => return Ok(Found::Other),
        }
    }
    Ok(Found::Other)
}
