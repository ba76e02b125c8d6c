//! In: the crate's public edges. Out: whether they behave.
#![allow(
    clippy::disallowed_methods,
    reason = "tests read what this machine has"
)]

mod support;
mod sigv4;
mod dynamodb;
mod streams;
