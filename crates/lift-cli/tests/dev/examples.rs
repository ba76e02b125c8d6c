//! The examples of all languages, the same conversation with each.

use std::process::Command;
use std::sync::Mutex;

use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::running::{Running, root};

/// Builds run one at a time: two cores are no help to four compilers.
static BUILDING: Mutex<()> = Mutex::new(());

/// What a language's dependencies need before its functions run.
fn prepare(language: &str, program: &str, arguments: &[&str]) {
    let _one = BUILDING.lock();
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root().join("examples").join(language))
        .status()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

async fn check(language: &str) {
    let template = root().join("examples").join(language).join("template.yaml");
    let mut running = Running::start(&template, &["--dynamodb", "local", "--watch", "off"]).await;
    let notice = running.entry("notice").await;
    let text = notice["text"].as_str().unwrap();
    let expected = "DynamoDB Local is at http://127.0.0.1:";
    assert!(text.starts_with(expected), "{text}");

    for refused in ["", "?token=guess"] {
        match running.try_client(refused).await {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 401, "{refused}")
            }
            other => panic!("{refused}: {:?}", other.map(|_| "accepted")),
        }
    }
    let mut client = running.client("?token=let-me-in").await;
    let echo = json!({ "action": "echo", "text": "hello" }).to_string();
    client.send(&echo).await;
    assert_eq!(client.next().await, echo);
    client
        .send(&json!({ "action": "post", "text": "posted" }).to_string())
        .await;
    assert_eq!(client.next().await, "posted");
    client.send(&json!({ "action": "gone" }).to_string()).await;
    assert_eq!(client.next().await, "GoneException");
    client
        .send(&json!({ "action": "nothing" }).to_string())
        .await;
    assert_eq!(client.next().await, "no action nothing");
    client
        .send(&json!({ "action": "note", "id": language, "text": "this" }).to_string())
        .await;
    assert_eq!(client.next().await, "kept this");
    let batch = running.line(|line| line["kind"] == "batch").await;
    assert_eq!(
        (&batch["records"], &batch["outcome"]),
        (&json!(1), &json!("ok"))
    );
    assert_eq!(running.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_functions_answer_post_authorize_and_consume() {
    prepare(
        "python",
        "sh",
        &[
            "-c",
            "[ -d .venv ] || { python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt; }",
        ],
    );
    check("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_functions_answer_post_authorize_and_consume() {
    prepare(
        "node",
        "sh",
        &[
            "-c",
            "[ -d node_modules ] || npm install --no-audit --no-fund --silent",
        ],
    );
    check("node").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go_functions_answer_post_authorize_and_consume() {
    check("go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_functions_answer_post_authorize_and_consume() {
    check("rust").await;
}
