//! Deployments that work, work in part or not at all come in; a line for each check and an exit status come out.

use std::{fs, path::Path};

use serde_json::{Value, json};
use streamer_client::{
    options::Terms,
    request::{Outcome, Output, Submitted},
};
use tokio::task::JoinSet;

use crate::{
    live::{Holds, Live, token},
    run::{Transcript, alone, block_on, ended, lift, printed},
    server::{Connection, Server},
};

/// The checks in their order.
const CHECKS: [&str; 16] = [
    "no token",
    "garbled token",
    "connect",
    "ping",
    "echo",
    "health",
    "unknown action",
    "invalid json",
    "wrong payload",
    "processing",
    "request.get",
    "request.list",
    "resume",
    "idempotency",
    "not found",
    "cancel ended",
];

async fn smoke(url: &str, token: &str, args: &[&str]) -> Transcript {
    let args = [&["smoke", url, "--token", token], args].concat();
    ended(lift(&args).spawn().unwrap()).await
}

/// Each check's outcome and reason; the verdict is left out.
fn checks(run: &Transcript) -> Vec<(String, String, String)> {
    let lines = run.stdout.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {run:?}"));
        line
    });
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    lines
        .filter(|line| line["check"].is_string())
        .inspect(|line| assert!(line["took_ms"].as_f64().unwrap() >= 0.0, "{line}"))
        .map(|line| {
            (
                text(&line, "check"),
                text(&line, "outcome"),
                text(&line, "why"),
            )
        })
        .collect()
}

/// How each check came out, in their order.
fn outcomes(run: &Transcript) -> Vec<String> {
    let checks = checks(run);
    let names: Vec<_> = checks.iter().map(|(check, ..)| check.as_str()).collect();
    assert_eq!(names, CHECKS, "{run:?}");
    checks.into_iter().map(|(_, outcome, _)| outcome).collect()
}

fn why(run: &Transcript, check: &str) -> String {
    let found = checks(run).into_iter().find(|(name, ..)| name == check);
    found.unwrap().2
}

/// The result of a request of `ann`.
async fn result(server: &Live, data: &Path, action: &str, payload: &Value) -> Value {
    let client = server.client(data).await;
    let submitted = client.submit(action, payload, Terms::default()).await;
    let Ok(Submitted::Accepted(mut request)) = submitted else {
        panic!("{submitted:?}")
    };
    let outcome = request.outcome().await.unwrap();
    let Outcome::Complete(Output::Inline(result)) = outcome else {
        panic!("{outcome:?}")
    };
    client.close().await;
    serde_json::from_str(result.get()).unwrap()
}

#[test]
fn a_server_that_works_passes_every_check_and_keeps_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    block_on(async {
        let server = Live::start(&data).await;
        let file = dir.path().join("token");
        fs::write(&file, token(&data)).unwrap();
        let args = ["smoke", &server.url, "--token-file", file.to_str().unwrap()];
        let run = ended(lift(&args).spawn().unwrap()).await;
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
        let lines: Vec<_> = run.stdout.lines().collect();
        for (line, check) in lines.iter().zip(CHECKS) {
            assert!(line.starts_with(&format!("ok       {check:<16}")), "{line}");
        }
        let verdict = lines.last().unwrap();
        assert!(verdict.starts_with("16 of 16 checks passed in "), "{run:?}");

        // Again, because what the first run left must not be in the way of the next.
        let run = smoke(&server.url, &token(&data), &["--json"]).await;
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
        assert!(
            outcomes(&run).iter().all(|outcome| outcome == "ok"),
            "{run:?}"
        );
        let verdict: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
        let counts = (&verdict["passed"], &verdict["failed"], &verdict["skipped"]);
        assert_eq!(counts, (&json!(16), &json!(0), &json!(0)));

        let export = json!({"collection": "lift-smoke", "output": {"name": "left.ndjson"}});
        let left = result(&server, &data, "export_collection", &export).await;
        assert_eq!(left["records"], 0, "{left}");
        server.stop().await;
    });
}

