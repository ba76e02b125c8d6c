//! A server that is told to stop, or killed, and one that takes over from it.

use serde_json::json;

use crate::support::home::Home;
use crate::support::orders;

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
