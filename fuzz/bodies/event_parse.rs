//! In: any bytes as each kind of JSON that API Gateway and functions exchange. Out: a panic where what was read is not what is written and read again.

use lift_apigw::id::ConnectionId;
use lift_apigw::{authorizer, event, management, response};
use lift_gateway::session::management::parse as parse_call;
use lift_gateway::session::rules::{Management, Paths};
use lift_gateway::{RouteSelection, Rules};
use serde::Serialize;

/// Reads, writes, reads: the second reading is the first, and what is written stays the same.
macro_rules! again {
    ($parse:expr, $json:expr) => {
        if let Ok(read) = $parse($json) {
            let written = write(&read);
            let again = $parse(&written).expect("what is written can be read");
            assert_eq!(again, read, "{}", String::from_utf8_lossy(&written));
            assert_eq!(write(&again), written);
        }
    };
}

/// One run.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 8 {
        0 | 1 => again!(event::Event::parse, data),
        2 => again!(authorizer::Request::parse, data),
        3 => again!(authorizer::Response::parse, data),
        4 => {
            again!(response::Response::parse, data);
            if let Ok(response) = response::Response::parse(data) {
                _ = response.header("Sec-WebSocket-Protocol");
            }
        }
        5 => again!(serde_json::from_slice::<management::Connection<'_>>, data),
        6 => _ = std::str::from_utf8(data).map(selection),
        _ => _ = std::str::from_utf8(data).map(call),
    }
}

fn write(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text keys and plain values")
}

/// A route selection expression, and the message that it looks at, in two lines.
fn selection(text: &str) {
    let (expression, message) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Ok(selection) = expression.parse::<RouteSelection>() {
        let shown = selection.to_string();
        let again = shown.parse::<RouteSelection>();
        assert_eq!(
            again.as_ref(),
            Ok(&selection),
            "{expression:?} is shown as {shown:?}"
        );
        if serde_json::from_str::<serde_json::Value>(message).is_ok() {
            assert!(selection.evaluate(message).is_ok(), "JSON has a route key");
        }
    }
}

/// A path below a stage, and an id: only what is an id's text is one.
fn call(text: &str) {
    let mut rules = Rules::default();
    (rules.paths, rules.management) = (Paths::stage("dev"), Management::Unsigned);
    for path in [text.to_owned(), format!("/dev/@connections/{text}")] {
        if let Some(Ok(call)) = parse_call(&rules, "POST", &path) {
            assert!(
                !call.connection_id.is_empty(),
                "a call without an id: {path:?}"
            );
        }
    }
    if let Some(id) = ConnectionId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert_eq!(
            ConnectionId::from_bytes(id.to_bytes()),
            id,
            "one id, one text"
        );
    }
}
