//! `generate_report` and `bulk_operation` at their public edge: requests and objects come in, outputs and failures go out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, and a table's JSON is written where it is used"
)]

mod place;
mod report;
mod page;
mod bulk;
mod kill;
mod export;
mod schemas;
