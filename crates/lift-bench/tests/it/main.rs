//! What the crate offers is driven over real sockets and real processes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod proxy;
mod server;
