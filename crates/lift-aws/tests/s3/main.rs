//! In: objects and large results. Out: whether S3 is asked for them as it must be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "../../../../tests/foreign/moto.rs"]
mod moto;
mod objects;
mod results;
mod retries;
