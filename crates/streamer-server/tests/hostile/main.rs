//! The binary under clients that mean harm: attacks come in; what each gets, what a good client
//! hears meanwhile, and what the server's memory does come out.
//!
//! `HOSTILE_READERS=10000` and `HOSTILE_PINGS=10000000` make the two attacks of number as large as
//! one machine allows; `--nocapture` shows the memory before, at the peak and after each.

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
/// Tokens of any header and claims: the makers of the verifier's own tests.
#[path = "../../../streamer/tests/auth/support.rs"]
#[allow(dead_code, reason = "the verifier's tests use the rest")]
mod forge;

mod siege;
mod raw;
mod handshakes;
mod frames;
mod readers;
mod messages;
mod tokens;
mod keys;
mod faults;

/// For tests whose one client asks for more than the rules of rates allow it.
pub(crate) const UNLIMITED: [&str; 5] = [
    "--connection-rate=off",
    "--user-rate=off",
    "--user-connect-rate=off",
    "--tenant-connect-rate=off",
    "--connections-per-user-max=100000",
];
