//! In: a DynamoDB that refuses a fifth of all calls for want of throughput. Out: whether clients notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use streamer_client::options::Terms;
use tokio::time::timeout;

use crate::asking::{aggregate, completed, rows, submitted};
use crate::relay::Fault;
use crate::world::{DEADLINE, Setup, World};

const KINDS: [&str; 2] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
];

#[tokio::test(flavor = "multi_thread")]
async fn requests_end_right_while_dynamodb_throttles() {
    let Some((world, relays)) = World::relayed(Setup::default()).await else {
        return;
    };
    let throttled = Arc::new(AtomicU64::new(0));
    let (mut calls, counting) = (0_u64, Arc::clone(&throttled));
    relays.dynamodb.rule(move |_| {
        calls += 1;
        // Some come one after another.
        if calls.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff >= 0x3333 {
            return None;
        }
        let nth = counting.fetch_add(1, Ordering::Relaxed);
        Some(Fault::Refused(400, KINDS[usize::from(nth % 2 == 0)]))
    });
    let (text, expected) = rows(30_000);
    world.put("sales.csv", text).await;
    for user in ["ada", "bob"] {
        let client = world.client(user).await;
        for n in 0..4 {
            let output = format!("{user}-{n}.csv");
            let mut request = submitted(&client, &aggregate("sales.csv", &output)).await;
            let result = completed(&mut request).await;
            assert_eq!(result["rows_in"], 30_000);
            assert_eq!(world.get(&output).await, expected);
            let state = client.get(request.id()).await.unwrap().state;
            assert_eq!(format!("{state:?}"), "Completed");
        }
        let payload = json!([1, 2.50]);
        let calling = client.call("echo", &payload, Terms::default());
        let echoed = timeout(DEADLINE, calling).await.unwrap().unwrap();
        assert_eq!(echoed.get(), payload.to_string());
    }
    let throttled = throttled.load(Ordering::Relaxed);
    assert!(throttled >= 10, "{throttled} throttled");
    world.stop().await;
}
