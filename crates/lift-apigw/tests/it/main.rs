//! In: the fixtures. Out: whether the types read and write them byte by byte.

#![expect(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]
use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use lift_apigw::authorizer::{Effect, Request, Response as Policy};
use lift_apigw::error_frame::{
    ENDPOINT_REQUEST_TIMED_OUT, ErrorFrame, FORBIDDEN, INTERNAL_SERVER_ERROR,
};
use lift_apigw::event::Event;
use lift_apigw::fields::Scalar;
use lift_apigw::id::{ConnectionId, RequestId};
use lift_apigw::management::{Connection, Refusal};
use lift_apigw::response::Response;
use lift_apigw::time::{clf, iso8601};
use serde::{Deserialize, Serialize};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn fixture(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a text and prints it again.
fn printed<'a, T: Deserialize<'a> + Serialize>(text: &'a str) -> String {
    let parsed: T = serde_json::from_str(text).unwrap();
    serde_json::to_string_pretty(&parsed).unwrap() + "\n"
}

#[test]
fn every_fixture_is_printed_as_it_was_read() {
    let sources = fixture("README.md");
    let mut count = 0;
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        assert!(
            sources.contains(&format!("`{name}`")),
            "{name} has no source in the README"
        );
        let text = fixture(&name);
        let kind = name.split(['_', '.']).next().unwrap_or_default();
        let again = match kind {
            "connect" | "message" | "disconnect" => printed::<Event<'_>>(&text),
            "authorizer" if name == "authorizer_request.json" => printed::<Request<'_>>(&text),
            "authorizer" => printed::<Policy<'_>>(&text),
            "response" => printed::<Response<'_>>(&text),
            "management" => printed::<Connection<'_>>(&text),
            "error" => {
                let message = match name.as_str() {
                    "error_forbidden.txt" => FORBIDDEN,
                    "error_internal.txt" => INTERNAL_SERVER_ERROR,
                    _ => ENDPOINT_REQUEST_TIMED_OUT,
                };
                let (connection_id, request_id) = ("XDmENcnwIE0CFEQ=", "XDmGEE2RoE0FRdQ=");
                ErrorFrame {
                    message,
                    connection_id,
                    request_id,
                }
                .to_string()
            }
            other => panic!("no type for {other}"),
        };
        assert_eq!(again, text, "{name}");
        count += 1;
    }
    assert!(count >= 15, "only {count} fixtures");
}