#[test]
fn a_data_set_is_read_where_one_is_named_and_missed_where_records_have_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    block_on(async {
        let server = Live::holding(&data, Holds::ObjectsAlone).await;
        let objects = data.join("objects/acme");
        fs::create_dir_all(&objects).unwrap();
        fs::write(objects.join("orders.csv"), "id,n\n1,2\n2,3\n3,4\n").unwrap();
        let token = token(&data);

        let named = ["--json", "--data-set", "orders.csv"];
        let run = smoke(&server.url, &token, &named).await;
        assert_eq!(run.exit, Some(0), "{run:?}");
        assert!(
            outcomes(&run).iter().all(|outcome| outcome == "ok"),
            "{run:?}"
        );
        assert!(why(&run, "processing").ends_with("3 rows read"), "{run:?}");

        let run = smoke(&server.url, &token, &["--json"]).await;
        assert_eq!(run.exit, Some(0), "{run:?}");
        let skipped: Vec<_> = checks(&run)
            .into_iter()
            .filter(|(_, outcome, _)| outcome == "skipped")
            .map(|(check, ..)| check)
            .collect();
        let needs_a_request = [&CHECKS[9..14], &CHECKS[15..]].concat();
        assert_eq!(skipped, needs_a_request, "{run:?}");
        let told = why(&run, "processing");
        assert!(
            told.contains("no `bulk_operation` here: name an object with --data-set"),
            "{told}"
        );

        let missing = ["--json", "--data-set", "none.csv"];
        let run = smoke(&server.url, &token, &missing).await;
        assert_eq!(run.exit, Some(1), "{run:?}");
        assert!(why(&run, "processing").contains("NOT_FOUND"), "{run:?}");
        server.stop().await;
    });
}

#[test]
fn a_token_of_another_key_fails_the_connection_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    fs::create_dir(&other).unwrap();
    streamer::auth::Keys::open(&other.join("keys")).unwrap();
    block_on(async {
        let server = Live::start(&data).await;
        let run = smoke(&server.url, &token(&other), &["--json"]).await;
        assert_eq!(run.exit, Some(1), "{run:?}");
        let expected = [&["ok", "ok", "failed"][..], &["skipped"; 13]].concat();
        assert_eq!(outcomes(&run), expected, "{run:?}");
        assert!(why(&run, "connect").contains("status 401"), "{run:?}");
        assert!(why(&run, "echo").contains("no connection"), "{run:?}");
        assert!(
            run.stderr
                .contains("error: 1 of 16 checks failed\n  cause: connect\n"),
            "{run:?}"
        );
        server.stop().await;
    });
}

/// What a server chooses of the subprotocols offered.
#[derive(Clone, Copy)]
enum Chooses {
    Streamer,
    Nothing,
}

/// A run against a server that takes every connection, as long as the binary runs.
async fn against<S: Future<Output = ()> + Send + 'static>(
    args: &[&str],
    chooses: Chooses,
    serve: impl Fn(Connection) -> S,
) -> Transcript {
    let server = Server::bind().await;
    let mut connections = JoinSet::new();
    let serving = async {
        loop {
            let connection = match chooses {
                Chooses::Streamer => server.accept().await,
                Chooses::Nothing => server.accept_plain().await,
            };
            connections.spawn(serve(connection));
        }
    };
    tokio::select! {
        run = smoke(&server.url, "aaa.bbb.ccc", args) => run,
        () = serving => unreachable!("it serves for ever"),
    }
}

async fn echo(mut connection: Connection) {
    while let Some(text) = connection.hear_text_or_end().await {
        connection.say(&text).await;
    }
}

async fn say_nothing(connection: Connection) {
    connection.hear_end().await;
}

async fn close_at_the_first_message(mut connection: Connection) {
    if connection.hear_text_or_end().await.is_some() {
        connection.close(1011).await;
    }
}

#[test]
fn a_server_of_another_protocol_fails_every_check_that_can_be_made() {
    for (run, reason) in [
        (
            block_on(against(&["--json"], Chooses::Nothing, echo)),
            "is no message of `streamer.v1`",
        ),
        (
            block_on(against(
                &["--json", "--timeout", "200ms"],
                Chooses::Nothing,
                say_nothing,
            )),
            "in 200ms",
        ),
        (
            block_on(against(
                &["--json"],
                Chooses::Nothing,
                close_at_the_first_message,
            )),
            "the server closed with 1011",
        ),
    ] {
        assert_eq!(run.exit, Some(1), "{run:?}");
        let mut expected = vec!["failed"; CHECKS.len()];
        // What asks for a request needs that one was accepted.
        for of_a_request in [10, 11, 12, 13, 15] {
            expected[of_a_request] = "skipped";
        }
        assert_eq!(outcomes(&run), expected, "{run:?}");
        for check in ["no token", "garbled token"] {
            assert_eq!(why(&run, check), "the server lets it in");
        }
        assert!(
            why(&run, "connect").contains("does not choose `streamer.v1`"),
            "{run:?}"
        );
        for check in CHECKS[3..10].iter().chain(["not found"].iter()) {
            assert!(why(&run, check).contains(reason), "{check}: {run:?}");
        }
        assert!(
            run.stderr.starts_with("error: 11 of 16 checks failed\n"),
            "{run:?}"
        );
    }
}

