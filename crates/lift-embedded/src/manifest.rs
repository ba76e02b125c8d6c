//! Which tables a tree has: the database's directory comes in; whether its lists and the ends of its tables are as written goes out.
//!
//! `keyspaces/N/current` names the list `vM` beside it (M as u64 LE) and its checksum (xxh3-128, u128 LE,
//! then a 0 that says which). The database reads neither against the other: it takes a bent list for a
//! good one, or asserts, and an assertion while it is dropped ends the process. What a bent end of a
//! table does is in `archive.rs`. The blocks of a table have checksums that the database looks at first.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::archive::Contents;
use crate::numbers::{array, u8, u32, u64, u128};

/// What is wrong with the lists of tables or with the tables of an fjall database in this directory,
/// if anything is. Of a table it reads the last few hundred bytes.
///
/// # Errors
/// A file cannot be read.
pub fn damaged_tables(database: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(database.join("keyspaces"))? {
        let wrong = damaged_tree(&entry?.path())?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}

fn damaged_tree(tree: &Path) -> io::Result<Option<String>> {
    let Some(current) = there(fs::read(tree.join("current")))? else {
        // A tree that was being made or taken away: whoever needs it misses it by name.
        return Ok(None);
    };
    let said = format!("`{}` does not name a list of tables", tree.display());
    let Some((version, checksum)) = parse(&current) else {
        return Ok(Some(said));
    };
    let list = tree.join(format!("v{version}"));
    let Some(bytes) = there(fs::read(&list))? else {
        return Ok(Some(said));
    };
    if xxh3_128(&bytes) != checksum {
        return Ok(Some(format!("`{}` has another checksum", list.display())));
    }
    let section = Contents::read(&File::open(&list)?)?
        .and_then(|contents| contents.section(b"tables"))
        .and_then(|section| bytes.get(section));
    let Some(tables) = section.and_then(table_ids) else {
        return Ok(Some(format!("`{}` lists no tables", list.display())));
    };
    // What no list names was never finished, or is no longer needed.
    for table in tables {
        let table = tree.join("tables").join(table.to_string());
        // One that is gone is missed by the database itself.
        if let Some(file) = there(File::open(&table))?
            && Contents::read(&file)?.is_none()
        {
            let why = "has no contents as they were written";
            return Ok(Some(format!("`{}` {why}", table.display())));
        }
    }
    Ok(None)
}

fn parse(current: &[u8]) -> Option<(u64, u128)> {
    let mut rest = current;
    let named = (u64(&mut rest)?, u128(&mut rest)?);
    (rest == [0]).then_some(named)
}

/// Levels of runs of tables: each begins with how many it has (u8, u8, u32), and each table is its
/// number, which checksum it has, that, and a sequence number.
fn table_ids(mut list: &[u8]) -> Option<Vec<u64>> {
    let (rest, mut ids) = (&mut list, Vec::new());
    for _level in 0..u8(rest)? {
        for _run in 0..u8(rest)? {
            for _table in 0..u32(rest)? {
                ids.push(u64(rest)?);
                array::<{ 1 + 16 + 8 }>(rest)?;
            }
        }
    }
    Some(ids)
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
