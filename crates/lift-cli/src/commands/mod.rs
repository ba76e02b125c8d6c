//! What a command works with comes in, what it does goes out to stdout, stderr and the network.

pub(crate) mod ws;
mod conversation;
mod texts;
mod job;
pub(crate) mod token;
