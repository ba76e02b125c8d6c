//! Deferred work: a request comes in, is made durable, claimed, run, and ends exactly once.

pub mod record;
pub mod transition;
pub mod store;
pub mod memory;
#[cfg(feature = "test-util")]
pub mod conformance;
pub mod progress;
pub mod retry;
pub mod handle;
pub mod announce;
mod ended;
pub mod worker;
