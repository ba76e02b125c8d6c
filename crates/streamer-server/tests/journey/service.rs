//! The main job: answers at once, tasks to their end, and what is known of them afterwards.

use std::collections::HashSet;

use serde_json::json;

use crate::server::{Data, deduplicate};

#[tokio::test]
async fn an_echo_comes_back_byte_for_byte() {
    let data = Data::new();
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    let answer = ada
        .ask(
            "echo",
            json!({"exact": 12_345_678_901_234_567_u64, "s": "ü\u{0}"}),
        )
        .await;
    assert_eq!(
        answer["data"],
        json!({"exact": 12_345_678_901_234_567_u64, "s": "ü\u{0}"})
    );
    assert_eq!(ada.ask("health", json!(null)).await["data"]["status"], "ok");
}

#[tokio::test]
async fn a_task_writes_its_output_whole_and_says_what_it_did() {
    let data = Data::new();
    data.orders(20_000);
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    let request = ada.submit(deduplicate("clean.csv")).await;
    let end = ada.ended(&request).await;
    assert_eq!(end["type"], "complete", "{end}");
    let output = data.object("acme", "clean.csv");
    let mut rows = csv::Reader::from_path(&output).unwrap();
    let orders: Vec<String> = rows
        .records()
        .map(|row| row.unwrap().get(0).unwrap().to_owned())
        .collect();
    let distinct: HashSet<&String> = orders.iter().collect();
    assert_eq!(distinct.len(), orders.len(), "an order is there twice");
    assert_eq!(end["result"]["rows_in"], 20_000);
    assert_eq!(end["result"]["rows_out"], orders.len());
    assert_eq!(end["result"]["bytes"], output.metadata().unwrap().len());

    let view = ada.ask("request.get", json!({"request_id": request})).await;
    assert_eq!(view["data"]["state"], "completed");
    let token = format!("Bearer {}", data.token("ada", "acme"));
    let path = format!("/requests/{request}");
    let (status, body) = server.get(&path, &[("authorization", &token)]).await;
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        view["data"]
    );
    assert_eq!(
        server.get(&path, &[]).await,
        (401, r#"{"message":"Unauthorized"}"#.to_owned())
    );
    let other = format!("Bearer {}", data.token("bob", "acme"));
    let found = server.get(&path, &[("authorization", &other)]).await;
    assert_eq!(found, (404, r#"{"message":"Not Found"}"#.to_owned()));
    let list = ada.ask("request.list", json!({})).await;
    assert_eq!(list["data"]["requests"][0]["request_id"], request);
}

#[tokio::test]
async fn the_same_key_leads_to_the_same_request_also_when_its_output_is_there() {
    let data = Data::new();
    data.orders(2_000);
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    let submit = json!({"id": "k", "action": "process_data", "idempotency_key": "once",
        "payload": deduplicate("once.csv")});
    ada.send(&submit).await;
    let first = ada.until(|message| message["id"] == "k").await;
    let request = first["request_id"].as_str().unwrap().to_owned();
    ada.ended(&request).await;
    let mut again = server.connect(&data.token("ada", "acme")).await;
    again.send(&submit).await;
    let second = again.until(|message| message["id"] == "k").await;
    assert_eq!(
        (&second["request_id"], &second["duplicate"]),
        (&json!(request), &json!(true))
    );
    assert_eq!(again.ended(&request).await["type"], "complete");
}

#[tokio::test]
async fn a_cancelled_task_leaves_nothing_behind() {
    let data = Data::new();
    data.orders(400_000);
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    let request = ada.submit(deduplicate("never.csv")).await;
    ada.until(|message| message["type"] == "progress").await;
    let cancelled = ada
        .ask("request.cancel", json!({"request_id": request}))
        .await;
    assert_eq!(cancelled["data"]["cancel_requested"], true, "{cancelled}");
    let end = ada.ended(&request).await;
    assert_eq!(end["type"], "cancelled", "{end}");
    assert!(!data.object("acme", "never.csv").exists());
    // The name is free again once the end was told and cleaned up after.
    crate::server::in_time("the name is free", async {
        loop {
            let answer = ada.ask("process_data", deduplicate("never.csv")).await;
            if answer["type"] == "acknowledgment" {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn health_metrics_and_schemas_are_served_beside_the_socket() {
    let data = Data::new();
    let server = data.serve().await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    ada.ask("echo", json!(1)).await;
    assert_eq!(server.get("/healthz", &[]).await.0, 200);
    assert_eq!(server.get("/readyz", &[]).await.0, 200);
    let (_, metrics) = server.get("/metrics", &[]).await;
    assert!(
        metrics.contains(r#"lift_requests_total{action="echo",outcome="ok"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains("lift_connections_open 1"), "{metrics}");
    let (_, schemas) = server.get("/schemas", &[]).await;
    let schemas: serde_json::Value = serde_json::from_str(&schemas).unwrap();
    assert_eq!(schemas["process_data"]["type"], "object");
    assert_eq!(server.get("/results/made-up", &[]).await.0, 404);
}
