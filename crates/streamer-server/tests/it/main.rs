//! The binary from outside, over real sockets: what `protocol.md` and the command line promise.

#[path = "../support/mod.rs"]
mod support;

mod talk;
mod tokens;
mod process;
mod requests;
mod http;
mod settings;
mod restart;
mod tls;
mod generate;
mod foreign;
