//! The real binary as a process and clients of it: a data directory comes in, conversations go out.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod home;
pub(crate) mod connection;
pub(crate) mod http;
pub(crate) mod orders;

use std::time::Duration;

/// How long anything may take. Builds and other tests share the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_elapsed) => panic!("{what}: not within {PATIENCE:?}"),
    }
}
