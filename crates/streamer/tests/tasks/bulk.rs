//! Changes come in, inline or as an object; records, outcomes and counts must be those of the rules.

use std::path::Path;

use serde_json::{Value, json};
use streamer::objects::Tenant;
use streamer::tasks::bulk_operation::{Bulk, Checkpoint, Collections, Options, Outcome, Page};
use streamer::tasks::claim::Ended;

use crate::place::{
    Caller, Held, Kind, at_each_kind, get, id, job, left, lines, objects, put, records, said,
    tenant,
};

struct World {
    dir: tempfile::TempDir,
    collections: Collections,
    options: Options,
    made: u64,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        objects(dir.path());
        let collections = kind.collections(dir.path()).await;
        Self {
            dir,
            collections,
            options: Options::default(),
            made: 0,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn bulk(&self) -> Bulk {
        let collections = self.collections.clone();
        Bulk::new(objects(self.path()), collections, self.options.clone())
    }

    async fn run(&mut self, request: &Value) -> Result<Outcome, String> {
        self.made += 1;
        let name = format!("r{}", self.made);
        let job = job(&name, 1, request);
        let bulk = self.bulk();
        let checked = bulk.precheck(&tenant(), &job.request).await;
        let ran = bulk.run(&job, &mut Caller::default()).await;
        bulk.abandon(&id(&name)).await.unwrap();
        assert_eq!(left(self.path()), Vec::<String>::new());
        if let Err(refused) = checked {
            let ran = ran.map_err(|failure| said(&failure)).unwrap_err();
            assert_eq!(ran, said(&refused), "the check and the run agree");
            return Err(ran);
        }
        match ran {
            Ok(Ended::Finished(outcome)) => Ok(outcome),
            Ok(Ended::Stopped) => panic!("nobody asked to stop"),
            Err(failure) => Err(said(&failure)),
        }
    }

    /// What became of each item of a list, in words.
    async fn outcomes(&mut self, items: Value) -> Vec<String> {
        let output = json!({ "name": "out.ndjson", "overwrite": true });
        let request = json!({ "collection": "c", "items": items, "output": output });
        let outcome = self.run(&request).await.unwrap();
        let lines = lines(self.path(), "out.ndjson");
        assert_eq!(outcome.items, lines.len() as u64);
        lines.iter().map(word).collect()
    }
}

fn word(line: &Value) -> String {
    let version = line
        .get("version")
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    format!("{}{version}", line["outcome"].as_str().unwrap())
}

fn held(of: &[(&str, u64, &str)]) -> Held {
    let records = of
        .iter()
        .map(|(key, version, text)| ((*key).to_owned(), (*version, (*text).to_owned())));
    records.collect()
}

at_each_kind!(
    each_change_meets_what_the_ones_before_it_left,
    an_object_of_lines_tells_of_each,
    a_reason_that_quotes_its_line_is_short,
    what_cannot_work_is_refused_by_name,
    limits_hold_by_name,
    another_tenant_and_another_collection_have_records_of_their_own,
    a_stop_anywhere_doubles_and_loses_nothing,
    an_older_claim_writes_no_more,
    an_input_that_changed_ends_the_request,
);

async fn each_change_meets_what_the_ones_before_it_left(kind: Kind) {
    let mut world = World::new(kind).await;
    let found = world
        .outcomes(json!([
            { "op": "create", "key": "a", "record": { "n": 1 } },
            { "op": "create", "key": "a", "record": { "n": 2 } },
            { "op": "update", "key": "b", "record": {} },
            { "op": "update", "key": "a", "record": { "n": 3 }, "if_version": 1 },
            { "op": "update", "key": "a", "record": { "n": 4 }, "if_version": 1 },
            { "op": "delete", "key": "a", "if_version": 1 },
            { "op": "delete", "key": "a", "if_version": 2 },
            { "op": "delete", "key": "a" },
            { "op": "create", "key": "a", "record": { "n": 5 } },
            { "op": "create", "key": "z", "record": { "deep": [{ "x": null }] } },
        ]))
        .await;
    let expected = [
        "created 1",
        "conflict 1",
        "not_found",
        "updated 2",
        "conflict 2",
        "conflict 2",
        "deleted",
        "not_found",
        "created 4",
        "created 5",
    ];
    assert_eq!(found, expected);
    let expected = held(&[("a", 4, r#"{"n":5}"#), ("z", 5, r#"{"deep":[{"x":null}]}"#)]);
    assert_eq!(records(&world.collections, "c").await, expected);

    // Across requests the same rules hold, and a version is never given out again.
    let found = world
        .outcomes(json!([
            { "op": "delete", "key": "a", "if_version": 1 },
            { "op": "delete", "key": "a", "if_version": 4 },
            { "op": "update", "key": "z", "record": {}, "if_version": 5 },
        ]))
        .await;
    assert_eq!(found, ["conflict 4", "deleted", "updated 7"]);
    assert_eq!(
        records(&world.collections, "c").await,
        held(&[("z", 7, "{}")])
    );
}

async fn an_object_of_lines_tells_of_each(kind: Kind) {
    let mut world = World::new(kind).await;
    world.options.record_bytes_max = 40;
    let exact = r#"{"n": 12345678901234567890.50, "é": 1}"#;
    let text = [
        "\u{feff}{\"op\":\"create\",\"key\":\"a\",\"record\":{}}\n",
        "\n  \t\r\n",
        &format!("{{\"op\":\"create\",\"key\":\"b\",\"record\":{exact}}}\r\n"),
        "{\"op\":\"create\",\"key\":\"a b\",\"record\":{}}\n",
        "{\"op\":\"create\",\"key\":\"c\",\"record\":[1]}\n",
        "{\"op\":\"create\",\"key\":\"c\"}\n",
        "{\"op\":\"delete\",\"key\":\"c\",\"record\":{}}\n",
        "{\"op\":\"create\",\"key\":\"c\",\"record\":{},\"if_version\":1}\n",
        "{\"op\":\"upsert\",\"key\":\"c\",\"record\":{}}\n",
        "{\"op\":\"create\",\"key\":\"c\",\"record\":{},\"more\":1}\n",
        "not JSON\n",
        &format!(
            "{{\"op\":\"create\",\"key\":\"c\",\"record\":{{\"n\":\"{}\"}}}}\n",
            "x".repeat(40)
        ),
        &format!(
            "{{\"op\":\"create\",\"key\":\"c\",\"record\":{{\"n\":\"{}\"}}}}\n",
            "x".repeat(900_000)
        ),
        "{\"op\":\"delete\",\"key\":\"a\"}",
    ]
    .concat();
    put(world.path(), "in.ndjson", text);
    let request =
        json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "out.ndjson" } });
    let outcome = world.run(&request).await.unwrap();
    let counts = json!({
        "collection": "c", "items": 13, "created": 2, "updated": 0, "deleted": 1, "conflicts": 0, "not_found": 0,
        "full": 0, "invalid": 10, "output": "out.ndjson", "bytes": get(world.path(), "out.ndjson").unwrap().len()
    });
    assert_eq!(serde_json::to_value(outcome).unwrap(), counts);
    assert_eq!(
        records(&world.collections, "c").await,
        held(&[("b", 2, exact)])
    );
    let lines = lines(world.path(), "out.ndjson");
    assert_eq!(
        lines[0],
        json!({ "item": 1, "line": 1, "op": "create", "key": "a", "outcome": "created", "version": 1 })
    );
    assert_eq!(
        lines[12],
        json!({ "item": 13, "line": 15, "op": "delete", "key": "a", "outcome": "deleted" })
    );
    check_reasons(&lines[2..12]);
}

fn check_reasons(lines: &[Value]) {
    let reasons: Vec<(u64, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["line"].as_u64().unwrap(),
                line["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let starts = [
        (5, "`key` is not 1 to 128 visible"),
        (6, "`record` is no object"),
        (7, "`record` is missing"),
        (8, "`record` does not belong"),
        (9, "`if_version` does not belong"),
        (10, "`op` is none of `create`, `update`, `delete`"),
        (11, "`more` is not known here"),
        (12, "is no JSON"),
        (13, "`record` is longer than 40 bytes"),
        (14, "the line is longer than 1064 bytes"),
    ];
    for ((line, reason), (expected, start)) in reasons.into_iter().zip(starts) {
        assert!(
            line == expected && reason.starts_with(start),
            "line {line}: {reason}"
        );
    }
}

async fn a_reason_that_quotes_its_line_is_short(kind: Kind) {
    let mut world = World::new(kind).await;
    let long = "é".repeat(10_000);
    put(
        world.path(),
        "in.ndjson",
        format!("{{\"op\":\"{long}\",\"key\":\"a\"}}\n"),
    );
    let output = json!({ "name": "out.ndjson" });
    let request = json!({ "collection": "c", "input": "in.ndjson", "output": output });
    let outcome = world.run(&request).await.unwrap();
    assert_eq!(outcome.counts.invalid, 1);
    assert!(outcome.bytes < 300, "{} bytes", outcome.bytes);
}

async fn what_cannot_work_is_refused_by_name(kind: Kind) {
    let mut world = World::new(kind).await;
    put(world.path(), "in.ndjson", "");
    put(world.path(), "there.ndjson", "");
    let out = json!({ "name": "out.ndjson" });
    let item = json!({ "op": "delete", "key": "a" });
    for (request, expected) in [
        (
            json!({ "collection": "c", "output": out }),
            "invalid /payload has neither `items` nor `input`",
        ),
        (
            json!({ "collection": "c", "items": [], "input": "in.ndjson", "output": out }),
            "invalid /payload has both `items` and `input`",
        ),
        (
            json!({ "collection": "a#b", "items": [], "output": out }),
            "invalid /payload/collection is not 1 to 64 of `[A-Za-z0-9._-]`, or begins with a dot",
        ),
        (
            json!({ "collection": "..", "items": [], "output": out }),
            "invalid /payload/collection is not 1 to 64 of `[A-Za-z0-9._-]`, or begins with a dot",
        ),
        (
            json!({ "collection": "c", "items": [item, { "op": "update", "key": "" }, { "op": "update", "key": "k" }], "output": out }),
            "invalid /payload/items/1/key is not 1 to 128 visible ASCII characters; /payload/items/2/record is missing",
        ),
        (
            json!({ "collection": "c", "input": "gone.ndjson", "output": out }),
            "not found: there is no object `gone.ndjson`",
        ),
        (
            json!({ "collection": "c", "input": "in.csv", "output": out }),
            "invalid /payload/input does not end in `.ndjson` or `.jsonl`",
        ),
        (
            json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "in.ndjson" } }),
            "invalid /payload/output/name is the name of the input",
        ),
        (
            json!({ "collection": "c", "items": [item], "output": { "name": "there.ndjson" } }),
            "conflict: the output `there.ndjson` exists, and `overwrite` is not set",
        ),
    ] {
        assert_eq!(
            world.run(&request).await.unwrap_err(),
            expected,
            "{request}"
        );
    }
}

