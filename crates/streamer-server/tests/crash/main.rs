//! What survives: SIGKILL under load, the order of disk and socket, a disk that fails or is full.

#[path = "../support/mod.rs"]
mod support;

mod ledger;
mod worker;
mod kill;
mod strace;
mod order;
mod disk;
