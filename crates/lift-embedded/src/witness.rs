//! A second memory of how far the store came: the number of an answered commit goes in and out.
//!
//! It is written after the `fdatasync` that covers the commit, and never synced itself. So it may
//! lag behind the store after a loss of power, but where it is ahead, answered commits are missing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// Eight bytes of the number and eight of its checksum, both big-endian.
const BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct Witness(File);

impl Witness {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        options.map(Self)
    }

    /// The number last written, if the file holds one.
    pub(crate) fn read(&self) -> Option<u64> {
        let mut bytes = [0; BYTES];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let (number, checksum) = bytes.split_first_chunk::<8>()?;
        (checksum == xxh3_64(number).to_be_bytes()).then(|| u64::from_be_bytes(*number))
    }

    /// Goes back to `commit`, durably.
    pub(crate) fn restart(&self, commit: u64) -> io::Result<()> {
        self.write(commit)?;
        self.0.sync_data()
    }

    pub(crate) fn write(&self, commit: u64) -> io::Result<()> {
        let number = commit.to_be_bytes();
        let mut bytes = [0; BYTES];
        for (byte, from) in bytes
            .iter_mut()
            .zip(number.into_iter().chain(xxh3_64(&number).to_be_bytes()))
        {
            *byte = from;
        }
        self.0.write_all_at(&bytes, 0)
    }
}
