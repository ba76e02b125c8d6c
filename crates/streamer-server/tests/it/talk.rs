//! Short messages: text comes in, the exact answer or a typed error goes out, the connection stays.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::support::home::Home;

#[tokio::test]
async fn an_echo_is_the_same_bytes() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let payloads = [
        r#"{"b":1,"a":[12345678901234567890.50,1e400,-0.0],"b2":"\u00e9é\ud83d\ude00"}"#.to_owned(),
        r#""""#.to_owned(),
        "null".to_owned(),
        format!("\"{}\"", "x".repeat(30 * 1024)),
    ];
    for payload in payloads {
        let message = format!(r#"{{"id":"e","action":"echo","payload":{payload}}}"#);
        ada.send_raw(Message::text(message)).await;
        let text = ada.text().await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(text.contains(&format!(r#""data":{payload}"#)), "{text}");
        assert!(answer.is_null() || answer["type"] == "response", "{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_connection_stays() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let cases = [
        ("", "INVALID_JSON", Value::Null, Value::Null),
        ("[]", "INVALID_JSON", Value::Null, Value::Null),
        (
            r#"{"action":"echo","action":"echo"}"#,
            "INVALID_JSON",
            Value::Null,
            Value::Null,
        ),
        (
            r#"{"id":"1"}"#,
            "VALIDATION_ERROR",
            json!("1"),
            json!("/action"),
        ),
        (
            r#"{"id":"1","action":7}"#,
            "VALIDATION_ERROR",
            json!("1"),
            json!("/action"),
        ),
        (
            r#"{"id":7,"action":"echo"}"#,
            "VALIDATION_ERROR",
            Value::Null,
            json!("/id"),
        ),
        (
            r#"{"id":"1","action":"ecko"}"#,
            "UNKNOWN_ACTION",
            json!("1"),
            Value::Null,
        ),
        (
            r#"{"id":"1","action":"request.get","payload":{"request_id":7}}"#,
            "VALIDATION_ERROR",
            json!("1"),
            json!("/payload/request_id"),
        ),
        (
            r#"{"id":"1","action":"request.get","payload":{"request_id":"no such"}}"#,
            "NOT_FOUND",
            json!("1"),
            Value::Null,
        ),
    ];
    for (message, code, id, pointer) in cases {
        ada.send_raw(Message::text(message)).await;
        let answer = ada.next().await;
        assert_eq!(answer["type"], "error", "{message}: {answer}");
        assert_eq!(answer["error"]["code"], code, "{message}: {answer}");
        assert_eq!(answer["id"], id, "{message}: {answer}");
        assert_eq!(
            answer["error"]["fields"][0]["pointer"], pointer,
            "{message}: {answer}"
        );
        assert_eq!(answer["request_id"], Value::Null, "{message}: {answer}");
    }
    let unknown = ada.refused("ecko", Value::Null).await;
    assert_eq!(unknown["suggestion"], "echo", "{unknown}");
    assert_eq!(ada.call("health", Value::Null).await["status"], "ok");
    let pong = ada.ask(json!({"action": "ping"})).await;
    assert_eq!(pong["type"], "pong", "{pong}");
}

#[tokio::test]
async fn frames_that_no_client_may_send_close_with_their_code() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let token = home.token("ada", "acme");
    let cases = [
        (Message::Binary(Bytes::from_static(b"{}")), 1003),
        (Message::text("x".repeat(33 * 1024)), 1009),
    ];
    for (message, code) in cases {
        let mut ada = server.connect(&token).await;
        ada.send_raw(message).await;
        assert_eq!(ada.closed().await, code);
    }
}
