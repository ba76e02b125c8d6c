//! Answers that the gateway does not take, and messages that nobody does. Out: the line that says why.

use serde_json::{Value, json};

use crate::running::{Client, Running, project};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
authorizer = { function = "Auth" }
[api.chat.routes]
"$connect" = "Echo"
say = { function = "Echo", two_way = true }
tell = "Echo"

[function.Auth]
runtime = "python3.12"
handler = "app.auth"
code = "."
[function.Echo]
runtime = "python3.12"
handler = "app.echo"
code = "."
"#;

const CODE: &str = r#"
import json

def policy(effect, arn, action='execute-api:Invoke'):
    return {'Statement': [{'Effect': effect, 'Action': action, 'Resource': arn}]}

def allowed(**more):
    return {'principalId': 'me', 'policyDocument': policy('Allow', '*'), **more}

def auth(event, context):
    case = (event.get('queryStringParameters') or {}).get('auth')
    if case == 'raise':
        raise Exception('Unauthorized')
    return {
        None: allowed(),
        'http': {'isAuthorized': True},
        'list': allowed(context={'roles': ['a']}),
        'nobody': {'policyDocument': policy('Allow', '*')},
        'none': None,
        'other': {**allowed(), 'policyDocument': policy('Allow', 'arn:other')},
        'denied': {**allowed(), 'policyDocument': policy('Deny', '*')},
        'empty': {**allowed(), 'policyDocument': {}},
    }[case]

ANSWERS = {
    None: {'statusCode': 200},
    'text': {'statusCode': '200'},
    'ok': 'ok',
    'none': None,
    'nostatus': {'body': 'x'},
    'status': {'statusCode': 700},
    'forbidden': {'statusCode': 403},
    'object': {'statusCode': 200, 'body': {'a': 1}},
    'large': {'statusCode': 200, 'body': 'x' * 200 * 1024},
    'base64': {'statusCode': 200, 'body': '*', 'isBase64Encoded': True},
    'hello': {'statusCode': 200, 'body': 'hello'},
}

def echo(event, context):
    if 'body' in event:
        case = json.loads(event['body'])['case']
    else:
        case = (event.get('queryStringParameters') or {}).get('connect')
    if case == 'raise':
        raise ValueError('not today')
    return ANSWERS[case]
"#;

const RESPONSE: &str = r#"the answer must be like {"statusCode":200,"body":"text"}"#;
const POLICY: &str =
    r#"the answer must be like {"principalId":"who","policyDocument":{"Statement":[…]}}"#;

async fn start(flags: &[&str]) -> (Running, tempfile::TempDir) {
    let home = project(&[("lift.toml", TEMPLATE), ("app.py", CODE)]);
    let template = home.path().join("lift.toml");
    (Running::start(&template, flags).await, home)
}

/// The line that comes next, of those that `--quiet` leaves.
async fn next(running: &mut Running) -> String {
    let line = running.line(|_| true).await;
    assert_eq!(line["kind"], "problem", "{line}");
    line["text"].as_str().unwrap().to_owned()
}

async fn say(client: &mut Client, action: &str, case: &str) {
    let message = json!({ "action": action, "case": case });
    client.send(&message.to_string()).await;
}

