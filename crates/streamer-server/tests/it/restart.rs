//! A server that is told to stop, or killed, and one that takes over from it.

use serde_json::json;

use crate::support::connection::Connection;
use crate::support::home::Home;
use crate::support::{orders, within};

const CHECKPOINTS: [&str; 2] = ["--process-checkpoint-every", "50ms"];

#[tokio::test]
async fn sigterm_drains_and_the_next_server_goes_on() {
    let home = Home::new();
    let mut server = home.start(&CHECKPOINTS).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), 300_000, 1);
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let seen = ada.progress(&request).await;
    // It never answers the close frame, and so keeps the drain open for a while.
    let silent = server.connect(&token).await;
    server.terminate();
    let going_away = loop {
        let message = ada.next().await;
        if message["type"] != "progress" {
            break message;
        }
    };
    assert_eq!(going_away["type"], "going_away", "{going_away}");
    assert!(going_away["reconnect_after_ms"].is_u64(), "{going_away}");
    assert_eq!(server.get("/readyz", &[]).await.status, 503);
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
    assert_eq!(
        server
            .upgrade("/", &[("authorization", &format!("Bearer {token}"))])
            .await
            .status,
        503
    );
    assert_eq!(ada.closed().await, 1012);
    drop(silent);
    let ended = server.ended().await;
    assert!(ended.success(), "{ended}: {}", home.logged());

    let server = home.start_at(&server.address, &[], &CHECKPOINTS).await;
    let mut ada = server.connect(&token).await;
    assert_eq!(
        ada.resume(&request, seen["seq"].as_u64().unwrap()).await["recovered"],
        true
    );
    let end = ada.ended(&request).await;
    assert_eq!(end.message["type"], "complete", "{}", end.message);
    let floor = seen["percentage"].as_f64();
    assert!(
        end.progress
            .iter()
            .all(|progress| progress["percentage"].as_f64() >= floor)
    );
    orders::check(&folder.join("in.csv"), &folder.join("out.csv"));
    let view = ada
        .call("request.get", json!({"request_id": request}))
        .await;
    assert_eq!(
        (&view["state"], &view["attempt"]),
        (&json!("completed"), &json!(1)),
        "{view}"
    );
    ada.send(&json!({"action": "echo", "payload": 2})).await;
    assert_eq!(ada.next().await["data"], 2, "nothing follows the end");
}

#[tokio::test]
async fn kill_9_mid_task_ends_in_one_complete() {
    let home = Home::new();
    let mut server = home.start(&CHECKPOINTS).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), 200_000, 1);
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let mut seen = ada.progress(&request).await;
    while seen["percentage"].as_f64() < Some(20.0) {
        seen = ada.progress(&request).await;
    }
    server.kill().await;
    let server = home.start_at(&server.address, &[], &CHECKPOINTS).await;
    let mut ada = server.connect(&token).await;
    let seq = seen["seq"].as_u64().unwrap();
    assert_eq!(ada.resume(&request, seq).await["recovered"], true);
    let end = ada.ended(&request).await;
    assert_eq!(end.message["type"], "complete", "{}", end.message);
    assert!(end.message["seq"].as_u64() > Some(seq));
    let floor = seen["percentage"].as_f64();
    assert!(
        end.progress
            .iter()
            .all(|progress| progress["percentage"].as_f64() >= floor),
        "{seen} {end:?}"
    );
    assert!(
        end.progress
            .iter()
            .all(|progress| progress["seq"].as_u64() > Some(seq)),
        "{seen} {end:?}"
    );
    orders::check(&folder.join("in.csv"), &folder.join("out.csv"));
}

/// Waits until `request.get` shows an end, and gives the state.
async fn state(ada: &mut Connection, request: &str) -> String {
    let ended = async {
        loop {
            let view = ada
                .call("request.get", json!({"request_id": request}))
                .await;
            if !["queued", "running", "retrying"].contains(&view["state"].as_str().unwrap()) {
                return format!("{} {}", view["state"], view["error"]);
            }
        }
    };
    within("an end", ended).await
}

#[tokio::test]
async fn a_copy_of_the_data_directory_goes_on_past_checkpoints() {
    let home = Home::new();
    let mut server = home.start(&CHECKPOINTS).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), 300_000, 1);
    let change = |n| format!("{{\"op\":\"create\",\"key\":\"k{n}\",\"record\":{{\"n\":{n}}}}}\n");
    let changes: String = (0..40_000).map(change).collect();
    std::fs::write(folder.join("changes.ndjson"), changes).unwrap();
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let process = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let asked = json!({"collection": "orders", "input": "changes.ndjson", "output": {"name": "done.ndjson"}});
    let bulk = ada.submit("bulk_operation", asked).await;
    let mut moved = [false, false];
    while moved != [true, true] {
        let message = ada.next().await;
        assert_eq!(message["type"], "progress", "{message}");
        let which = usize::from(message["request_id"] == bulk.as_str());
        moved[which] |= message["percentage"].as_f64() > Some(1.0);
    }
    server.kill().await;
    let copy = home.copied();
    // Asked again and again how far they are.
    let unlimited = [
        "--connection-rate=off",
        "--user-rate=off",
        "--tenant-rate=off",
    ];
    let server = copy.start(&unlimited).await;
    let mut ada = server.connect(&token).await;
    for request in [&process, &bulk] {
        assert_eq!(state(&mut ada, request).await, "\"completed\" null");
    }
    let folder = copy.objects("acme");
    orders::check(&folder.join("in.csv"), &folder.join("out.csv"));
    let done = std::fs::read_to_string(folder.join("done.ndjson")).unwrap();
    assert_eq!(done.lines().count(), 40_000);
}
