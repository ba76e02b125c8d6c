//! The plain HTTP routes on the WebSocket's port.

use serde_json::json;

use crate::support::home::Home;
use crate::support::orders;

#[tokio::test]
async fn health_metrics_and_schemas_are_served() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    ada.call("echo", json!(1)).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path, &[]).await.status, 200, "{path}");
    }
    let metrics = server.get("/metrics", &[]).await;
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    assert!(
        metrics.body.contains("lift_connections_open 1"),
        "{}",
        metrics.body
    );
    let schemas = server.get("/schemas", &[]).await.json();
    let properties = &schemas["process_data"]["properties"];
    for property in ["input", "operations", "output"] {
        assert!(properties.get(property).is_some(), "{schemas}");
    }
    assert_eq!(server.get("/results/no.such.token", &[]).await.status, 404);
}

#[tokio::test]
async fn a_request_is_shown_to_its_owners_token() {
    let home = Home::new();
    let server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 10, 1);
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    ada.ended(&request).await;
    let path = format!("/requests/{request}");
    let shown = server
        .get(&path, &[("authorization", &format!("Bearer {token}"))])
        .await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let view = ada
        .call("request.get", json!({"request_id": request}))
        .await;
    assert_eq!(shown.json(), view);
    let refused = server.get(&path, &[]).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (401, r#"{"message":"Unauthorized"}"#)
    );
}