/// A query, the status that its answer leads to, and how what is said begins.
fn refusals() -> Vec<(&'static str, u16, String)> {
    let connect = |reason: &str| format!("`$connect` of Echo: {reason}");
    let authorizer = |reason: &str| format!("authorizer Auth: {reason}");
    vec![
        (
            "connect=text",
            502,
            connect("`statusCode` must be a number, and it is a string"),
        ),
        (
            "connect=ok",
            502,
            connect(&format!("{RESPONSE}, and it is a string")),
        ),
        (
            "connect=none",
            502,
            connect(&format!("{RESPONSE}, and it is null")),
        ),
        (
            "connect=nostatus",
            502,
            connect(&format!("`statusCode` is missing: {RESPONSE}")),
        ),
        (
            "connect=status",
            502,
            connect("`statusCode` must be from 200 to 599, and it is 700"),
        ),
        (
            "connect=raise",
            502,
            "function `Echo`: ValueError: not today".to_owned(),
        ),
        (
            "auth=http",
            500,
            authorizer(&format!("`principalId` is missing: {POLICY}")),
        ),
        (
            "auth=list",
            500,
            authorizer("`context.roles` must be a string, a number or a boolean, and it is a list"),
        ),
        (
            "auth=nobody",
            500,
            authorizer(&format!("`principalId` is missing: {POLICY}")),
        ),
        (
            "auth=none",
            500,
            authorizer(&format!("{POLICY}, and it is null")),
        ),
        (
            "auth=empty",
            500,
            authorizer("the answer cannot be read: missing field `Statement`"),
        ),
        (
            "auth=other",
            403,
            authorizer(
                "the policy allows `execute-api:Invoke` on `arn:other`, and this connection is `execute-api:Invoke` on `arn:aws:execute-api:",
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_is_said_with_what_to_return_instead() {
    let (mut running, _home) = start(&["--quiet"]).await;
    for (query, status, expected) in refusals() {
        // What a function says no by is no problem: the next line is of the case.
        for meant in ["connect=forbidden", "auth=denied", "auth=raise"] {
            assert!(running.try_client(&format!("?{meant}")).await.is_err());
        }
        let refused = running.try_client(&format!("?{query}")).await;
        let refused = refused
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(refused.contains(&status.to_string()), "{query}: {refused}");
        let line = next(&mut running).await;
        assert!(line.starts_with(&expected), "{query}: {line}");
    }
    assert_eq!(running.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_frame_is_said_with_what_to_return_instead() {
    let (mut running, _home) = start(&["--quiet"]).await;
    let mut client = running.client("").await;
    let say_of = |reason: &str| format!("`say` of Echo: {reason}");
    let body = "has 204800 bytes, and a message has at most 131072";
    let cases = [
        (
            "say",
            "object",
            say_of("`body` must be a string, and it is an object"),
        ),
        (
            "say",
            "none",
            say_of(&format!("{RESPONSE}, and it is null")),
        ),
        (
            "say",
            "ok",
            say_of(&format!("{RESPONSE}, and it is a string")),
        ),
        ("say", "large", say_of(&format!("`body` {body}"))),
        (
            "say",
            "base64",
            say_of("`body` must be base64 where `isBase64Encoded` is true"),
        ),
        (
            "say",
            "raise",
            "function `Echo`: ValueError: not today".to_owned(),
        ),
        (
            "tell",
            "none",
            format!("`tell` of Echo: {RESPONSE}, and it is null"),
        ),
        (
            "shout",
            "ok",
            "API chat: no route takes a message whose `$request.body.action` is `shout`".to_owned(),
        ),
    ];
    for (action, case, expected) in cases {
        say(&mut client, "say", "hello").await;
        assert_eq!(client.next().await, "hello");
        say(&mut client, action, case).await;
        let error: Value = serde_json::from_str(&client.next().await).unwrap();
        let message = match action {
            "shout" => "Forbidden",
            _ => "Internal server error",
        };
        assert_eq!(error["message"], message, "{case}");
        let line = next(&mut running).await;
        assert!(line.starts_with(&expected), "{case}: {line}");
    }
    assert_eq!(running.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_goes_nowhere_and_a_wrong_path_are_noticed() {
    let (mut running, _home) = start(&[]).await;
    let mut client = running.client("").await;
    for _ in 0..2 {
        say(&mut client, "tell", "hello").await;
    }
    say(&mut client, "say", "hello").await;
    assert_eq!(client.next().await, "hello");
    let (status, _) = running.http("GET", "/prod", "").await;
    assert_eq!(status, 403);

    let expected = [
        "`tell` of Echo: its `body` goes nowhere".to_owned(),
        format!("API chat is not at `/prod`: it is at {}", running.urls[0]),
    ];
    for expected in expected {
        let is_meant = |line: &Value| {
            let text = line["text"].as_str().unwrap_or_default();
            line["kind"] == "notice" && !text.contains("awslambdaric")
        };
        let notice = running.line(is_meant).await;
        let text = notice["text"].as_str().unwrap();
        assert!(text.starts_with(&expected), "{text}");
    }
    assert_eq!(running.stop().await.code(), Some(0));
}
