//! `generate_report` and `bulk_operation` at their public edge: requests and objects come in, outputs and failures go out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, and a table's JSON is written where it is used"
)]

#[cfg(feature = "lambda")]
#[path = "../../../../tests/dynamodb-local/start.rs"]
#[expect(clippy::print_stdout, reason = "it says what it skips")]
mod dynamodb_local;
#[cfg(feature = "lambda")]
#[path = "../../../lift-aws/tests/shared/tables.rs"]
mod tables;
#[cfg(feature = "lambda")]
#[path = "../../../lift-aws/tests/shared/relay.rs"]
mod relay;
#[cfg(feature = "lambda")]
mod table;
mod place;
mod report;
mod page;
mod bulk;
mod races;
mod kill;
mod export;
mod schemas;
