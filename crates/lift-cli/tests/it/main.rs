//! Command lines, stdin and scripted servers come in; what the real binary prints and its exit
//! status come out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod run;
mod server;
mod ws;
mod plain;
mod reconnect;
mod usage;
mod signals;
mod token;
mod live;
mod store;
mod cost;
mod doctor;
mod explain;
mod pages;
mod smoke;
mod report;
