//! The `streamer` binary from outside: real processes, real sockets, files on a disk.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says its seed"
)]

mod server;
mod service;
mod refusals;
mod restarts;
mod crash;
mod sync_order;
mod foreign;
