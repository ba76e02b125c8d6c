//! A client talks to a scripted server over real sockets; what both hear is compared with what is expected.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod server;
mod calls;
mod reconnect;
mod handshake;
mod plain;
