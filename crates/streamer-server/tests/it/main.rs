//! The binary from outside, over real sockets: what `protocol.md` and the command line promise.

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

mod talk;
mod tokens;
mod process;
mod tasks;
mod requests;
mod http;
mod settings;
mod restart;
mod tls;
mod generate;
mod foreign;
