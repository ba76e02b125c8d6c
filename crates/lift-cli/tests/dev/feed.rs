//! What happens to connections. Out: its lines, for programs and for people.

use serde_json::{Value, json};

use crate::running::{Running, Shown, project};

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
        frame("out", 1_000, &short),
        json!({ "kind": "closed", "api": "chat", "by": "client", "code": 4001, "reason": "enough" }),
        invocation("$disconnect"),
    ];
    let posted = json!({ "kind": "management", "api": "chat", "method": "POST", "bytes": 1_000, "status": 200 });
    let mut told = Vec::new();
    for _ in 0..=expected.len() {
        told.push(same(
            running.line(|line| line["kind"] != "notice").await,
            &id,
        ));
    }
    // A post is answered by HTTP and its frame goes to a socket: neither waits for the other.
    let (posts, told): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|line| line["kind"] == "management");
    assert_eq!(posts, [posted]);
    assert_eq!(told, expected);
    running.stop().await;
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
}

/// A runtime of its own that writes, and fails with, what a terminal would obey.
const HOSTILE: &str = r"
import http.client, json, os
def call(method, path, body=None):
    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
    connection.request(method, '/2018-06-01/runtime/invocation/' + path, body)
    response = connection.getresponse()
    response.read()
    return response
while True:
    id = call('GET', 'next').headers['Lambda-Runtime-Aws-Request-Id']
    print('a\x1b[2J\x9b2J\tb\x7fc\rd', flush=True)
    error = 'x\x1b]0;owned\x07\n12:00:00.000  note         all is well'
    call('POST', id + '/error', json.dumps({'errorType': error, 'errorMessage': 'no'}))
";

#[tokio::test(flavor = "multi_thread")]
async fn no_terminal_obeys_what_a_function_writes() {
    let python = r#"runtime = "python3.12"
handler = "app.handler""#;
    let template = TEMPLATE.replace(python, r#"command = ["python3", "app.py"]"#);
    let home = project(&[("lift.toml", &template), ("app.py", HOSTILE)]);
    let mut shown = Shown::start(&home, &[]);
    assert!(shown.try_client().await.is_err(), "`$connect` fails");
    let (mut log, mut invocation) = (String::new(), String::new());
    while log.is_empty() || invocation.is_empty() {
        let line = shown.line().await;
        let controls = |c: char| c.is_control() && c != '\t';
        assert!(!line.contains(controls), "{line:?}");
        assert!(!line.starts_with("12:00:00.000"), "{line}");
        if line.contains(r"talk | a\u") {
            log.clone_from(&line);
        }
        if line.contains("$connect") {
            invocation = line;
        }
    }
    let written = "talk | a\\u001b[2J\\u009b2J\tb\\u007fc\\u000dd";
    assert!(log.ends_with(written), "{log:?}");
    let outcome = "x\\u001b]0;owned\\u0007\\u000a12:00:00.000  note         all is well";
    assert!(invocation.contains(outcome), "{invocation:?}");
}

/// Built by a command that waits for the file `go`, after one that does not, and with a resource that
/// is skipped.
const BUILT: &str = r#"
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes: { $default: { FunctionArn: !GetAtt Fast.Arn } }
  Topic: { Type: AWS::SNS::Topic }
  Fast:
    Type: AWS::Serverless::Function
    Properties: { Runtime: python3.12, Handler: app.handler, CodeUri: . }
    Metadata: { Lift: { Build: 'echo fast' } }
  Slow:
    Type: AWS::Serverless::Function
    Properties: { Runtime: python3.12, Handler: app.handler, CodeUri: . }
    Metadata: { Lift: { Build: 'while [ ! -e go ]; do sleep 0.01; done' } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn json_begins_with_the_apis_and_goes_on_with_what_was_before() {
    let home = project(&[("template.yaml", BUILT), ("app.py", CODE), ("go", "")]);
    let template = home.path().join("template.yaml");
    // It takes the first line for an API.
    let mut running = Running::start(&template, &[]).await;
    for expected in ["template, line 10", "built in", "built in"] {
        let line = running.line(|_| true).await;
        let text = line["text"].as_str().unwrap_or_default();
        assert!(text.starts_with(expected), "{line}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_happens_before_the_apis_accept() {
    let home = project(&[("template.yaml", BUILT), ("app.py", CODE)]);
    let mut shown = Shown::start(&home, &[]);
    for expected in ["template, line 10", "built in"] {
        let line = shown.line().await;
        assert!(line.contains(&format!("note         {expected}")), "{line}");
    }
    std::fs::write(home.path().join("go"), "").unwrap();
    while !shown.line().await.starts_with("Chat  ws://") {}
}
