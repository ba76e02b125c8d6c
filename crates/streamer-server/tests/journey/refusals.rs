//! Bad input: each gets a typed answer that names what is wrong, and the connection stays open.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::server::{Data, deduplicate};

#[tokio::test]
async fn a_handshake_without_a_good_token_is_refused() {
    let data = Data::new();
    let server = data.serve().await;
    let token = data.token("ada", "acme");
    let unauthorized = (401, r#"{"message":"Unauthorized"}"#.to_owned());
    let bad = format!("Bearer {token}x");
    for headers in [
        vec![],
        vec![("authorization", bad.as_str())],
        vec![("authorization", "Basic x")],
    ] {
        let refused = server.try_connect("/", &headers).await.err();
        assert_eq!(refused, Some(unauthorized.clone()), "{headers:?}");
    }
    let good = format!("Bearer {token}");
    let elsewhere = server
        .try_connect("/elsewhere", &[("authorization", &good)])
        .await
        .err();
    assert_eq!(elsewhere.unwrap().0, 404);
    let entry = format!("streamer.v1, bearer.{token}");
    let socket = server
        .try_connect("/", &[("sec-websocket-protocol", &entry)])
        .await;
    assert!(socket.is_ok(), "a browser's token is a subprotocol");
}

async fn check(payload: Value, code: &str, pointer: Option<&str>) {
    let data = Data::new();
    data.orders(10);
    std::fs::write(data.object("acme", "taken.csv"), "x\n").unwrap();
    std::fs::write(data.object("other", "theirs.csv"), "x\n").unwrap();
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    let answer = ada.ask("process_data", payload).await;
    assert_eq!(answer["error"]["code"], code, "{answer}");
    if let Some(pointer) = pointer {
        assert_eq!(answer["error"]["fields"][0]["pointer"], pointer, "{answer}");
    }
    assert_eq!(
        ada.ask("echo", json!(1)).await["data"],
        1,
        "the connection stays open"
    );
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_it_is_acknowledged() {
    check(deduplicate("taken.csv"), "CONFLICT", None).await;
    let mut missing = deduplicate("a.csv");
    missing["input"] = json!("missing.csv");
    check(missing, "NOT_FOUND", None).await;
    let mut theirs = deduplicate("a.csv");
    theirs["input"] = json!("../other/theirs.csv");
    check(theirs, "VALIDATION_ERROR", Some("/payload/input")).await;
    check(
        deduplicate("../out.csv"),
        "VALIDATION_ERROR",
        Some("/payload/output/name"),
    )
    .await;
    let mut misspelt = deduplicate("a.csv");
    misspelt["opperations"] = json!([]);
    check(misspelt, "VALIDATION_ERROR", Some("/payload/opperations")).await;
    check(json!(null), "VALIDATION_ERROR", None).await;
}

fn fails(data: &Data, arrange: impl Fn(&mut std::process::Command), says: &str) {
    let mut command = data.command();
    arrange(&mut command);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains(says),
        "{stderr}"
    );
}

#[test]
fn wrong_settings_are_named_and_nothing_starts() {
    let data = Data::new();
    let file = data.path().join("streamer.toml");
    std::fs::write(&file, "listne = \"127.0.0.1:0\"\n").unwrap();
    fails(
        &data,
        |command| _ = command.arg("--config").arg(&file),
        "listne",
    );
    fails(
        &data,
        |command| _ = command.env("STREAMER_LISTNE", "x"),
        "STREAMER_LISTNE",
    );
    fails(
        &data,
        |command| _ = command.args(["--listen", "0.0.0.0:0"]),
        "--insecure",
    );
    fails(
        &data,
        |command| _ = command.args(["--tls-cert", "x.pem"]),
        "--tls-key",
    );
    fails(
        &data,
        |command| _ = command.args(["--request-timeout", "2d"]),
        "--request-timeout-max",
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_data_says_that_it_is_in_use() {
    let data = Data::new();
    let _server = data.serve().await;
    fails(
        &data,
        |command| _ = command.args(["--listen", "127.0.0.1:0"]),
        "in use",
    );
}

#[tokio::test]
async fn keys_are_private() {
    let data = Data::new();
    let _server = data.serve().await;
    let keys = std::fs::read_dir(data.path().join("keys")).unwrap();
    let pem = keys
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "pem"));
    let modes: Vec<u32> = pem
        .map(|path| path.metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600]);
}
