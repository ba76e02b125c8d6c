//! The suite for registries on the memory backend.

use lift::registry::Connections;
use lift::registry::conformance;
use lift::registry::memory::MemoryRegistry;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_every_promise() {
    conformance::run_all(async || Connections::new(MemoryRegistry::default())).await;
}
