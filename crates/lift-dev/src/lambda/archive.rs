//! In: a zip as it is uploaded to Lambda. Out: the directory it is unpacked to, for as long as something runs in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::failure::StartError;
use crate::plan::Function;

/// Where a function's code is.
#[derive(Debug)]
pub(super) enum Code {
    /// Where the plan says.
    AsIs(PathBuf),
    /// In a directory that is removed with this value: environments of the code before still run in theirs.
    Unpacked(TempDir),
}

impl Code {
    /// The function's code; a zip is unpacked to a new directory below `files`.
    pub(super) fn of(function: &Function, files: &Path) -> Result<Self, StartError> {
        let path = &function.code;
        let ending = path.extension().and_then(|ending| ending.to_str());
        let zip = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
        if !zip || !path.is_file() {
            return Ok(Self::AsIs(path.clone()));
        }
        let unpack = || {
            let target = tempfile::Builder::new().prefix("code-").tempdir_in(files)?;
            let mut archive = zip::ZipArchive::new(File::open(path)?).map_err(io::Error::other)?;
            archive.extract(target.path()).map_err(io::Error::other)?;
            Ok(Self::Unpacked(target))
        };
        unpack().map_err(|source| StartError::Archive {
            function: function.name.clone(),
            path: path.clone(),
            source,
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::AsIs(path) => path,
            Self::Unpacked(directory) => directory.path(),
        }
    }
}
