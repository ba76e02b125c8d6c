//! A size comes in; a file system of its own, which can be filled, goes out.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, unmounted by its drop.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None, which is said, where none can be mounted: it needs root.
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "lift-test"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|mounted| mounted.status.success());
        if !mounted {
            println!("skipped: a small file system cannot be mounted here (needs root)");
        }
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left may still hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Leaves `free` bytes of a small file system.
pub(crate) fn fill(path: &Path, free: u64) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let full = file.metadata().unwrap().len();
    file.set_len(full - free).unwrap();
}