async fn limits_hold_by_name(kind: Kind) {
    let mut world = World::new(kind).await;
    (
        world.options.items_max,
        world.options.records_max,
        world.options.collections_max,
    ) = (4, 2, 2);
    let create = |key: &str| json!({ "op": "create", "key": key, "record": {} });
    let found = world
        .outcomes(json!([create("a"), create("b"), create("c"), create("a")]))
        .await;
    assert_eq!(found, ["created 1", "created 2", "full", "conflict 1"]);
    let found = world
        .outcomes(json!([{ "op": "delete", "key": "a" }, create("c")]))
        .await;
    assert_eq!(found, ["deleted", "created 4"]);

    let text = format!("{}\n", create("x")).repeat(5);
    put(world.path(), "in.ndjson", text);
    let request =
        json!({ "collection": "d", "input": "in.ndjson", "output": { "name": "o.ndjson" } });
    assert_eq!(world.run(&request).await.unwrap_err(), "limit items_max 4");
    assert_eq!(
        records(&world.collections, "d").await,
        Held::new(),
        "nothing was applied"
    );

    world.options.input_bytes_max = 10;
    assert_eq!(
        world.run(&request).await.unwrap_err(),
        "limit input_bytes_max 10"
    );

    let into = |name: &str| {
        let output = json!({ "name": format!("{name}.ndjson") });
        json!({ "collection": name, "items": [create("a")], "output": output })
    };
    world.run(&into("second")).await.unwrap();
    assert_eq!(
        world.run(&into("third")).await.unwrap_err(),
        "limit collections_max 2"
    );
    world.options.collections_max = 3;
    world.run(&into("third")).await.unwrap();
}

