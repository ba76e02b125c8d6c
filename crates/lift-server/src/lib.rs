//! One machine for Lift apps: a definition comes in, a durable server or a test's app goes out.
#![warn(missing_docs)]

mod outbound;
mod integration;
mod host;
mod task_loop;
pub mod results;
mod http;
mod tls;
mod listen;
pub mod server;
pub use host::rules;
#[cfg(feature = "test-util")]
pub mod test_app;
