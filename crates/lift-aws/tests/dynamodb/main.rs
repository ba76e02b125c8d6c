//! In: the stores' promises. Out: whether DynamoDB Local lets the stores over it keep them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and sees what this machine has"
)]

mod support;
mod relay;
mod tasks;
