//! A process that applies changes is killed with SIGKILL again and again; what it leaves must be as if it had never been.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Collections, Options};
use streamer::tasks::claim::{Ended, Flow, Hooks};

use crate::place::{Held, id, job, left, lines, objects, put, records};

const DIR: &str = "STREAMER_TEST_BULK_DIR";
const CLAIM: &str = "STREAMER_TEST_BULK_CLAIM";
const ITEMS: u64 = 2_000;
const BATCH: usize = 16;

fn bulk(dir: &Path) -> (Bulk, Collections) {
    let collections = Collections::open(dir).unwrap();
    let options = Options {
        batch_items: BATCH,
        ..Options::default()
    };
    (
        Bulk::new(objects(dir), collections.clone(), options),
        collections,
    )
}

fn request() -> Value {
    json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "out.ndjson" } })
}

/// Says when something is on the disk, so that the parent knows what to expect and when to kill.
struct Telling;

impl Hooks<Checkpoint> for Telling {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, _: f64, message: &str) -> Flow {
        eprintln!("told: {message}");
        Flow::Continue
    }

    async fn checkpoint(&mut self, _: &Checkpoint) -> Flow {
        Flow::Continue
    }
}

/// Not a test of its own: the process that is killed. Without its variables it has nothing to do.
#[tokio::test]
async fn the_process_that_is_killed() {
    let (Some(dir), Some(claim)) = (std::env::var_os(DIR), std::env::var_os(CLAIM)) else {
        return;
    };
    let (bulk, _) = bulk(Path::new(&dir));
    let claim = claim.to_str().unwrap().parse().unwrap();
    let job = job("r1", claim, &request());
    let ended = bulk.run(&job, &mut Telling).await.unwrap();
    assert!(matches!(ended, Ended::Finished(_)));
}

/// Kills a claim once it has told of `after` things; how many changes it had told of, and whether it was killed.
fn killed(dir: &Path, claim: u64, after: u64) -> (u64, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::the_process_that_is_killed", "--nocapture"])
        .envs([(DIR, dir.as_os_str()), (CLAIM, claim.to_string().as_ref())])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut applied) = (0, 0);
    for line in BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        let Some(message) = line.strip_prefix("told: ") else {
            continue;
        };
        if let Some((done, _)) = message.split_once(" of ") {
            applied = done.parse().unwrap();
        }
        told += 1;
        if told == after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    (applied, !status.success())
}

/// A key's record is made, replaced and removed in turn, each time by the version that came before: done twice
/// or left out, a change and those after it would come out otherwise.
fn item(n: u64) -> Value {
    let key = format!("k{}", n % 50);
    let record = json!({ "n": n, "text": "x".repeat(100) });
    match n / 50 % 3 {
        0 => json!({ "op": "create", "key": key, "record": record }),
        1 => json!({ "op": "update", "key": key, "record": record, "if_version": n + 1 - 50 }),
        _ => json!({ "op": "delete", "key": key, "if_version": n + 1 - 50 }),
    }
}

/// What the first `count` changes leave.
fn after(count: u64) -> Held {
    let mut records = Held::new();
    for n in 0..count {
        let item = item(n);
        let key = item["key"].as_str().unwrap().to_owned();
        match item.get("record") {
            Some(record) => records.insert(key, (n + 1, record.to_string())),
            None => records.remove(&key),
        };
    }
    records
}

#[tokio::test]
async fn a_killed_process_doubles_and_loses_nothing() {
    let text: String = (0..ITEMS).map(|n| format!("{}\n", item(n))).collect();
    let dir = tempfile::tempdir().unwrap();
    objects(dir.path());
    put(dir.path(), "in.ndjson", &text);
    let (mut claim, mut applied, mut kills) = (0, 0, 0);
    loop {
        claim += 1;
        let (now, was_killed) = killed(dir.path(), claim, 1 + claim * 3);
        // When all are applied, what is left is to publish.
        let moved = now > applied || applied == ITEMS;
        assert!(moved, "claim {claim} went on from {applied}: {now}");
        applied = applied.max(now);
        if !was_killed {
            break;
        }
        kills += 1;
        let (_, collections) = bulk(dir.path());
        let found = records(&collections, "c").await;
        let whole = (applied..=ITEMS)
            .step_by(BATCH)
            .any(|count| after(count) == found);
        assert!(
            whole,
            "claim {claim}: {applied} were told of, and {found:?} is there"
        );
    }
    assert!(kills >= 4, "{kills} kills");
    let (bulk, collections) = bulk(dir.path());
    assert_eq!(records(&collections, "c").await, after(ITEMS));
    let lines = lines(dir.path(), "out.ndjson");
    assert_eq!(lines.len() as u64, ITEMS);
    for (n, line) in (0..).zip(&lines) {
        let item = item(n);
        assert_eq!((&line["item"], &line["key"]), (&json!(n + 1), &item["key"]));
        let done = format!("{}d", item["op"].as_str().unwrap());
        assert_eq!(line["outcome"], done, "{line}");
    }
    bulk.abandon(&id("r1")).await.unwrap();
    assert_eq!(left(dir.path()), Vec::<String>::new());
}
