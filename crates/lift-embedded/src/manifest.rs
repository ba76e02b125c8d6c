//! Which tables a tree has: the database's directory comes in; whether its lists are as written goes out.
//!
//! `keyspaces/N/current` names the list `vM` beside it (M as u64 LE) and its checksum (xxh3-128, u128 LE,
//! then a 0 that says which). The database reads neither against the other: it takes a bent list for a
//! good one, or asserts, and an assertion while it is dropped ends the process.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// What is wrong with the lists of tables of an fjall database in this directory, if anything is.
///
/// # Errors
/// A file cannot be read.
pub fn damaged_tables(database: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(database.join("keyspaces"))? {
        let tree = entry?.path();
        let Some(current) = read(&tree.join("current"))? else {
            // A tree that was being made or taken away: whoever needs it misses it by name.
            continue;
        };
        let said = || {
            Some(format!(
                "`{}` does not name a list of tables",
                tree.display()
            ))
        };
        let Some((version, checksum)) = parse(&current) else {
            return Ok(said());
        };
        let list = tree.join(format!("v{version}"));
        match read(&list)? {
            Some(bytes) if xxh3_128(&bytes) == checksum => {}
            Some(_) => return Ok(Some(format!("`{}` has another checksum", list.display()))),
            None => return Ok(said()),
        }
    }
    Ok(None)
}

fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let (version, rest) = current.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*version), u128::from_le_bytes(*checksum)))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
