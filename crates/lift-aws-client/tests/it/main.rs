//! In: the crate's public edges. Out: whether they behave.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test fails by panicking, says what it skips, and lists its cases"
)]

mod sigv4;
