//! A connection's events as API Gateway sends them: `$connect`, and a message for the action `echo`.

use serde_json::{Value, json};

/// Characters of a message's payload.
const PAYLOAD: usize = 200;

pub(crate) fn connect() -> String {
    let headers = [
        ("Host", "abc123def4.execute-api.eu-west-1.amazonaws.com"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "streamer.v1"),
        ("Sec-WebSocket-Version", "13"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ];
    let single: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let multiple: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!([value])))
        .collect();
    json!({
        "headers": single,
        "multiValueHeaders": multiple,
        "requestContext": context("$connect", "CONNECT"),
        "isBase64Encoded": false,
    })
    .to_string()
}

pub(crate) fn message() -> String {
    let mut context = context("$default", "MESSAGE");
    if let Some(fields) = context.as_object_mut() {
        fields.insert("messageId".to_owned(), json!("W9I-IeqhoAMCFvw="));
    }
    let payload = "x".repeat(PAYLOAD);
    json!({
        "requestContext": context,
        "body": format!(r#"{{"id":"1","action":"echo","payload":"{payload}"}}"#),
        "isBase64Encoded": false,
    })
    .to_string()
}

fn context(route: &str, kind: &str) -> Value {
    json!({
        "routeKey": route,
        "authorizer": {
            "principalId": "ada",
            "tenant": "acme",
            "user": "ada",
            "permissions": "[\"*\"]",
            "expiresAtMs": "33333333333333",
            "integrationLatency": 21,
        },
        "eventType": kind,
        "extendedRequestId": "W9I-IFlqoAMFjZQ=",
        "requestTime": "21/Nov/2025:20:39:31 +0000",
        "messageDirection": "IN",
        "stage": "v1",
        "connectedAt": 1_763_757_569_117_u64,
        "requestTimeEpoch": 1_763_757_571_118_u64,
        "identity": { "sourceIp": "203.0.113.7", "userAgent": "bench" },
        "requestId": "W9I-IFlqoAMFjZQ=",
        "domainName": "abc123def4.execute-api.eu-west-1.amazonaws.com",
        "connectionId": "W9In0cvXIAMCFvw=",
        "apiId": "abc123def4",
    })
}
