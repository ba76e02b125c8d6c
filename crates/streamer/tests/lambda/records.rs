//! In: records of the stream twice and out of order. Out: whether each request is run once.

use lift_dev::feed::Entry;

use crate::asking::{Wire, aggregate, claims, ended, rows, submitted};
use crate::world::{Setup, World};

const REQUESTS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_twice_and_out_of_order_run_each_request_once() {
    let disorderly = Setup {
        faults: &["duplicate-records=100%", "reorder-records=100%"],
        // Batches of several records.
        replaced: vec![
            (
                "BatchSize: 100",
                "BatchSize: 100\n            MaximumBatchingWindowInSeconds: 2",
            ),
            ("ParallelizationFactor: 4", "ParallelizationFactor: 1"),
        ],
        ..Setup::default()
    };
    let Some(world) = World::start(disorderly).await else {
        return;
    };
    let client = world.client("ada").await;
    let mut wire = Wire::of(&client);
    let (text, expected) = rows(1_000);
    world.put("sales.csv", text).await;
    let mut requests = Vec::new();
    for n in 0..REQUESTS {
        let payload = aggregate("sales.csv", &format!("{n}.csv"));
        requests.push(submitted(&client, &payload).await);
    }
    for (n, request) in requests.iter_mut().enumerate() {
        ended(request).await;
        assert_eq!(world.get(&format!("{n}.csv")).await, expected);
    }
    let runs = |entry: &Entry| matches!(entry, Entry::Invocation { function, .. } if function == "ProcessorFunction");
    let more = async || world.count(runs) > REQUESTS;
    world.until("a processor is started twice", more).await;
    let batches = |entry: &Entry| matches!(entry, Entry::Batch { records: 2.., .. });
    assert!(world.count(batches) > 0, "each record came alone");
    for request in &requests {
        let ends = wire.ends(request);
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        assert_eq!(claims(&ends[0]), 1, "{ends:?}");
        let state = client.get(request.id()).await.unwrap().state;
        assert_eq!(format!("{state:?}"), "Completed");
    }
    world.stop().await;
}
