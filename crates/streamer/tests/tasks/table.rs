//! A table of DynamoDB Local comes in; collections in it must keep their promises also where its answers are lost.

use std::path::Path;
use std::time::Duration;

use lift_dev::dynamodb::{Client, Credentials};
use serde_json::{Value, json};
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Collections, Options};
use streamer::tasks::claim::{Ended, Flow, Hooks};

use crate::place::{Caller, get, id, job, lines, objects, put, records};
use crate::relay::{Fault, Relay};
use crate::tables::{local, table};

const KEPT: Duration = Duration::from_secs(3600);

fn client(endpoint: &str) -> Client {
    let credentials = Credentials {
        access_key: "local".to_owned(),
        secret_key: "local".to_owned(),
        session_token: None,
    };
    Client::new(endpoint, "eu-west-1", credentials).unwrap()
}

/// Collections in an empty table; only for tests that know that there is a DynamoDB Local.
pub(crate) async fn collections() -> Collections {
    let client = client(local().await.unwrap().endpoint());
    let name = table(&client, "CollectionsTable").await;
    Collections::in_table(client, name, KEPT)
}

struct World {
    dir: tempfile::TempDir,
    relay: Relay,
    /// Through the relay.
    bulk: Bulk,
    collections: Collections,
}

impl World {
    async fn new(options: Options) -> Option<Self> {
        let endpoint = local().await?.endpoint();
        let direct = client(endpoint);
        let name = table(&direct, "CollectionsTable").await;
        let relay = Relay::start(endpoint).await;
        let through = Collections::in_table(client(relay.url()), name.clone(), KEPT);
        let dir = tempfile::tempdir().unwrap();
        Some(Self {
            bulk: Bulk::new(objects(dir.path()), through, options),
            collections: Collections::in_table(direct, name, KEPT),
            relay,
            dir,
        })
    }
}

fn request(items: &[Value]) -> Value {
    json!({ "collection": "c", "items": items, "output": { "name": "out.ndjson" } })
}

/// Each depends on those before it: doubled or left out, the outcomes differ.
fn item(n: u64) -> Value {
    match n % 3 {
        0 => json!({ "op": "create", "key": format!("k{}", n / 6), "record": { "n": n } }),
        1 => {
            json!({ "op": "update", "key": format!("k{}", n / 6), "record": { "n": n }, "if_version": n })
        }
        _ => json!({ "op": "delete", "key": format!("k{}", n / 6), "if_version": n }),
    }
}

fn assert_applied_once(dir: &Path, items: u64) {
    let lines = lines(dir, "out.ndjson");
    assert_eq!(lines.len() as u64, items);
    for (n, line) in (0..).zip(&lines) {
        let done = ["created", "updated", "deleted"][usize::try_from(n % 3).unwrap()];
        assert_eq!(
            (&line["item"], &line["outcome"]),
            (&json!(n + 1), &json!(done))
        );
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_neither_doubled_nor_taken_for_a_fence() {
    let options = Options {
        batch_items: 5,
        ..Options::default()
    };
    let Some(world) = World::new(options).await else {
        return;
    };
    world.relay.next("TransactWriteItems", Fault::AnswerLost);
    world.relay.next("BatchGetItem", Fault::AnswerLost);
    let mut losing = Losing {
        relay: &world.relay,
        next: vec![
            vec![Fault::AnswerLost],
            vec![Fault::Throttled, Fault::AnswerLost],
            vec![Fault::AnswerLost, Fault::AnswerLost],
        ],
    };
    let items: Vec<_> = (0..30).map(item).collect();
    let job = job("r1", 1, &request(&items));
    let ended = world.bulk.run(&job, &mut losing).await;
    assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
    assert!(losing.next.is_empty() && world.relay.all_met());
    assert_applied_once(world.dir.path(), 30);
    assert_eq!(records(&world.collections, "c").await, Default::default());
}

/// What goes wrong with the writes after each word of progress; the last comes first.
struct Losing<'a> {
    relay: &'a Relay,
    next: Vec<Vec<Fault>>,
}

impl Hooks<Checkpoint> for Losing<'_> {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, _: f64, _: &str) -> Flow {
        for fault in self.next.pop().unwrap_or_default() {
            self.relay.next("TransactWriteItems", fault);
        }
        Flow::Continue
    }

    async fn checkpoint(&mut self, _: &Checkpoint) -> Flow {
        Flow::Continue
    }
}

#[tokio::test]
async fn a_claim_that_never_had_its_answer_is_gone_on_from_what_it_wrote() {
    let options = Options {
        batch_items: 5,
        ..Options::default()
    };
    let Some(world) = World::new(options).await else {
        return;
    };
    let items: Vec<_> = (0..30).map(item).collect();
    let first = job("r1", 1, &request(&items));
    let mut losing = Losing {
        relay: &world.relay,
        // As many as there are tries.
        next: vec![(0..6).map(|_| Fault::AnswerLost).collect()],
    };
    let failure = world.bulk.run(&first, &mut losing).await;
    assert!(failure.unwrap_err().is_retryable());
    assert!(world.relay.all_met());
    assert_eq!(
        records(&world.collections, "c").await.len(),
        1,
        "ten are applied"
    );
    let second = job("r1", 2, &request(&items));
    let ended = world.bulk.run(&second, &mut Caller::default()).await;
    assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
    assert_applied_once(world.dir.path(), 30);
}

#[tokio::test]
async fn the_largest_records_and_the_longest_outcomes_fit() {
    let Some(world) = World::new(Options::default()).await else {
        return;
    };
    let largest = format!("{{\"n\":\"{}\"}}", "é".repeat((64 << 10) / 2 - 4));
    assert_eq!(largest.len(), 64 << 10);
    let large = (0..40).map(|n| {
        let key = format!("{n:->128}");
        format!("{{\"op\":\"create\",\"key\":\"{key}\",\"record\":{largest}}}\n")
    });
    // A key and a reason grow most where each of their characters is escaped.
    let quoted = (0..200).map(|n| {
        let key = format!("{n}{}", "\\\"".repeat(60));
        format!("{{\"op\":\"delete\",\"key\":\"{key}\"}}\n")
    });
    let named = "\\u0001".repeat(300);
    let invalid = (0..200).map(|_| format!("{{\"{named}\":1}}\n"));
    let text: String = large.chain(quoted).chain(invalid).collect();
    put(world.dir.path(), "in.ndjson", text);
    let request =
        json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "out.ndjson" } });
    let ended = world
        .bulk
        .run(&job("r1", 1, &request), &mut Caller::default())
        .await;
    let Ok(Ended::Finished(outcome)) = ended else {
        panic!("{ended:?}")
    };
    let counts = outcome.counts;
    assert_eq!(
        (counts.created, counts.not_found, counts.invalid),
        (40, 200, 200)
    );
    assert!(
        records(&world.collections, "c")
            .await
            .values()
            .all(|(_, text)| *text == largest)
    );
    assert!(get(world.dir.path(), "out.ndjson").is_some());
    world.bulk.abandon(&id("r1")).await.unwrap();
}