async fn another_tenant_and_another_collection_have_records_of_their_own(kind: Kind) {
    let mut world = World::new(kind).await;
    world
        .outcomes(json!([{ "op": "create", "key": "a", "record": {} }]))
        .await;
    let other = Tenant::parse("acme2").unwrap();
    let mut view = world.collections.view(&other, "c").await.unwrap();
    assert_eq!(view.next(10).await.unwrap(), Page::End);
    for collection in ["c.", "cc", "C"] {
        assert_eq!(records(&world.collections, collection).await, Held::new());
    }
}

async fn a_stop_anywhere_doubles_and_loses_nothing(kind: Kind) {
    // Every change depends on those before it: doubled or left out, the outcomes differ.
    let items: Vec<Value> = (0..40)
        .map(|n| match n % 4 {
            0 => json!({ "op": "create", "key": format!("k{}", n / 8), "record": { "n": n } }),
            1 => json!({ "op": "update", "key": format!("k{}", n / 8), "record": { "n": n }, "if_version": n }),
            2 => json!({ "op": "delete", "key": format!("k{}", n / 8) }),
            _ => json!({ "op": "create", "key": format!("k{}", n / 8), "record": { "n": n } }),
        })
        .collect();
    let text: String = items.iter().map(|item| format!("{item}\n")).collect();
    let mut seen: Option<(String, Held)> = None;
    for stop_at in 1..=24 {
        for inline in [true, false] {
            let mut world = World::new(kind).await;
            world.options.batch_items = 2;
            put(world.path(), "in.ndjson", &text);
            let mut request = json!({ "collection": "c", "output": { "name": "out.ndjson" } });
            match inline {
                true => request["items"] = json!(items),
                false => request["input"] = json!("in.ndjson"),
            }
            let mut caller: Caller<Checkpoint> = Caller {
                stop_at: Some(stop_at),
                ..Caller::default()
            };
            let bulk = world.bulk();
            let first = bulk
                .run(&job("r1", 1, &request), &mut caller)
                .await
                .unwrap();
            assert!(matches!(first, Ended::Stopped), "stop {stop_at}");
            for claim in [2, 3] {
                let ended = bulk
                    .run(&job("r1", claim, &request), &mut Caller::default())
                    .await
                    .unwrap();
                assert!(
                    matches!(ended, Ended::Finished(_)),
                    "stop {stop_at}, claim {claim}"
                );
            }
            let lines = lines(world.path(), "out.ndjson");
            let outcomes = lines.iter().map(word).collect::<Vec<_>>().join(", ");
            let now = (outcomes, records(&world.collections, "c").await);
            assert_eq!(
                seen.get_or_insert_with(|| now.clone()),
                &now,
                "stop {stop_at}, inline {inline}"
            );
            bulk.abandon(&id("r1")).await.unwrap();
            assert_eq!(left(world.path()), Vec::<String>::new());
        }
    }
}

