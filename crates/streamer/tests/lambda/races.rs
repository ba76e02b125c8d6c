//! In: a cancel or a second connection at the moment that a task ends. Out: whether it ends once, and all hear the same.

use serde_json::Value;
use streamer_client::Client;
use streamer_client::request::{Outcome, Request};
use tokio::time::timeout;

use crate::asking::{Wire, aggregate, ended, rows, submitted};
use crate::relay::Call;
use crate::world::{DEADLINE, Setup, World};

fn commits(call: &Call) -> bool {
    call.body.contains("committed = :committed")
}

fn ends(call: &Call) -> bool {
    call.body.contains("ttl = exp_s")
}

fn cancels(call: &Call) -> bool {
    call.body.contains("cancel = :cancel")
}

fn attaches(call: &Call) -> bool {
    call.body.contains("list_append(att, :ids)")
}

/// Who comes first to a request that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Processor,
    Client,
}

/// The output, the call of the processor, who comes first, and how the request ends then.
type Race = (&'static str, fn(&Call) -> bool, First, &'static str);

const RACES: [Race; 4] = [
    ("commit-0.csv", commits, First::Client, "Cancelled"),
    ("commit-1.csv", commits, First::Processor, "Completed"),
    ("end-0.csv", ends, First::Client, "Completed"),
    ("end-1.csv", ends, First::Processor, "Completed"),
];

/// The state that everybody is told of a request that has ended.
async fn agreed(client: &Client, wire: &mut Wire, request: &mut Request) -> String {
    let outcome = ended(request).await;
    let state = format!("{:?}", client.get(request.id()).await.unwrap().state);
    let (kind, told) = match outcome {
        Outcome::Complete(_) => ("complete", "Completed"),
        Outcome::Cancelled => ("cancelled", "Cancelled"),
        Outcome::Failed(error) => panic!("{error:?}"),
    };
    assert_eq!(state, told);
    let ends = wire.ends(request);
    let kinds: Vec<&Value> = ends.iter().map(|end| &end["type"]).collect();
    assert_eq!(kinds, [kind]);
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_the_end_leaves_one_end() {
    let Some((world, relays)) = World::relayed(Setup::default()).await else {
        return;
    };
    let client = world.client("ada").await;
    let mut wire = Wire::of(&client);
    let (text, expected) = rows(1_000);
    world.put("sales.csv", text).await;
    for (output, step, first, state) in RACES {
        let mut stepping = relays.dynamodb.hold(step);
        let mut request = submitted(&client, &aggregate("sales.csv", output)).await;
        let id = request.id().clone();
        timeout(DEADLINE, stepping.came()).await.unwrap();
        let end = match first {
            First::Client => {
                client.cancel(&id).await.unwrap();
                stepping.release();
                agreed(&client, &mut wire, &mut request).await
            }
            First::Processor => {
                let mut cancelling = relays.dynamodb.hold(cancels);
                let meanwhile = async {
                    timeout(DEADLINE, cancelling.came()).await.unwrap();
                    stepping.release();
                    let end = agreed(&client, &mut wire, &mut request).await;
                    cancelling.release();
                    end
                };
                let (cancelled, end) = tokio::join!(client.cancel(&id), meanwhile);
                let cancelled = cancelled.unwrap();
                assert!(!cancelled.cancel_requested, "{output}: {cancelled:?}");
                end
            }
        };
        assert_eq!(end, state, "{output}: {first:?} first");
        let now = client.get(&id).await.unwrap().state;
        assert_eq!(format!("{now:?}"), state, "{output}");
        if state == "Completed" {
            assert_eq!(world.get(output).await, expected);
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_that_races_the_end_is_told_it_too() {
    let Some((world, relays)) = World::relayed(Setup::default()).await else {
        return;
    };
    let (one, other) = (world.client("ada").await, world.client("ada").await);
    let (mut wire, mut others_wire) = (Wire::of(&one), Wire::of(&other));
    let (text, _) = rows(1_000);
    world.put("sales.csv", text).await;
    for first in [First::Client, First::Processor] {
        let mut ending = relays.dynamodb.hold(ends);
        let output = format!("{first:?}.csv");
        let mut request = submitted(&one, &aggregate("sales.csv", &output)).await;
        let id = request.id().clone();
        timeout(DEADLINE, ending.came()).await.unwrap();
        let mut resumed = match first {
            First::Client => {
                let resumed = other.resume(&id, 0).await.unwrap();
                ending.release();
                assert_eq!(agreed(&one, &mut wire, &mut request).await, "Completed");
                resumed
            }
            First::Processor => {
                let mut attaching = relays.dynamodb.hold(attaches);
                let meanwhile = async {
                    timeout(DEADLINE, attaching.came()).await.unwrap();
                    ending.release();
                    assert_eq!(agreed(&one, &mut wire, &mut request).await, "Completed");
                    attaching.release();
                };
                tokio::join!(other.resume(&id, 0), meanwhile).0.unwrap()
            }
        };
        let state = agreed(&other, &mut others_wire, &mut resumed).await;
        assert_eq!(state, "Completed", "{first:?} first");
    }
    world.stop().await;
}
