//! Servers whose faults are known come in; that a run finds them all, and nothing else, comes out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod server;
mod load;
mod plans;
mod counters;
mod commands;
mod streamer;
mod faults;
mod latencies;
mod verdicts;
mod foreign;
mod handshakes;