async fn an_older_claim_writes_no_more(kind: Kind) {
    let world = World::new(kind).await;
    let request = json!({ "collection": "c", "items": [{ "op": "create", "key": "a", "record": {} }], "output": { "name": "out.ndjson" } });
    let stop = || Caller::<Checkpoint> {
        stop_at: Some(1),
        ..Caller::default()
    };
    world
        .bulk()
        .run(&job("r1", 2, &request), &mut stop())
        .await
        .unwrap();
    let older = world
        .bulk()
        .run(&job("r1", 1, &request), &mut Caller::default())
        .await
        .unwrap();
    assert!(
        matches!(older, Ended::Stopped),
        "claim 1 after claim 2: {older:?}"
    );
}

async fn an_input_that_changed_ends_the_request(kind: Kind) {
    let world = World::new(kind).await;
    put(
        world.path(),
        "in.ndjson",
        "{\"op\":\"create\",\"key\":\"a\",\"record\":{}}\n",
    );
    let request =
        json!({ "collection": "c", "input": "in.ndjson", "output": { "name": "out.ndjson" } });
    let mut caller: Caller<Checkpoint> = Caller {
        stop_at: Some(1),
        ..Caller::default()
    };
    world
        .bulk()
        .run(&job("r1", 1, &request), &mut caller)
        .await
        .unwrap();
    put(
        world.path(),
        "in.ndjson",
        "{\"op\":\"create\",\"key\":\"other\",\"record\":{}}\n",
    );
    let failure = world
        .bulk()
        .run(&job("r1", 2, &request), &mut Caller::default())
        .await
        .unwrap_err();
    assert_eq!(
        said(&failure),
        "changed: the input `in.ndjson` was changed while it was being processed"
    );
}