/// Answers everything, and everything wrong.
async fn answer_wrong(mut connection: Connection) {
    while let Some(text) = connection.hear_text_or_end().await {
        let asked: Value = serde_json::from_str(&text).unwrap_or_default();
        let (id, request_id) = (&asked["id"], &asked["payload"]["request_id"]);
        let response = |data: Value| json!({"type": "response", "id": id, "data": data});
        let error =
            |code| json!({"type": "error", "id": id, "error": {"code": code, "message": "m"}});
        let complete = |seq, result| json!({"type": "complete", "id": "smoke-7", "request_id": "R1", "seq": seq, "result": result});
        let accepted = |request_id| json!({"type": "acknowledgment", "id": id, "request_id": request_id, "status": "queued"});
        let answers = match asked["action"].as_str() {
            Some("ping") if id == "smoke-1" => vec![response(json!(null))],
            Some("ping") => vec![json!({"type": "pong", "id": id})],
            // The number becomes a float.
            Some("echo") => vec![response(asked["payload"].clone())],
            Some("health") => vec![response(json!({"status": "degraded", "version": "1"}))],
            Some("bulk_operation") if id == "smoke-7" => vec![
                accepted("R1"),
                complete(1, json!({"created": 1, "deleted": 1})),
                complete(2, json!({"created": 1, "deleted": 1})),
            ],
            Some("bulk_operation") => vec![accepted("R2")],
            Some("request.get") if request_id == 17 => vec![error("VALIDATION_ERROR")],
            Some("request.get") => vec![response(json!({
                "request_id": "R1", "action": "bulk_operation", "state": "running", "attempt": 1,
                "created_at": "2026-11-25T10:00:00.000Z",
            }))],
            Some("request.list") => vec![response(json!({"requests": []}))],
            Some("request.resume") => {
                let entry = json!({"request_id": "R1", "state": "completed", "recovered": true});
                vec![
                    response(json!({"requests": [entry]})),
                    complete(1, json!({"created": 2})),
                ]
            }
            Some("request.cancel") => vec![response(
                json!({"request_id": "R1", "state": "cancelled", "cancel_requested": true}),
            )],
            Some(_) | None => vec![error("INTERNAL_ERROR")],
        };
        for answer in answers {
            connection.say(&answer.to_string()).await;
        }
    }
}

#[test]
fn each_wrong_answer_fails_its_own_check() {
    let run = block_on(against(&["--json"], Chooses::Streamer, answer_wrong));
    assert_eq!(run.exit, Some(1), "{run:?}");
    let mut expected = vec!["failed"; CHECKS.len()];
    expected[2] = "ok";
    assert_eq!(outcomes(&run), expected, "{run:?}");
    for (check, reason) in [
        ("ping", "`response` came, not pong"),
        ("echo", "came back as `{\"exact\":1.2345678901234567e"),
        ("health", "degraded"),
        (
            "unknown action",
            "`INTERNAL_ERROR: m` came, not UNKNOWN_ACTION",
        ),
        ("invalid json", "`INTERNAL_ERROR: m` came, not INVALID_JSON"),
        ("wrong payload", "does not name /payload/request_id"),
        ("processing", "complete twice, with `seq` 1 and 2"),
        ("request.get", "it is running, not completed"),
        ("request.list", "R1 is not in it"),
        ("resume", "another result than before"),
        ("idempotency", "it is another request, R2"),
        ("not found", "`response` came, not NOT_FOUND"),
        (
            "cancel ended",
            "it is cancelled, `cancel_requested` is true",
        ),
    ] {
        assert!(why(&run, check).contains(reason), "{check}: {run:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_one_error() {
    let url = "ws://127.0.0.1:1/";
    let run = alone(&["smoke", url, "--token", "t", "--timeout", "1s"], "");
    assert_eq!((run.exit, &*run.stdout), (Some(4), ""), "{run:?}");
    assert!(
        run.stderr
            .starts_with("error: cannot connect to `ws://127.0.0.1:PORT/`\n"),
        "{run:?}"
    );
    assert_eq!(run.stderr.matches("error:").count(), 1, "{run:?}");
}

#[test]
fn without_a_token_nothing_is_tried() {
    let stderr = [
        "error: there is no token to connect with",
        "  cause: neither --token-file nor --token nor LIFT_TOKEN is given",
        "  help: `lift token mint … > FILE` writes one",
    ];
    let run = alone(&["smoke", "ws://127.0.0.1:1/"], "");
    assert_eq!(run, printed(2, &[], &stderr));
}
