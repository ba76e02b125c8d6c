//! The suite for task stores on the memory backend.

use std::sync::Arc;

use lift::task::conformance;
use lift::task::memory::MemoryTasks;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_every_promise() {
    conformance::run_all(async || Arc::new(MemoryTasks::default()) as _).await;
}
