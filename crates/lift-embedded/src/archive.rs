//! How the database's tables and lists of tables end: a file comes in; its contents, if they are as written, go out.
//!
//! Contents: `TOC!`, a count (u32), and for each section its place, its length (u64 both) and its
//! name, after the name's length (u16). Trailer: `SFA!`, 1, a 0 that names the checksum, the
//! contents' xxh3-128, their place and their length (u64 both). Numbers are little-endian.
//!
//! The database makes room for as many sections as it is told before it looks at the checksum,
//! and where there is no room for them the process ends.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_128;

use crate::numbers::{take, u16, u32, u64, u128};

const TRAILER_BYTES: usize = 38;
/// What is written has some eight sections and stays below 300 bytes.
const CONTENTS_BYTES_MAX: u64 = 64 * 1024;

/// Which sections a file has, as it was written.
pub(crate) struct Contents(Vec<u8>);

impl Contents {
    /// Reads the end of a file and no more of it; nothing where that is not as it was written.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut trailer = [0; TRAILER_BYTES];
        let trailer_bytes = u64::try_from(TRAILER_BYTES).unwrap_or(u64::MAX);
        let Some(end) = file.metadata()?.len().checked_sub(trailer_bytes) else {
            return Ok(None);
        };
        file.read_exact_at(&mut trailer, end)?;
        let found = parse(&trailer).and_then(|(checksum, place)| {
            let len = end.checked_sub(place)?;
            let len = (len <= CONTENTS_BYTES_MAX).then_some(len)?;
            Some((checksum, place, usize::try_from(len).ok()?))
        });
        let Some((checksum, place, len)) = found else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, place)?;
        Ok((xxh3_128(&bytes) == checksum).then_some(Self(bytes)))
    }

    /// Where a section lies in the file.
    pub(crate) fn section(&self, name: &[u8]) -> Option<Range<usize>> {
        let mut rest = self.0.strip_prefix(b"TOC!")?;
        for _ in 0..u32(&mut rest)? {
            let (place, len) = (u64(&mut rest)?, u64(&mut rest)?);
            let name_bytes = u16(&mut rest)?;
            if take(&mut rest, name_bytes.into())? == name {
                let (place, len) = (usize::try_from(place).ok()?, usize::try_from(len).ok()?);
                return Some(place..place.checked_add(len)?);
            }
        }
        None
    }
}

/// The checksum and the place of the contents.
fn parse(trailer: &[u8]) -> Option<(u128, u64)> {
    let mut rest = trailer.strip_prefix(b"SFA!\x01\0")?;
    Some((u128(&mut rest)?, u64(&mut rest)?))
}
