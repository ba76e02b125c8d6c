//! What happens to connections. Out: its lines, for programs and for people.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::running::{Client, Running, project, within};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$connect" = "talk"
"$disconnect" = "talk"
"$default" = { function = "talk", two_way = true }

[function.talk]
runtime = "python3.12"
handler = "app.handler"
code = "."
"#;

const CODE: &str = "
import os
def handler(event, context):
    query = event.get('queryStringParameters') or {}
    if query.get('token') == 'no':
        return {'statusCode': 403}
    if event.get('body') == 'exit':
        os._exit(3)
    return {'statusCode': 200, 'body': event.get('body') or ''}
";

fn home() -> tempfile::TempDir {
    project(&[("lift.toml", TEMPLATE), ("app.py", CODE)])
}

/// An entry as it is the same in every run.
fn same(mut entry: Value, connection: &str) -> Value {
    let fields = entry.as_object_mut().unwrap();
    assert!(fields.remove("at_ms").unwrap().as_u64() > Some(1_700_000_000_000));
    for name in ["request_id", "took_us", "cold_us"] {
        fields.remove(name);
    }
    if let Some(id) = fields.remove("connection") {
        assert_eq!(id, connection);
    }
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_connection_is_told_in_order() {
    let home = home();
    let mut running = Running::start(&home.path().join("lift.toml"), &[]).await;
    assert!(running.try_client("?token=no").await.is_err());
    let refused = running.entry("connected").await;
    assert_eq!(
        same(refused, ""),
        json!({ "kind": "connected", "api": "chat", "status": 403 })
    );

    let mut client = running.client("").await;
    let begun = running.entry("connected").await;
    let id = begun["connection"].as_str().unwrap().to_owned();
    assert_eq!(
        same(begun, &id),
        json!({ "kind": "connected", "api": "chat", "status": 101 })
    );
    let (esc, long) = ("a\u{1b}[2Jb\n", "x".repeat(1_000));
    client.send(esc).await;
    assert_eq!(client.next().await, esc);
    assert_eq!(running.post(&id, &long).await, 200);
    assert_eq!(client.next().await, long);
    client.close(4001, "enough").await;

    let frame = |direction: &str, bytes: usize, preview: &str| {
        json!({
            "kind": "frame", "api": "chat", "opcode": "text",
            "direction": direction, "bytes": bytes, "preview": preview,
        })
    };
    let invocation = |cause: &str| json!({ "kind": "invocation", "function": "talk", "cause": cause, "outcome": "ok" });
    let short = format!("{}…", "x".repeat(60));
    let expected = [
        frame("in", 7, "a·[2Jb·"),
        invocation("$default"),
        frame("out", 7, "a·[2Jb·"),
        json!({ "kind": "management", "api": "chat", "method": "POST", "bytes": 1_000, "status": 200 }),
        frame("out", 1_000, &short),
        json!({ "kind": "closed", "api": "chat", "by": "client", "code": 4001, "reason": "enough" }),
        invocation("$disconnect"),
    ];
    let mut told = Vec::new();
    for _ in &expected {
        told.push(same(
            running.line(|line| line["kind"] != "notice").await,
            &id,
        ));
    }
    // A post's answer and its frame go two ways.
    if told[3]["kind"] == "frame" {
        told.swap(3, 4);
    }
    assert_eq!(told, expected);
    running.stop().await;
}

/// `lift dev` as a person runs it: its lines on stderr, and a client of the API that it names first.
struct Shown {
    child: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Shown {
    fn start(home: &tempfile::TempDir, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
        command
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(flags)
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = within("a line", self.lines.next_line()).await.unwrap();
        let line = line.expect("lift dev ended before its line");
        eprintln!("{line}");
        line
    }

    async fn client(&mut self) -> Client {
        let first = self.line().await;
        let mut words = first.split_whitespace();
        assert_eq!(words.next(), Some("chat"), "{first}");
        Client::connect(words.next().unwrap()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_a_table() {
    let home = home();
    let mut shown = Shown::start(&home, &[]);
    let mut client = shown.client().await;
    while !shown
        .line()
        .await
        .starts_with("time (UTC)    event        of ")
    {}
    client.send("hello").await;
    assert_eq!(client.next().await, "hello");
    client.close(1000, "").await;
    let mut rows = Vec::new();
    while rows
        .last()
        .is_none_or(|row: &[String; 4]| row[0] != "$disconnect")
    {
        let line = shown.line().await;
        // `12:03:04.123`, then columns at places of their own.
        assert_eq!((&line[2..3], &line[8..9]), (":", "."), "{line}");
        let cut = |from: usize, to: usize| {
            let cut = line.get(from..to.min(line.len())).unwrap_or_default();
            cut.trim().to_owned()
        };
        rows.push([cut(14, 26), cut(48, 60), cut(61, 71), cut(73, usize::MAX)]);
    }
    rows.retain(|row| row[0] != "note");
    let columns = |row: &[String; 4]| match row[0].starts_with('$') {
        true => format!("{} {}", row[0], row[1]),
        false => row.join("|"),
    };
    let expected = [
        "$connect ok",
        "connected|101||chat",
        "text in||5 B|hello",
        "$default ok",
        "text out||5 B|hello",
        "closed|1000||by the client",
        "$disconnect ok",
    ];
    assert_eq!(rows.iter().map(columns).collect::<Vec<_>>(), expected);
    shown.child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_leaves_the_urls_and_what_is_wrong() {
    let home = home();
    let mut shown = Shown::start(&home, &["--quiet"]);
    let mut client = shown.client().await;
    client.send("exit").await;
    client.next().await;
    let line = shown.line().await;
    let expected = "Error: Runtime exited with error: exit status 3";
    assert!(
        line.contains("problem      function `talk`: RequestId: ") && line.ends_with(expected),
        "{line}"
    );
    shown.child.kill().await.unwrap();
}
