//! Codes and numbers of the protocol come in; the tables must hold for each.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use streamer_protocol::{
    close::{self, After},
    error::{ErrorBody, ErrorCode, Retry},
    schema,
    seq::{Kind, Seen},
    view::{Cancelling, Page, RequestView, Resumed, State},
};

#[test]
fn every_error_code_has_one_name_and_one_answer_to_retry() {
    let retry: Vec<_> = ErrorCode::all()
        .map(|code| (code.to_string(), code.retry()))
        .collect();
    let retryable: Vec<_> = retry
        .iter()
        .filter(|row| row.1 != Retry::Never)
        .map(|row| row.0.as_str())
        .collect();
    assert_eq!(
        retryable,
        [
            "TOKEN_EXPIRED",
            "RATE_LIMITED",
            "OVERLOADED",
            "TIMEOUT",
            "INTERNAL_ERROR"
        ]
    );
    assert_eq!(
        retry
            .iter()
            .map(|row| &row.0)
            .collect::<BTreeSet<_>>()
            .len(),
        15
    );
    for code in ErrorCode::all() {
        let body = ErrorBody::new(code.clone(), "why");
        let text = serde_json::to_string(&body).unwrap();
        let back: ErrorBody = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (back.code, back.retryable),
            (code.clone(), code.retry() != Retry::Never)
        );
        assert_eq!(body.to_string(), format!("{code}: why"));
    }
    let later: ErrorBody =
        serde_json::from_str(r#"{"code":"TEAPOT","message":"m","retryable":true}"#).unwrap();
    assert_eq!(
        (later.code.as_str(), later.code.retry(), later.retryable),
        ("TEAPOT", Retry::Never, true)
    );
}

#[test]
fn a_client_comes_back_unless_it_is_done_or_did_wrong() {
    let stay: Vec<_> = (1000..5000)
        .filter(|code| close::after(*code) == After::Stay)
        .collect();
    assert_eq!(stay, [1000, 1002, 1003, 1007, 1009]);
    assert_eq!(close::meaning(1012), "the server restarts");
    assert_eq!(close::meaning(4000), "no reason known");
}

proptest! {
    #[test]
    fn what_is_admitted_rises_and_ends_with_the_terminal_message(
        after in 0_u64..5,
        said in proptest::collection::vec((0_u64..20, prop_oneof![4 => Just(Kind::Progress), 1 => Just(Kind::Terminal)]), 0..40),
    ) {
        let mut seen = Seen::up_to(after);
        let admitted: Vec<_> = said.iter().filter(|(seq, kind)| seen.admit(*seq, *kind)).collect();
        prop_assert!(admitted.iter().all(|(seq, _)| *seq > after));
        prop_assert!(admitted.is_sorted_by(|a, b| a.0 < b.0 && a.1 == Kind::Progress));
        prop_assert_eq!(seen.last(), admitted.last().map_or(after, |last| last.0));
        let news = said.iter().any(|(seq, _)| *seq > after);
        prop_assert_eq!(admitted.is_empty(), !news);
    }
}

#[test]
fn answers_of_control_actions_are_read_whole() {
    let view = json!({
        "request_id": "R1", "id": "c-1", "action": "process_data", "state": "retrying", "attempt": 2,
        "progress": {"seq": 4, "percentage": 12.5, "message": "rows"},
        "created_at": "2026-11-22T10:00:00.000Z", "started_at": "2026-11-22T10:00:01.000Z",
    });
    let read: RequestView = serde_json::from_str(&view.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), view);
    assert!(jsonschema::is_valid(&schema::request(), &view));

    let page: Page =
        serde_json::from_str(&json!({"requests": [view], "cursor": null}).to_string()).unwrap();
    assert_eq!((page.requests.len(), page.cursor), (1, None));

    let text = r#"{"request_id":"R1","state":"asleep","cancel_requested":true}"#;
    let cancelling: Cancelling = serde_json::from_str(text).unwrap();
    assert_eq!(
        (cancelling.state, cancelling.state.is_terminal()),
        (State::Unknown, false)
    );

    let text = r#"{"requests":[{"request_id":"R1","state":"completed","recovered":true},
                               {"request_id":"R2","error":{"code":"NOT_FOUND","message":"no","retryable":false}}]}"#;
    let resumed: Resumed = serde_json::from_str(text).unwrap();
    assert!(resumed.requests[0].state.is_some_and(State::is_terminal));
    assert_eq!(
        resumed.requests[1].error.as_ref().map(|e| &e.code),
        Some(&ErrorCode::NotFound)
    );
}

#[test]
fn a_state_is_written_as_it_is_named() {
    let all = [
        State::Queued,
        State::Running,
        State::Retrying,
        State::Completed,
        State::Failed,
        State::Cancelled,
    ];
    for state in all {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert_eq!(
        all.map(State::is_terminal),
        [false, false, false, true, true, true]
    );
}
