//! What survives: SIGKILL under load, the order of disk and socket, a disk that fails or is full.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a test fails by panicking, and says its seed"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../../../../tests/small-disk/tmpfs.rs"]
mod tmpfs;

mod ledger;
mod worker;
mod kill;
mod strace;
mod order;
mod disk;
