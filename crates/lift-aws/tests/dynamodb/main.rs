//! In: the stores' promises. Out: whether DynamoDB Local lets the stores over it keep them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and sees what this machine has"
)]

#[path = "../../../../tests/dynamodb-local/start.rs"]
mod dynamodb_local;
#[path = "../shared/tables.rs"]
mod tables;
#[path = "../shared/relay.rs"]
mod relay;
mod support;
mod tasks;
