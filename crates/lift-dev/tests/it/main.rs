//! In: the crate's public edges. Out: whether they behave.
#![allow(
    clippy::disallowed_methods,
    reason = "tests read what this machine has"
)]

mod support;
mod lambda;
mod template;
mod sigv4;
mod dynamodb;
