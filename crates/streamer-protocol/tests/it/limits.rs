//! Random text comes in; the limits must agree with their definition, and must not panic.

use proptest::prelude::*;
use serde_json::json;
use streamer_protocol::{
    limits,
    request::{ClientMessage, From, List},
    view::{RequestId, State},
};

proptest! {
    #[test]
    fn a_name_is_taken_exactly_if_its_length_and_characters_are(text in r"[a-z.:é \-/]{0,3}|[a-z]{63,130}|\PC{0,5}") {
        let of = |max: usize, also: &str| {
            (1..=max).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        prop_assert_eq!(limits::id(&text).is_ok(), of(128, "._:-"));
        prop_assert_eq!(limits::action(&text).is_ok(), of(64, "._-"));
        let visible = (1..=128).contains(&text.len()) && text.chars().all(|c| ('!'..='~').contains(&c));
        prop_assert_eq!(limits::idempotency_key(&text).is_ok(), visible);
    }

    #[test]
    fn nesting_of_any_text_is_bounded_by_its_length(text in r#"[\[\]{}"\\a]{0,40}"#) {
        prop_assert!(limits::nesting(&text) <= text.len());
    }
}

#[test]
fn every_control_action_has_its_builder() {
    let id = RequestId::new("R1");
    let cases = [
        (ClientMessage::ping(), json!({"action": "ping"})),
        (
            ClientMessage::get(&id),
            json!({"action": "request.get", "payload": {"request_id": "R1"}}),
        ),
        (
            ClientMessage::cancel(&id),
            json!({"action": "request.cancel", "payload": {"request_id": "R1"}}),
        ),
        (
            ClientMessage::list(&List::default()),
            json!({"action": "request.list", "payload": {}}),
        ),
        (
            ClientMessage::list(&List {
                state: Some(State::Running),
                limit: Some(5),
                cursor: Some("x".into()),
            }),
            json!({"action": "request.list", "payload": {"state": "running", "limit": 5, "cursor": "x"}}),
        ),
        (
            ClientMessage::resume(&[From {
                request_id: id,
                after_seq: 7,
            }]),
            json!({"action": "request.resume", "payload": {"requests": [{"request_id": "R1", "after_seq": 7}]}}),
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(serde_json::to_value(&message).unwrap(), expected);
        assert_eq!(message.problems(), []);
    }
}
