//! In: a zip as it is uploaded to Lambda. Out: the directory it is unpacked to.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::StartError;
use super::random;
use crate::plan::Function;

/// Where the function's code is: a zip is unpacked to a new directory below `files`.
pub(super) fn code(function: &Function, files: &Path) -> Result<PathBuf, StartError> {
    let path = &function.code;
    let ending = path.extension().and_then(|ending| ending.to_str());
    let zip = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    if !zip || !path.is_file() {
        return Ok(path.clone());
    }
    // Environments of the code before may still run in their directory.
    let target = files.join(format!("code-{}", random::hex::<8>()));
    let unpack = || {
        let mut archive = zip::ZipArchive::new(File::open(path)?).map_err(io::Error::other)?;
        archive.extract(&target).map_err(io::Error::other)
    };
    unpack().map_err(|source| StartError::Archive {
        function: function.name.clone(),
        path: path.clone(),
        source,
    })?;
    Ok(target)
}
