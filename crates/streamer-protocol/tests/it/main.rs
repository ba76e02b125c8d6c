//! Messages come in as text, the typed forms and the rules of the protocol are compared with what is expected.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod limits;
mod tables;
mod vectors;
