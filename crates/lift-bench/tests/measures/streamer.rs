//! A server that speaks `streamer.v1`, and breaks its rules on request, comes in; what is counted of it comes out.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use lift_bench::report::count::*;
use serde_json::{Value, json};

use crate::{
    counters::Case,
    server::{Do, Rules},
};

/// Answers each action in its own way; `lost` is what is asked for with `request.resume`.
fn rules() -> Rules {
    let resumes = Arc::new(AtomicU32::new(0));
    let fails = Arc::new(AtomicU32::new(0));
    Rules::new(move |_, text| {
        let asked: Value = serde_json::from_str(text).unwrap();
        let id = asked["id"].as_str().unwrap();
        let action = asked["action"].as_str().unwrap();
        let says = Says {
            id,
            request: &format!("R-{action}"),
        };
        match action {
            "echo" => vec![says.response(&json!("hello"))],
            "echo.twice" => vec![says.response(&json!(1)), says.response(&json!(1))],
            "refuse" => vec![says.error(None, "VALIDATION_ERROR")],
            "work" => vec![says.accepted(), says.progress(1, 50), says.complete(2)],
            "accept.twice" => vec![says.accepted(), says.accepted(), says.complete(1)],
            "end.twice" => vec![says.accepted(), says.complete(1), says.complete(1)],
            "end.otherwise" => vec![
                says.accepted(),
                says.complete(1),
                says.error(Some(2), "TASK_FAILED"),
            ],
            "answer.and.end" => vec![says.response(&json!(1)), says.complete(1)],
            "back" => vec![
                says.accepted(),
                says.progress(1, 50),
                says.progress(2, 40),
                says.progress(2, 60),
                says.complete(3),
                says.progress(4, 70),
            ],
            "fail" => vec![says.accepted(), says.error(Some(1), "TASK_FAILED")],
            "cancel" => vec![
                says.accepted(),
                says.about(&json!({"type": "cancelled", "seq": 1})),
            ],
            "lost" => vec![says.accepted(), says.progress(1, 10), Do::Break],
            "request.resume" => resumed(&says, &asked, resumes.fetch_add(1, Ordering::Relaxed)),
            "silent" => vec![],
            "fail.first" if fails.fetch_add(1, Ordering::Relaxed) == 0 => vec![Do::Say(
                r#"{"message": "Internal server error", "connectionId":"c", "requestId":"r"}"#
                    .to_owned(),
            )],
            "fail.first" => vec![says.response(&json!("again"))],
            other => panic!("{other} is not expected"),
        }
    })
}

/// The first time what was asked for could not be read; the second it has ended.
fn resumed(says: &Says<'_>, asked: &Value, before: u32) -> Vec<Do> {
    let request = asked["payload"]["requests"][0]["request_id"]
        .as_str()
        .unwrap();
    let mut entry = json!({"request_id": request, "state": "running"});
    if before == 0 {
        entry["recovered"] = false.into();
    }
    let mut all = vec![says.response(&json!({"requests": [entry]}))];
    if before > 0 {
        // Who asked for it did so as its first client's message of this number.
        let lost = Says { id: "0.2", request };
        all.extend([lost.progress(2, 20), lost.complete(3)]);
        // On another connection than the first, an end may be told again.
        let ended = Says {
            id: "0.1",
            request: "R-work",
        };
        all.push(ended.complete(2));
    }
    all
}

struct Says<'a> {
    id: &'a str,
    request: &'a str,
}

impl Says<'_> {
    fn about(&self, what: &Value) -> Do {
        let mut message = json!({"id": self.id, "request_id": self.request});
        let members = what.as_object().unwrap().clone();
        message.as_object_mut().unwrap().extend(members);
        Do::Say(message.to_string())
    }

    fn response(&self, data: &Value) -> Do {
        Do::Say(json!({"type": "response", "id": self.id, "data": data}).to_string())
    }

    fn accepted(&self) -> Do {
        self.about(&json!({"type": "acknowledgment", "status": "queued"}))
    }

    fn progress(&self, seq: u64, percentage: u64) -> Do {
        self.about(
            &json!({"type": "progress", "seq": seq, "percentage": percentage, "message": "m"}),
        )
    }

    fn complete(&self, seq: u64) -> Do {
        self.about(&json!({"type": "complete", "seq": seq, "result": {"rows": 1}}))
    }

    fn error(&self, seq: Option<u64>, code: &str) -> Do {
        let error = json!({"code": code, "message": "no", "retryable": false});
        match seq {
            Some(seq) => self.about(&json!({"type": "error", "seq": seq, "error": error})),
            None => Do::Say(json!({"type": "error", "id": self.id, "error": error}).to_string()),
        }
    }
}

