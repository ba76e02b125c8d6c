//! In: a request that no processor takes. Out: whether it is kept for people, and those behind it run.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::asking::{aggregate, completed, rows, submitted};
use crate::relay::Fault;
use crate::world::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_processor_takes_goes_to_the_queue_and_those_behind_it_run() {
    let fast = Setup {
        speed: 60,
        // All records are behind the first.
        replaced: vec![("ParallelizationFactor: 4", "ParallelizationFactor: 1")],
        ..Setup::default()
    };
    let Some((world, relays)) = World::relayed(fast).await else {
        return;
    };
    let (text, expected) = rows(1_000);
    world.put("sales.csv", text).await;
    // The first request that a processor is started for is refused, whoever starts it, until it is allowed.
    let refused = Arc::new(Mutex::new(None));
    let is_refused = Arc::clone(&refused);
    relays.lambda.rule(move |call| {
        let work: Value = serde_json::from_str(&call.body).unwrap();
        let mut refused = is_refused.lock().unwrap();
        let refused = refused.get_or_insert_with(|| work["id"].clone());
        (*refused == work["id"]).then_some(Fault::Refused(403, "AccessDeniedException"))
    });

    let client = world.client("ada").await;
    let mut poison = submitted(&client, &aggregate("sales.csv", "0.csv")).await;
    let id = Value::from(poison.id().to_string());
    world
        .until("a processor is asked for", async || {
            *refused.lock().unwrap() == Some(id.clone())
        })
        .await;
    for output in ["1.csv", "2.csv"] {
        let mut request = submitted(&client, &aggregate("sales.csv", output)).await;
        completed(&mut request).await;
        assert_eq!(world.get(output).await, expected);
    }
    let given_up = world.failed("FailedQueue");
    assert_eq!(given_up.len(), 1, "{given_up:#?}");
    let (why, batch) = (
        &given_up[0]["requestContext"],
        &given_up[0]["DDBStreamBatchInfo"],
    );
    assert_eq!(why["condition"], "RetryAttemptsExhausted");
    assert_eq!(batch["batchSize"], 1);

    // What was acknowledged is not lost: the sweeper finds it.
    *refused.lock().unwrap() = Some(Value::Null);
    completed(&mut poison).await;
    assert_eq!(world.get("0.csv").await, expected);
    world.stop().await;
}
