//! The suite for task stores on the embedded backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lift::task::conformance;
use lift_embedded::{EmbeddedTasks, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_keeps_every_promise() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    conformance::run_all(async || {
        let place = dir
            .path()
            .join(next.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(EmbeddedTasks::open(&place, &Options::default()).unwrap()) as _
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_keeps_every_promise_one_write_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    let mut options = Options::default();
    (options.group_max, options.queue_max) = (1, 1);
    conformance::run_all(async || {
        let place = dir
            .path()
            .join(next.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(EmbeddedTasks::open(&place, &options).unwrap()) as _
    })
    .await;
}
