//! In: the crate's public edges. Out: whether they behave.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says its seed, and sees what this machine has"
)]

#[path = "../../../../tests/dynamodb-local/start.rs"]
mod dynamodb_local;
mod lambda;
mod template;
mod dynamodb;
mod streams;
