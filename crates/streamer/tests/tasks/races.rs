//! Claims and requests at the same collection come in; each change must count once, whoever comes first.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Collections, Options, Outcome};
use streamer::tasks::claim::{Ended, Flow, Hooks};

use crate::place::{Caller, Kind, at_each_kind, id, job, left, lines, objects, records};

at_each_kind!(
    a_claim_that_was_overtaken_writes_no_more,
    a_request_that_was_forgotten_writes_no_more,
    requests_at_one_collection_lose_and_double_nothing,
    as_many_collections_begin_at_once_as_there_is_room_for,
);

fn bulk(dir: &tempfile::TempDir, collections: &Collections, options: Options) -> Bulk {
    Bulk::new(objects(dir.path()), collections.clone(), options)
}

fn create(key: &str) -> Value {
    json!({ "op": "create", "key": key, "record": {} })
}

fn request(collection: &str, items: &[Value], output: &str) -> Value {
    json!({ "collection": collection, "items": items, "output": { "name": output } })
}

fn finished(ended: Result<Ended<Outcome>, streamer::tasks::failure::Failure>) -> Outcome {
    match ended {
        Ok(Ended::Finished(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

fn small_batches() -> Options {
    Options {
        batch_items: 2,
        ..Options::default()
    }
}

/// What happens when the first batch is applied.
enum Meanwhile<'a> {
    LaterClaim(&'a Bulk, &'a Value),
    Forgotten(&'a Bulk),
}

struct Interrupted<'a>(Option<Meanwhile<'a>>);

impl Hooks<Checkpoint> for Interrupted<'_> {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, _: f64, _: &str) -> Flow {
        match self.0.take() {
            Some(Meanwhile::LaterClaim(bulk, request)) => {
                let mut stopping = Caller::<Checkpoint> {
                    stop_at: Some(1),
                    ..Caller::default()
                };
                let later = bulk.run(&job("r1", 2, request), &mut stopping).await;
                assert!(matches!(later, Ok(Ended::Stopped)), "{later:?}");
            }
            Some(Meanwhile::Forgotten(bulk)) => bulk.abandon(&id("r1")).await.unwrap(),
            None => {}
        }
        Flow::Continue
    }

    async fn checkpoint(&mut self, _: &Checkpoint) -> Flow {
        Flow::Continue
    }
}

async fn a_claim_that_was_overtaken_writes_no_more(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    objects(dir.path());
    let collections = kind.collections(dir.path()).await;
    let bulk = bulk(&dir, &collections, small_batches());
    let items: Vec<_> = (0..10).map(|n| create(&format!("k{n}"))).collect();
    let request = request("c", &items, "out.ndjson");
    let mut overtaken = Interrupted(Some(Meanwhile::LaterClaim(&bulk, &request)));
    let first = bulk.run(&job("r1", 1, &request), &mut overtaken).await;
    assert!(matches!(first, Ok(Ended::Stopped)), "{first:?}");
    let applied = records(&collections, "c").await;
    assert_eq!(applied.len(), 4, "two by each claim: {applied:?}");
    let outcome = finished(
        bulk.run(&job("r1", 3, &request), &mut Caller::default())
            .await,
    );
    assert_eq!((outcome.counts.created, outcome.counts.conflicts), (10, 0));
    let versions: Vec<u64> = records(&collections, "c")
        .await
        .values()
        .map(|r| r.0)
        .collect();
    assert_eq!(versions, Vec::from_iter(1..=10));
}

async fn a_request_that_was_forgotten_writes_no_more(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    objects(dir.path());
    let collections = kind.collections(dir.path()).await;
    let bulk = bulk(&dir, &collections, small_batches());
    let items: Vec<_> = (0..10).map(|n| create(&format!("k{n}"))).collect();
    let request = request("c", &items, "out.ndjson");
    let mut forgotten = Interrupted(Some(Meanwhile::Forgotten(&bulk)));
    let ended = bulk.run(&job("r1", 1, &request), &mut forgotten).await;
    assert!(matches!(ended, Ok(Ended::Stopped)), "{ended:?}");
    assert_eq!(records(&collections, "c").await.len(), 2);
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

async fn requests_at_one_collection_lose_and_double_nothing(kind: Kind) {
    const REQUESTS: u64 = 4;
    const ROUNDS: u64 = 30;
    let dir = tempfile::tempdir().unwrap();
    objects(dir.path());
    let collections = kind.collections(dir.path()).await;
    let bulk = bulk(
        &dir,
        &collections,
        Options {
            batch_items: 7,
            ..Options::default()
        },
    );
    // All want the same keys, so that who comes first decides.
    let items: Vec<_> = (0..ROUNDS)
        .flat_map(|n| {
            let key = format!("k{}", n % 5);
            let update = json!({ "op": "update", "key": key, "record": { "n": n } });
            [create(&key), update, json!({ "op": "delete", "key": key })]
        })
        .collect();
    let runs = (0..REQUESTS).map(|n| {
        let (bulk, items) = (&bulk, &items);
        async move {
            let request = request("c", items, &format!("out{n}.ndjson"));
            let job = job(&format!("r{n}"), 1, &request);
            finished(bulk.run(&job, &mut Caller::default()).await)
        }
    });
    let outcomes = futures_util::future::join_all(runs).await;
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (created, updated) = (sum(|o| o.counts.created), sum(|o| o.counts.updated));
    let deleted = sum(|o| o.counts.deleted);
    let held = records(&collections, "c").await;
    assert_eq!(created - deleted, held.len() as u64);
    // Each version that was told is of one change; those of deletions are told to nobody.
    let mut told = BTreeSet::new();
    for n in 0..REQUESTS {
        for line in lines(dir.path(), &format!("out{n}.ndjson")) {
            if line["outcome"] == "created" || line["outcome"] == "updated" {
                assert!(
                    told.insert(line["version"].as_u64().unwrap()),
                    "twice: {line}"
                );
            }
        }
    }
    assert_eq!(told.len() as u64, created + updated);
    let one_more = request("c", &[create("last")], "last.ndjson");
    finished(
        bulk.run(&job("last", 1, &one_more), &mut Caller::default())
            .await,
    );
    let last = &lines(dir.path(), "last.ndjson")[0]["version"];
    assert_eq!(last, &json!(created + updated + deleted + 1));
}

async fn as_many_collections_begin_at_once_as_there_is_room_for(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    objects(dir.path());
    let collections = kind.collections(dir.path()).await;
    let bulk = bulk(
        &dir,
        &collections,
        Options {
            collections_max: 3,
            ..Options::default()
        },
    );
    let runs = (0..6).map(|n| {
        let bulk = &bulk;
        async move {
            let request = request(&format!("c{n}"), &[create("a")], &format!("out{n}.ndjson"));
            let ended = bulk
                .run(&job(&format!("r{n}"), 1, &request), &mut Caller::default())
                .await;
            u64::from(ended.is_ok())
        }
    });
    let begun: u64 = futures_util::future::join_all(runs).await.into_iter().sum();
    assert_eq!(begun, 3);
}
