//! A collection comes in; the object holds all of it in the order of keys, as it was at one moment.

use std::path::Path;

use serde_json::{Value, json};
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Collections, Options};
use streamer::tasks::claim::{Ended, Flow, Hooks};
use streamer::tasks::export_collection::{Exports, Outcome};

use crate::place::{Caller, get, id, job, left, objects, put, said, tenant};

const RECORDS: u64 = 2_500;

async fn change(bulk: &Bulk, name: &str, lines: impl Iterator<Item = Value>, dir: &Path) {
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    put(dir, "in.ndjson", text);
    let output = json!({ "name": "out.ndjson", "overwrite": true });
    let request = json!({ "collection": "c", "input": "in.ndjson", "output": output });
    let ended = bulk
        .run(
            &job(name, 1, &request),
            &mut Caller::<Checkpoint>::default(),
        )
        .await;
    assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
    bulk.abandon(&id(name)).await.unwrap();
}

/// Changes the collection when the first page is written.
struct Meddling<'a> {
    bulk: &'a Bulk,
    dir: &'a Path,
    pages: usize,
}

impl Hooks<()> for Meddling<'_> {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, _: f64, _: &str) -> Flow {
        self.pages += 1;
        if self.pages == 1 {
            let lines = (0..RECORDS).map(|n| json!({ "op": "delete", "key": format!("k{n:05}") }));
            change(self.bulk, "meddling", lines, self.dir).await;
        }
        Flow::Continue
    }

    async fn checkpoint(&mut self, (): &()) -> Flow {
        Flow::Continue
    }
}

fn request(collection: &str, output: &str) -> Value {
    json!({ "collection": collection, "output": { "name": output } })
}

struct World {
    dir: tempfile::TempDir,
    bulk: Bulk,
    exports: Exports,
}

/// A place with a collection `c` of many records.
async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let (objects, collections) = (objects(dir.path()), Collections::open(dir.path()).unwrap());
    let bulk = Bulk::new(objects.clone(), collections.clone(), Options::default());
    let exports = Exports::new(objects, collections);
    let create =
        |n: u64| json!({ "op": "create", "key": format!("k{n:05}"), "record": { "n": n } });
    change(&bulk, "r0", (0..RECORDS).map(create), dir.path()).await;
    World { dir, bulk, exports }
}

#[tokio::test]
async fn an_export_is_of_one_moment_and_is_published_once() {
    let World { dir, bulk, exports } = world().await;
    let line = |n: u64| {
        let version = n + 1;
        format!("{{\"key\":\"k{n:05}\",\"version\":{version},\"record\":{{\"n\":{n}}}}}\n")
    };
    let expected: String = (0..RECORDS).map(line).collect();
    let asked = request("c", "all.ndjson");
    let mut stopping: Caller<()> = Caller {
        stop_at: Some(2),
        ..Caller::default()
    };
    let stopped = exports.run(&job("r1", 1, &asked), &mut stopping).await;
    assert!(matches!(stopped, Ok(Ended::Stopped)), "{stopped:?}");
    assert_eq!(get(dir.path(), "all.ndjson"), None);
    let mut meddling = Meddling {
        bulk: &bulk,
        dir: dir.path(),
        pages: 0,
    };
    for claim in [2, 3] {
        let ended = exports.run(&job("r1", claim, &asked), &mut meddling).await;
        let Ok(Ended::Finished(outcome)) = ended else {
            panic!("claim {claim}: {ended:?}")
        };
        let found = get(dir.path(), "all.ndjson").unwrap();
        assert!(found == expected, "claim {claim}: {} bytes", found.len());
        let said = Outcome {
            collection: "c".to_owned(),
            records: RECORDS,
            output: "all.ndjson".to_owned(),
            bytes: found.len() as u64,
        };
        assert_eq!(outcome, said);
    }
    bulk.abandon(&id("r1")).await.unwrap();
    for (collection, output) in [("c", "emptied.ndjson"), ("never", "never.ndjson")] {
        let job = job("r2", 1, &request(collection, output));
        let ended = exports.run(&job, &mut Caller::default()).await;
        assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
        assert_eq!(get(dir.path(), output).as_deref(), Some(""));
        bulk.abandon(&id("r2")).await.unwrap();
    }
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_exported_is_refused_by_name() {
    let World { dir, exports, .. } = world().await;
    put(dir.path(), "there.ndjson", "");
    for (collection, output, expected) in [
        (
            "a/b",
            "x.ndjson",
            "invalid /payload/collection is not 1 to 64 of `[A-Za-z0-9._-]`, or begins with a dot",
        ),
        (
            "c",
            "x.csv",
            "invalid /payload/output/name does not end in `.ndjson` or `.jsonl`",
        ),
        (
            "c",
            "there.ndjson",
            "conflict: the output `there.ndjson` exists, and `overwrite` is not set",
        ),
    ] {
        let job = job("r3", 1, &request(collection, output));
        let refused = exports.precheck(&tenant(), &job.request).await;
        assert_eq!(said(&refused.unwrap_err()), expected);
        let ran = exports.run(&job, &mut Caller::default()).await;
        assert_eq!(said(&ran.unwrap_err()), expected);
    }
}
