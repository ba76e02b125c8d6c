//! In: conversation scripts and sockets. Out: whether the gateway keeps API Gateway's rules.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by panicking what went wrong"
)]

mod compare;
mod setup;
mod script;
mod world;
mod pure;
mod client;
mod sockets;
mod conversations;
mod page;
mod serving;
mod listener;
mod observer;
mod control;
mod room;
