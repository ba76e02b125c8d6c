//! What was asked and the answer to it come in, whether that is as `docs/protocol.md` has it goes out. Pure.

use serde::Deserialize;
use streamer_client::protocol::{
    error::{ErrorBody, ErrorCode},
    message::ServerMessage,
};

/// A text to send, with `ID` where its id belongs, and what must be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) text: &'static str,
    pub(super) judge: fn(&ServerMessage) -> Result<String, String>,
}

impl Question {
    pub(super) fn text(&self, id: &str) -> String {
        self.text.replace("ID", id)
    }
}

/// A payload that only its own text equals: a number that no float holds.
const ECHOED: &str =
    r#"{"nested":{"list":[1,"two",null,{"three":true}]},"exact":12345678901234567890.50}"#;

/// What any deployment answers at once.
pub(super) const QUESTIONS: [(&str, Question); 6] = [
    (
        "ping",
        Question {
            text: r#"{"id":"ID","action":"ping"}"#,
            judge: pong,
        },
    ),
    (
        "echo",
        Question {
            text: r#"{"id":"ID","action":"echo","payload":{"nested":{"list":[1,"two",null,{"three":true}]},"exact":12345678901234567890.50}}"#,
            judge: echo,
        },
    ),
    (
        "health",
        Question {
            text: r#"{"id":"ID","action":"health"}"#,
            judge: health,
        },
    ),
    (
        "unknown action",
        Question {
            text: r#"{"id":"ID","action":"lift-smoke.no-such-action"}"#,
            judge: |said| refusal(said, &ErrorCode::UnknownAction),
        },
    ),
    (
        "invalid json",
        Question {
            text: r#"{"id":"ID","action":"echo","#,
            judge: |said| refusal(said, &ErrorCode::InvalidJson),
        },
    ),
    (
        "wrong payload",
        Question {
            text: r#"{"id":"ID","action":"request.get","payload":{"request_id":17}}"#,
            judge: field,
        },
    ),
];

/// Asks for an id that no server gives out: the last there can be.
pub(super) const NO_REQUEST: Question = Question {
    text: r#"{"id":"ID","action":"request.get","payload":{"request_id":"7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}}"#,
    judge: |said| refusal(said, &ErrorCode::NotFound),
};

fn pong(said: &ServerMessage) -> Result<String, String> {
    match said {
        ServerMessage::Pong(_) => Ok(String::new()),
        other => Err(unlike("pong", other)),
    }
}

fn echo(said: &ServerMessage) -> Result<String, String> {
    let data = response(said)?;
    if data == ECHOED {
        Ok("the payload came back as it was sent".to_owned())
    } else {
        Err(format!("`{ECHOED}` came back as `{data}`"))
    }
}

fn health(said: &ServerMessage) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
        version: String,
    }
    let data = response(said)?;
    match serde_json::from_str(data) {
        Ok(Health { status, version }) if status == "ok" => Ok(format!("version {version}")),
        Ok(_) | Err(_) => Err(format!("it says `{data}`")),
    }
}

fn field(said: &ServerMessage) -> Result<String, String> {
    const POINTER: &str = "/payload/request_id";
    let code = refusal(said, &ErrorCode::ValidationError)?;
    match said {
        ServerMessage::Error(failure)
            if failure
                .error
                .fields
                .iter()
                .any(|field| field.pointer == POINTER) =>
        {
            Ok(format!("{code} at {POINTER}"))
        }
        other => Err(format!("{} does not name {POINTER}", shown(other))),
    }
}

/// The data of a response.
pub(super) fn response(said: &ServerMessage) -> Result<&str, String> {
    match said {
        ServerMessage::Response(response) => Ok(response.data.get()),
        other => Err(unlike("response", other)),
    }
}

fn refusal(said: &ServerMessage, expected: &ErrorCode) -> Result<String, String> {
    match said {
        ServerMessage::Error(failure) if failure.error.code == *expected => {
            Ok(expected.as_str().to_owned())
        }
        other => Err(unlike(expected.as_str(), other)),
    }
}

/// What should have come, and what came.
pub(super) fn unlike(expected: &str, said: &ServerMessage) -> String {
    format!("{} came, not {expected}", shown(said))
}