#[test]
fn events_say_what_happened_to_whom() {
    let text = fixture("connect_authorized.json");
    let Event::Connect(connect) = Event::parse(text.as_bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(connect.headers.all("x-twice"), ["1", "2"]);
    assert_eq!(
        connect.headers.last("HOST"),
        Some(connect.context.domain_name.as_ref())
    );
    assert_eq!(
        connect.query.as_ref().and_then(|query| query.last("token")),
        Some("abc")
    );
    let authorizer = connect.context.authorizer.as_ref().unwrap();
    assert_eq!(authorizer.get("tenant"), Some(&Scalar::Text("t9".into())));
    assert_eq!(
        authorizer.get("integrationLatency"),
        Some(&Scalar::Number(21.into()))
    );

    let text = fixture("message.json");
    let Event::Message(message) = Event::parse(text.as_bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(message.body, r#"{"action":"sendmessage","data":"hi"}"#);
    assert!(
        matches!(message.context.connection_id, Cow::Borrowed(_)),
        "ids are not copied"
    );

    let text = fixture("disconnect.json");
    let event = Event::parse(text.as_bytes()).unwrap();
    assert_eq!(event.context().connection_id, "W9In0cvXIAMCFvw=");
    let Event::Disconnect(disconnect) = event else {
        panic!()
    };
    let expected = (1005, "Client-side close frame status not set");
    assert_eq!(
        (disconnect.status_code, disconnect.reason.as_ref()),
        expected
    );
}

#[test]
fn events_of_before_2024_are_read() {
    // Then keys that did not apply were null, and a disconnect had neither code nor reason.
    let mut event: serde_json::Value = serde_json::from_str(&fixture("disconnect.json")).unwrap();
    let context = event["requestContext"].as_object_mut().unwrap();
    context.remove("disconnectReason");
    context["disconnectStatusCode"] = serde_json::Value::Null;
    context.insert("messageId".to_owned(), serde_json::Value::Null);
    context["identity"]["accountId"] = serde_json::Value::Null;
    event.as_object_mut().unwrap().remove("multiValueHeaders");
    let text = event.to_string();
    let Event::Disconnect(disconnect) = Event::parse(text.as_bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(
        (disconnect.status_code, disconnect.reason.as_ref()),
        (1006, "")
    );
    assert_eq!(disconnect.headers.last("x-api-key"), Some(""));
}

#[test]
fn incomplete_events_name_what_is_missing() {
    let cases = [
        ("message.json", "messageId", "missing field `messageId`"),
        ("message.json", "connectedAt", "missing field `connectedAt`"),
        (
            "connect.json",
            "connectionId",
            "missing field `connectionId`",
        ),
        ("connect.json", "eventType", "missing field `eventType`"),
    ];
    for (name, field, expected) in cases {
        let mut event: serde_json::Value = serde_json::from_str(&fixture(name)).unwrap();
        event["requestContext"]
            .as_object_mut()
            .unwrap()
            .remove(field);
        let error = Event::parse(event.to_string().as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{name} without {field}: {error}");
    }
}

#[test]
fn an_authorizer_context_holds_only_plain_values() {
    for (value, is_valid) in [
        ("1", true),
        ("1.5", true),
        ("-1", true),
        ("\"a\\n\"", true),
        ("true", true),
        ("{}", false),
        ("[1]", false),
        ("null", false),
    ] {
        let text = format!(
            r#"{{"principalId":"u","policyDocument":{{"Statement":[]}},"context":{{"x":{value}}}}}"#
        );
        assert_eq!(Policy::parse(text.as_bytes()).is_ok(), is_valid, "{value}");
    }
    let allow = Policy::new(Effect::Allow, "u1", "*");
    let text = serde_json::to_string(&allow).unwrap();
    assert_eq!(Policy::parse(text.as_bytes()).unwrap(), allow);
}

#[test]
fn responses_need_an_integer_status() {
    let cases = [
        (r#"{"statusCode":200}"#, true),
        (r#"{"statusCode":200,"body":null,"headers":null}"#, true),
        (r#"{"statusCode":200,"headers":{"a":1,"b":true}}"#, true),
        (r#"{"statusCode":200,"cookies":[]}"#, true),
        (r#"{"statusCode":"200"}"#, false),
        (r#"{"statusCode":200.5}"#, false),
        (r#"{"statusCode":-1}"#, false),
        (r#"{"statusCode":200,"body":{}}"#, false),
        (r#"{"body":"x"}"#, false),
        (r#""hello""#, false),
        ("null", false),
        ("", false),
    ];
    for (text, is_valid) in cases {
        assert_eq!(Response::parse(text.as_bytes()).is_ok(), is_valid, "{text}");
    }
    let response = Response::ok().with_header("A", "1").with_body("x");
    assert_eq!(response.header("a").as_deref(), Some("1"));
    assert_eq!(response.header("b"), None);
}

#[test]
fn ids_are_eleven_bytes_in_url_safe_base64() {
    for (text, is_id) in [
        ("JC1dgf9yoAMCK-g=", true),
        ("W9In0cvXIAMCFvw=", true),
        ("____________-_8=", true),
        ("JC1dgf9yoAMCK-g", false),
        ("JC1dgf9yoAMCK+g=", false),
        ("JC1dgf9yoAMCK-gA", false),
        ("JC1dgf9yoAMCK-h=", false),
        ("8f14e45f-ceea-467f-a1d2-0c2f0f7d8a11", false),
        ("", false),
        ("éééééééé", false),
    ] {
        let id = ConnectionId::parse(text);
        assert_eq!(
            id.map(|id| id.to_string()).as_deref(),
            is_id.then_some(text),
            "{text}"
        );
        if let Some(id) = id {
            assert_eq!(ConnectionId::from_bytes(id.to_bytes()), id);
            assert_eq!(RequestId::from_bytes(id.to_bytes()).as_str(), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<ConnectionId>(&json).unwrap(), id);
        }
    }
    assert!(serde_json::from_str::<RequestId>("\"short\"").is_err());
}

#[test]
fn times_are_written_in_utc() {
    let cases = [
        (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00.000Z"),
        (
            1_763_757_569_117,
            "21/Nov/2025:20:39:29 +0000",
            "2025-11-21T20:39:29.117Z",
        ),
        (
            951_782_400_000,
            "29/Feb/2000:00:00:00 +0000",
            "2000-02-29T00:00:00.000Z",
        ),
        (
            4_107_542_399_999,
            "28/Feb/2100:23:59:59 +0000",
            "2100-02-28T23:59:59.999Z",
        ),
        (
            4_107_542_400_000,
            "01/Mar/2100:00:00:00 +0000",
            "2100-03-01T00:00:00.000Z",
        ),
        (
            1_735_689_599_999,
            "31/Dec/2024:23:59:59 +0000",
            "2024-12-31T23:59:59.999Z",
        ),
    ];
    for (epoch_ms, in_clf, in_iso) in cases {
        assert_eq!(
            (clf(epoch_ms).as_str(), iso8601(epoch_ms).as_str()),
            (in_clf, in_iso)
        );
    }
}

#[test]
fn management_refusals_are_known_to_sdks() {
    let cases = [
        (
            Refusal::InvalidConnectionId,
            400,
            "BadRequestException",
            r#"{"message":"Invalid connectionId: a\"b"}"#,
        ),
        (
            Refusal::Forbidden,
            403,
            "ForbiddenException",
            r#"{"message":"Forbidden"}"#,
        ),
        (Refusal::Gone, 410, "GoneException", ""),
        (
            Refusal::PayloadTooLarge,
            413,
            "PayloadTooLargeException",
            r#"{"message":"Payload too large"}"#,
        ),
        (
            Refusal::LimitExceeded,
            429,
            "LimitExceededException",
            r#"{"message":"Too Many Requests"}"#,
        ),
    ];
    for (refusal, status, error_type, body) in cases {
        let actual = (refusal.status(), refusal.error_type(), refusal.body("a\"b"));
        assert_eq!(actual, (status, error_type, body.to_owned()));
    }
}
