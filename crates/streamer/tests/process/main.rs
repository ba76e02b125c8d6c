//! `process_data` at its public edge: requests and objects come in, outputs and failures go out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a panic is how a test fails, and a table's JSON is written where it is used"
)]

mod place;
mod reference;
mod operators;
mod formats;
mod names;
mod limits;
mod interruption;
mod bucket;
mod crash;
mod agreement;
mod generator;
