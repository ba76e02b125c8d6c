//! `lift-server` from outside: apps under `TestApp`, and over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod journey;
mod overload;
mod results;
mod tls;
