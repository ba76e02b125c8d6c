//! The suites for registries and for rates on their memory backends.

use std::sync::Arc;

use lift::rate;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::conformance;
use lift::registry::memory::MemoryRegistry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_every_promise() {
    conformance::run_all(async || Connections::new(MemoryRegistry::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_rates_keep_every_promise() {
    rate::conformance::run_all(async || Arc::new(MemoryRates::default()) as _).await;
}