#[tokio::test]
async fn collections_are_opened_once_and_by_their_format() {
    let world = World::new(Kind::Embedded).await;
    let again = Collections::open(world.path()).unwrap_err().to_string();
    assert!(
        again.ends_with("/collections` is in use by this or another process"),
        "{again}"
    );
    let World {
        dir, collections, ..
    } = world;
    drop(collections);
    Collections::open(dir.path()).unwrap();
    std::fs::write(
        dir.path().join("collections/FORMAT"),
        "streamer-collections 2\n",
    )
    .unwrap();
    let error = lift::error::chain(&Collections::open(dir.path()).unwrap_err());
    assert!(
        error.contains("their format is `streamer-collections 2`"),
        "{error}"
    );
    std::fs::write(
        dir.path().join("collections/FORMAT"),
        "streamer-collections 1\n",
    )
    .unwrap();
    let tree = dir.path().join("collections/db/keyspaces/1");
    let current = std::fs::read(tree.join("current")).unwrap();
    let version = u64::from_le_bytes(current[..8].try_into().unwrap());
    let list = tree.join(format!("v{version}"));
    let whole = std::fs::read(&list).unwrap();
    for at in (0..whole.len()).step_by(31) {
        let mut bent = whole.clone();
        bent[at] ^= 0x10;
        std::fs::write(&list, bent).unwrap();
        let error = lift::error::chain(&Collections::open(dir.path()).unwrap_err());
        assert!(error.contains("has another checksum"), "{error}");
    }
    std::fs::write(&list, whole).unwrap();
    // The database's own table of keyspaces: one byte of how many sections it has.
    let table = dir.path().join("collections/db/keyspaces/0/tables/0");
    let whole = std::fs::read(&table).unwrap();
    let contents = whole.windows(4).rposition(|four| four == b"TOC!").unwrap();
    let mut bent = whole.clone();
    bent[contents + 7] ^= 0x80;
    std::fs::write(&table, bent).unwrap();
    let error = lift::error::chain(&Collections::open(dir.path()).unwrap_err());
    assert!(error.contains(table.to_str().unwrap()), "{error}");
    std::fs::write(&table, whole).unwrap();
    let journals = std::fs::read_dir(dir.path().join("collections/db")).unwrap();
    let journals = journals.map(|entry| entry.unwrap().path());
    for journal in journals.filter(|path| path.extension().is_some_and(|end| end == "jnl")) {
        std::fs::remove_file(journal).unwrap();
    }
    let error = lift::error::chain(&Collections::open(dir.path()).unwrap_err());
    assert!(error.contains("their files are missing"), "{error}");
    std::fs::remove_dir_all(dir.path().join("collections/db")).unwrap();
    let error = lift::error::chain(&Collections::open(dir.path()).unwrap_err());
    assert!(error.contains("their files are missing"), "{error}");
}
