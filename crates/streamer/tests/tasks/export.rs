//! A collection comes in; the object holds all of it in the order of keys, as it was at one moment.

use std::path::Path;

use serde_json::{Value, json};
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Options};
use streamer::tasks::claim::{Ended, Flow, Hooks};
use streamer::tasks::export_collection::{Exports, Outcome};

use crate::place::{Caller, Kind, at_each_kind, get, id, job, left, objects, put, said, tenant};

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

/// Makes one of these changes whenever the first page is written, the last one first.
struct Meddling<'a> {
    bulk: &'a Bulk,
    dir: &'a Path,
    changes: Vec<Vec<Value>>,
}

/// A record of the last page.
const LAST: u64 = RECORDS - 1;

fn update(n: u64) -> Value {
    json!({ "op": "update", "key": key(n), "record": { "n": "new" } })
}

impl Hooks<()> for Meddling<'_> {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, _: f64, message: &str) -> Flow {
        if message.starts_with("100 of ")
            && let Some(items) = self.changes.pop()
        {
            let name = format!("m{}", self.changes.len());
            change(self.bulk, &name, items.into_iter(), self.dir).await;
        }
        Flow::Continue
    }

    async fn checkpoint(&mut self, (): &()) -> Flow {
        Flow::Continue
    }
}

fn key(n: u64) -> String {
    format!("k{n:05}")
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
async fn world(kind: Kind) -> World {
    let dir = tempfile::tempdir().unwrap();
    let (objects, collections) = (objects(dir.path()), kind.collections(dir.path()).await);
    let bulk = Bulk::new(objects.clone(), collections.clone(), Options::default());
    let exports = Exports::new(objects, collections);
    let create = |n: u64| json!({ "op": "create", "key": key(n), "record": { "n": n } });
    change(&bulk, "r0", (0..RECORDS).map(create), dir.path()).await;
    World { dir, bulk, exports }
}

at_each_kind!(
    an_export_is_of_one_moment_and_is_published_once,
    what_cannot_be_exported_is_refused_by_name,
);

fn line(n: u64) -> String {
    let (key, version) = (key(n), n + 1);
    format!("{{\"key\":\"{key}\",\"version\":{version},\"record\":{{\"n\":{n}}}}}\n")
}

async fn an_export_is_of_one_moment_and_is_published_once(kind: Kind) {
    let World { dir, bulk, exports } = world(kind).await;
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
        changes: vec![
            // Of what is read already.
            vec![update(1)],
            // Of that, and of what is not.
            vec![update(0), json!({ "op": "delete", "key": key(LAST) })],
        ],
    };
    let expected: Vec<String> = match kind {
        Kind::Embedded => (0..RECORDS).map(line).collect(),
        // What was read around the first changes is of no one moment; what was read around the second is of that before it.
        #[cfg(feature = "lambda")]
        Kind::Table => {
            let version = RECORDS + 1;
            let first = format!(
                "{{\"key\":\"k00000\",\"version\":{version},\"record\":{{\"n\":\"new\"}}}}\n"
            );
            let rest = (1..LAST).map(line);
            std::iter::once(first).chain(rest).collect()
        }
    };
    let (records, expected) = (expected.len() as u64, expected.concat());
    for claim in [2, 3] {
        let ended = exports.run(&job("r1", claim, &asked), &mut meddling).await;
        let Ok(Ended::Finished(outcome)) = ended else {
            panic!("claim {claim}: {ended:?}")
        };
        let found = get(dir.path(), "all.ndjson").unwrap();
        assert!(found == expected, "claim {claim}: {} bytes", found.len());
        let said = Outcome {
            collection: "c".to_owned(),
            records,
            output: "all.ndjson".to_owned(),
            bytes: found.len() as u64,
        };
        assert_eq!(outcome, said);
    }
    bulk.abandon(&id("r1")).await.unwrap();
    let deletes = (0..RECORDS).map(|n| json!({ "op": "delete", "key": key(n) }));
    change(&bulk, "emptying", deletes, dir.path()).await;
    for (collection, output) in [("c", "emptied.ndjson"), ("never", "never.ndjson")] {
        let job = job("r2", 1, &request(collection, output));
        let ended = exports.run(&job, &mut Caller::default()).await;
        assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
        assert_eq!(get(dir.path(), output).as_deref(), Some(""));
        bulk.abandon(&id("r2")).await.unwrap();
    }
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

async fn what_cannot_be_exported_is_refused_by_name(kind: Kind) {
    let World { dir, exports, .. } = world(kind).await;
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

/// A place without snapshots cannot have a moment of what never rests; it says so.
#[cfg(feature = "lambda")]
#[tokio::test]
async fn a_table_that_never_rests_is_not_exported() {
    if crate::tables::local().await.is_none() {
        return;
    }
    let World { dir, bulk, exports } = world(Kind::Table).await;
    let mut meddling = Meddling {
        bulk: &bulk,
        dir: dir.path(),
        changes: vec![vec![update(LAST)]; 7],
    };
    let job = job("r1", 1, &request("c", "all.ndjson"));
    let failure = exports.run(&job, &mut meddling).await.unwrap_err();
    assert!(failure.is_retryable());
    assert_eq!(
        said(&failure),
        "other: the collection `c` was changed each time it was read"
    );
    assert_eq!(meddling.changes.len(), 2, "it was read five times");
    assert_eq!(get(dir.path(), "all.ndjson"), None);
    meddling.changes.clear();
    let ended = exports.run(&job, &mut meddling).await;
    assert!(matches!(ended, Ok(Ended::Finished(_))), "{ended:?}");
    let found = get(dir.path(), "all.ndjson").unwrap();
    let changed = json!({ "key": key(LAST), "version": RECORDS + 5, "record": { "n": "new" } });
    let last: Value = serde_json::from_str(found.lines().last().unwrap()).unwrap();
    assert_eq!((found.lines().count() as u64, last), (RECORDS, changed));
}
