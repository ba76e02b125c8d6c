//! In: connections, rates and posts as an app has them. Out: whether AWS's ends are called as they must be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "../../../../tests/dynamodb-local/start.rs"]
mod dynamodb_local;
#[path = "../shared/tables.rs"]
mod tables;
mod management;
mod rates;
mod registry;
mod support;
