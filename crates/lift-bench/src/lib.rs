//! A scenario comes in; what a WebSocket server did under it, and whether to believe it, goes out.
//!
//! Latency counts from when a message was to be sent, whatever held it up; every message is in a ledger that knows
//! what was lost, answered twice, or out of order; a generator that could not keep up says that its run is invalid.
#![warn(missing_docs)]

pub mod scenario;
pub mod plan;
pub mod run;
pub mod report;
pub mod metric;
pub mod threshold;
pub mod comparison;
pub mod cost;
pub mod proxy;
pub mod server;
pub mod machine;
mod books;
mod payload;
mod opening;
mod diary;
mod world;
mod client;
mod echo;

pub use self::world::{Claims, Mint};