fn scenario(actions: &[&str]) -> String {
    let sends: Vec<_> = actions
        .iter()
        .map(|action| format!("{{ send: {{ action: {action} }} }}"))
        .collect();
    format!(
        "
name: streamer
behaviours:
  one: {{ steps: [connect, {}, {{ think: 100ms }}, disconnect] }}
phases:
  - {{ name: arrive, duration: 100ms, connections_per_second: 10 }}
limits: {{ lag: 1m, cpu: 100%, drain: 20s }}
",
        sends.join(", ")
    )
}

fn case(name: &'static str, actions: &[&str], but: &[(&'static str, u64)]) -> Case {
    let all = u64::try_from(actions.len()).unwrap();
    let mut counts = std::collections::BTreeMap::from([
        (CONNECTIONS, 1),
        (OPENED, 1),
        (DUE, all),
        (SENT, all),
        (ANSWERED, all),
    ]);
    counts.extend(but.iter().copied());
    Case {
        name,
        scenario: scenario(actions),
        rules: rules(),
        counts: counts.into_iter().filter(|(_, n)| *n > 0).collect(),
        errors: vec![],
        closes: vec![],
        handshakes: vec![(101, 1)],
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(
            "a direct answer and a request",
            &["echo", "work"],
            &[(ACKNOWLEDGED, 1), (ENDED, 1), (PROGRESS, 1)],
        ),
        Case {
            scenario: scenario(&["echo", "silent"]).replace("20s", "300ms"),
            ..case(
                "one is never answered",
                &["echo", "silent"],
                &[(ANSWERED, 1), (LOST, 1)],
            )
        },
        case(
            "a direct answer comes twice",
            &["echo", "echo.twice", "echo.twice", "echo"],
            &[(DUPLICATES, 2)],
        ),
        Case {
            errors: vec![("VALIDATION_ERROR", 1)],
            ..case(
                "a message is refused",
                &["refuse", "echo"],
                &[(ANSWERED, 1), (REFUSED, 1)],
            )
        },
        Case {
            errors: vec![("GATEWAY", 1)],
            ..case(
                "API Gateway tells of an error, and the message is sent again",
                &["fail.first"],
                &[(FAILURES, 1)],
            )
        },
        case(
            "an acknowledgment comes twice",
            &["accept.twice"],
            &[(ACKNOWLEDGED, 1), (DUPLICATES, 1), (ENDED, 1)],
        ),
        case(
            "an end comes twice",
            &["work", "end.twice", "end.twice"],
            &[
                (ACKNOWLEDGED, 3),
                (ENDED, 3),
                (PROGRESS, 1),
                (ENDED_AGAIN, 2),
            ],
        ),
        Case {
            errors: vec![("TASK_FAILED", 1)],
            ..case(
                "an end says something else",
                &["end.otherwise"],
                &[(ACKNOWLEDGED, 1), (ENDED, 1), (ENDED_TWICE, 1)],
            )
        },
        case(
            "an end comes after a direct answer",
            &["answer.and.end"],
            &[(ENDED, 1), (DUPLICATES, 1)],
        ),
        case(
            "progress goes back, stands still and goes on after the end",
            &["back"],
            &[
                (ACKNOWLEDGED, 1),
                (PROGRESS, 4),
                (PROGRESS_BACK, 3),
                (ENDED, 1),
            ],
        ),
        Case {
            errors: vec![("TASK_FAILED", 1)],
            ..case(
                "a request fails, and one is cancelled",
                &["fail", "cancel"],
                &[
                    (ACKNOWLEDGED, 2),
                    (ENDED, 2),
                    (NOT_COMPLETED, 2),
                    (REFUSED, 2),
                    (ANSWERED, 0),
                ],
            )
        },
        Case {
            closes: vec![(1006, 1)],
            handshakes: vec![(101, 2)],
            ..case(
                "a request outlives its connection, and is not recovered at first",
                &["work", "lost"],
                &[
                    (ACKNOWLEDGED, 2),
                    (ENDED, 2),
                    (PROGRESS, 3),
                    (DROPPED, 1),
                    (RECONNECTED, 1),
                    (UNRECOVERED, 1),
                ],
            )
        },
    ]
}
