//! In: a task that takes longer than its function may. Out: whether it goes on where it was, in another invocation.

use lift_dev::feed::Entry;
use streamer_client::request::Outcome;

use crate::asking::{Wire, aggregate, claims, ended, rows, submitted};
use crate::world::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_outlasts_its_function_goes_on_from_its_checkpoint_and_ends_once() {
    // A processor stops ten seconds before its time is up: these runs last less than two.
    let short = Setup {
        replaced: vec![("Timeout: 900", "Timeout: 12")],
        ..Setup::default()
    };
    let Some(world) = World::start(short).await else {
        return;
    };
    let client = world.client("ada").await;
    let mut wire = Wire::of(&client);
    let (text, expected) = rows(1_200_000);
    world.put("sales.csv", text).await;
    let mut request = submitted(&client, &aggregate("sales.csv", "kinds.csv")).await;
    let end = ended(&mut request).await;
    assert!(matches!(end, Outcome::Complete(_)), "{end:?}");
    assert_eq!(world.get("kinds.csv").await, expected);
    let ends = wire.ends(&request);
    assert_eq!(ends.len(), 1, "{ends:?}");
    let claims = claims(&ends[0]);
    assert!(claims >= 2, "{claims} claims");
    let failed = world.count(|entry| {
        matches!(entry, Entry::Invocation { function, outcome, .. } if function == "ProcessorFunction" && outcome != "ok")
    });
    assert_eq!(failed, 0);
    world.stop().await;
}