/// A message in a few words.
fn shown(said: &ServerMessage) -> String {
    let kind = match said {
        ServerMessage::Error(failure) => return refused(&failure.error),
        ServerMessage::Response(_) => "response",
        ServerMessage::Acknowledgment(_) => "acknowledgment",
        ServerMessage::Progress(_) => "progress",
        ServerMessage::Complete(_) => "complete",
        ServerMessage::Cancelled(_) => "cancelled",
        ServerMessage::Pong(_) => "pong",
        ServerMessage::GoingAway(_) => "going_away",
        ServerMessage::GatewayError(_) => "the gateway's error",
        ServerMessage::Unknown(unknown) => &unknown.kind,
    };
    format!("`{kind}`")
}

/// An error with the places that it names.
pub(super) fn refused(error: &ErrorBody) -> String {
    let fields = error.fields.iter().map(|field| format!("; {field}"));
    format!("`{error}`{}", fields.collect::<String>())
}

/// A token with another signature: as long, and of the same characters.
pub(super) fn garbled(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').map_or(("", token), |(head, last)| {
        (token.get(..=head.len()).unwrap_or_default(), last)
    });
    let mut characters = signature.chars();
    let first = match characters.next() {
        Some('A') => 'B',
        Some(_) | None => 'A',
    };
    format!("{rest}{first}{}", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(check: &str, answer: &str) -> Result<String, String> {
        let questions = QUESTIONS.into_iter().chain([("not found", NO_REQUEST)]);
        let (_, question) = questions
            .into_iter()
            .find(|(name, _)| *name == check)
            .unwrap();
        (question.judge)(&ServerMessage::parse(answer).unwrap())
    }

    #[test]
    fn an_answer_is_good_or_the_reason_names_what_came() {
        let error = |code: &str, more: &str| {
            format!(r#"{{"type":"error","error":{{"code":"{code}","message":"m"{more}}}}}"#)
        };
        let echoed = format!(r#"{{"type":"response","id":"1","data":{ECHOED}}}"#);
        let place = r#","fields":[{"pointer":"/payload/request_id","message":"must be a string"}]"#;
        let elsewhere = r#","fields":[{"pointer":"/payload","message":"must be an object"}]"#;
        for (check, answer, expected) in [
            ("ping", r#"{"type":"pong"}"#, Ok("")),
            (
                "ping",
                r#"{"type":"response","data":null}"#,
                Err("`response` came, not pong"),
            ),
            ("echo", &echoed, Ok("the payload came back as it was sent")),
            (
                "echo",
                r#"{"type":"response","data":{"exact":12345678901234567000}}"#,
                Err("came back as `{\"exact\":12345678901234567000}`"),
            ),
            (
                "health",
                r#"{"type":"response","data":{"status":"ok","version":"0.1.0"}}"#,
                Ok("version 0.1.0"),
            ),
            (
                "health",
                r#"{"type":"response","data":{"status":"bad","version":"0.1.0"}}"#,
                Err("it says `{"),
            ),
            (
                "unknown action",
                &error("UNKNOWN_ACTION", ""),
                Ok("UNKNOWN_ACTION"),
            ),
            (
                "invalid json",
                &error("INTERNAL_ERROR", ""),
                Err("`INTERNAL_ERROR: m` came, not INVALID_JSON"),
            ),
            (
                "wrong payload",
                &error("VALIDATION_ERROR", place),
                Ok("VALIDATION_ERROR at /payload/request_id"),
            ),
            (
                "wrong payload",
                &error("VALIDATION_ERROR", elsewhere),
                Err("does not name /payload/request_id"),
            ),
            ("not found", &error("NOT_FOUND", ""), Ok("NOT_FOUND")),
        ] {
            match (judged(check, answer), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{check}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{check}: {why}"),
                (judged, _) => panic!("{check}: {judged:?} of {answer}"),
            }
        }
    }

    #[test]
    fn what_is_echoed_is_what_is_sent() {
        let echo = QUESTIONS.iter().find(|(name, _)| *name == "echo").unwrap();
        assert!(echo.1.text.contains(&format!(r#""payload":{ECHOED}}}"#)));
    }

    #[test]
    fn a_garbled_token_has_another_signature_alone() {
        for (token, garbled_token) in [
            ("aaa.bbb.ccc", "aaa.bbb.Acc"),
            ("aaa.bbb.Acc", "aaa.bbb.Bcc"),
            ("opaque", "Apaque"),
            ("a.b.", "a.b.A"),
        ] {
            assert_eq!(garbled(token), garbled_token);
        }
    }
}
