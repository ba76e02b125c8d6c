//! A line comes in, what it asks for goes out.

use serde::Deserialize;
use serde_json::value::RawValue;
use streamer_client::protocol::{
    limits::{NESTING_MAX, nesting},
    request::{ClientMessage, List, action},
    view::{RequestId, State},
};

/// What `/help` says.
pub(crate) const HELP: &str = "\
  echo {\"a\":1}          an action and its payload, which may be left out
  {\"action\":\"echo\", …}  a message
  /get [ID]             a request as it is now; without ID the latest one
  /list [STATE]         your requests, newest first
  /cancel [ID]          stop a request
  /resume ID [SEQ]      follow a request to its end, from after SEQ
  /ping                 measure the way to the server
  /cut                  break the connection, to see it come back
  /quit                 leave; requests go on";

/// What a line asks for.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// A message for an action, sent again until it is answered.
    Submit(Box<ClientMessage>),
    /// Text to send once, as it is.
    Text(String),
    /// Follow a request.
    Resume(RequestId, u64),
    Cut,
    Help,
    Quit,
    Nothing,
}

/// Why a line that was typed asks for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) what: String,
    pub(crate) cause: String,
    pub(crate) help: &'static str,
}

/// Reads a line that is a message already.
///
/// What the server would refuse is sent as it is, so that its answer is seen.
pub(crate) fn as_it_is(text: String) -> Line {
    let message = text
        .trim_start()
        .starts_with('{')
        .then(|| serde_json::from_str(&text));
    match message {
        Some(Ok(message)) if is_sound(&message) && nesting(&text) <= NESTING_MAX => {
            Line::Submit(Box::new(message))
        }
        _ => Line::Text(text),
    }
}

/// A ping is answered by a `pong`, and is worth nothing on another connection.
fn is_sound(message: &ClientMessage) -> bool {
    message.problems().is_empty() && message.action != action::PING
}

/// Reads a line that a person typed; `latest` is the request that commands without an id mean.
pub(crate) fn typed(text: &str, latest: Option<&RequestId>) -> Result<Line, Mistake> {
    let text = text.trim();
    if text.starts_with(['{', '[', '"']) {
        return Ok(as_it_is(text.to_owned()));
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match word.strip_prefix('/') {
        Some(command) => obeyed(command, rest.trim(), latest),
        None if word.is_empty() => Ok(Line::Nothing),
        None => asked(word, rest.trim()),
    }
}

fn asked(action: &str, payload: &str) -> Result<Line, Mistake> {
    let mut message = ClientMessage::new(action);
    if !payload.is_empty() {
        let payload: Box<RawValue> = serde_json::from_str(payload).map_err(|error| Mistake {
            what: format!("the payload of `{action}` is no JSON"),
            cause: error.to_string(),
            help: "text is written in quotes: echo \"hello\"",
        })?;
        message.payload = Some(payload);
    }
    let text = serde_json::to_string(&message).map_err(|error| Mistake {
        what: format!("`{action}` cannot be sent"),
        cause: error.to_string(),
        help: "`/help` shows what can be typed",
    })?;
    Ok(as_it_is(text))
}

fn obeyed(command: &str, rest: &str, latest: Option<&RequestId>) -> Result<Line, Mistake> {
    let mut words = rest.split_whitespace();
    let first = words.next();
    let named = first.map(RequestId::new);
    let meant = named
        .clone()
        .or_else(|| latest.cloned())
        .ok_or_else(|| Mistake {
            what: format!("`/{command}` needs the id of a request"),
            cause: "no request was accepted here yet".to_owned(),
            help: "`/list` shows the ids of your requests",
        });
    let submit = |message| Ok(Line::Submit(Box::new(message)));
    match command {
        "get" => submit(ClientMessage::get(&meant?)),
        "cancel" => submit(ClientMessage::cancel(&meant?)),
        "list" => {
            let state = first.map(state).transpose()?;
            submit(ClientMessage::list(&List {
                state,
                ..List::default()
            }))
        }
        "resume" => {
            let after_seq = words
                .next()
                .map_or(Ok(0), str::parse)
                .map_err(|error| Mistake {
                    what: "`/resume` cannot tell where to go on".to_owned(),
                    cause: format!("the `seq` cannot be read: {error}"),
                    help: "leave it out to hear all there is",
                })?;
            Ok(Line::Resume(meant?, after_seq))
        }
        "ping" => Ok(Line::Text(r#"{"action":"ping"}"#.to_owned())),
        "cut" => Ok(Line::Cut),
        "help" | "?" => Ok(Line::Help),
        "quit" | "exit" | "q" => Ok(Line::Quit),
        _ => Err(Mistake {
            what: format!("there is no `/{command}`"),
            cause: "what starts with `/` is a command of `lift ws`".to_owned(),
            help: "`/help` lists them",
        }),
    }
}

fn state(name: &str) -> Result<State, Mistake> {
    [
        State::Queued,
        State::Running,
        State::Retrying,
        State::Completed,
        State::Failed,
        State::Cancelled,
    ]
    .into_iter()
    .find(|state| state.as_str() == name)
    .ok_or_else(|| Mistake {
        what: format!("there is no state `{name}`"),
        cause: "a request is in one of six states".to_owned(),
        help: "queued, running, retrying, completed, failed, cancelled",
    })
}

/// The `id` in a text that is a JSON object with one: its answer may carry it.
pub(crate) fn id_in(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    let object = text.trim_start().starts_with('{');
    let named: Named = serde_json::from_str(text).ok().filter(|_| object)?;
    named.id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line asks for, in words.
    fn said(line: Result<Line, Mistake>) -> String {
        match line {
            Ok(Line::Submit(message)) => serde_json::to_string(&message).unwrap(),
            Ok(Line::Text(text)) => format!("text {text}"),
            Ok(other) => format!("{other:?}"),
            Err(mistake) => format!("{} ({})", mistake.what, mistake.cause),
        }
    }

    #[test]
    fn a_message_goes_through_the_client_and_all_else_as_it_is() {
        for text in [
            r#"{"action":"echo"}"#,
            r#"{"id":"a","action":"echo","payload":[1.00],"metadata":{"k":"v"},"idempotency_key":"k","timeout_ms":5}"#,
        ] {
            assert_eq!(said(Ok(as_it_is(text.to_owned()))), text);
        }
        let deep = format!(
            r#"{{"action":"echo","payload":{}1{}}}"#,
            "[".repeat(64),
            "]".repeat(64)
        );
        for text in [
            "",
            "hello",
            "{",
            r#"["a","echo",1]"#,
            r#"{"payload":1}"#,
            r#"{"action":"no way"}"#,
            r#"{"action":"echo","action":"echo"}"#,
            r#"{"action":"echo","timeout_ms":0}"#,
            r#"{"action":"echo","metadata":{"k":1}}"#,
            r#"{"action":"ping"}"#,
            &deep,
        ] {
            assert_eq!(said(Ok(as_it_is(text.to_owned()))), format!("text {text}"));
        }
    }

    #[test]
    fn short_forms_stand_for_messages() {
        let latest = RequestId::new("R9");
        for (text, expected) in [
            ("  ", "Nothing"),
            ("health", r#"{"action":"health"}"#),
            (
                r#"echo  {"a": 1}"#,
                r#"{"action":"echo","payload":{"a": 1}}"#,
            ),
            (r#"{"action":"x"}"#, r#"{"action":"x"}"#),
            ("ping", r#"text {"action":"ping"}"#),
            ("/ping", r#"text {"action":"ping"}"#),
            (
                "/get R1",
                r#"{"action":"request.get","payload":{"request_id":"R1"}}"#,
            ),
            (
                "/get",
                r#"{"action":"request.get","payload":{"request_id":"R9"}}"#,
            ),
            (
                "/cancel",
                r#"{"action":"request.cancel","payload":{"request_id":"R9"}}"#,
            ),
            ("/list", r#"{"action":"request.list","payload":{}}"#),
            (
                "/list failed",
                r#"{"action":"request.list","payload":{"state":"failed"}}"#,
            ),
            ("/resume R1 7", r#"Resume(RequestId("R1"), 7)"#),
            ("/cut", "Cut"),
            ("/help", "Help"),
            ("/q", "Quit"),
        ] {
            assert_eq!(said(typed(text, Some(&latest))), expected, "{text}");
        }
        for (text, expected) in [
            (
                "echo hello",
                "the payload of `echo` is no JSON (expected value at line 1 column 1)",
            ),
            (
                "/cancel",
                "`/cancel` needs the id of a request (no request was accepted here yet)",
            ),
            (
                "/list done",
                "there is no state `done` (a request is in one of six states)",
            ),
            (
                "/resume R1 x",
                "`/resume` cannot tell where to go on (the `seq` cannot be read: invalid digit found in string)",
            ),
            (
                "/nope",
                "there is no `/nope` (what starts with `/` is a command of `lift ws`)",
            ),
        ] {
            assert_eq!(said(typed(text, None)), expected, "{text}");
        }
    }

    #[test]
    fn a_text_may_have_an_id() {
        for (text, id) in [
            (r#"{"id":"a"}"#, Some("a")),
            (r#"{"id":1}"#, None),
            (r#"["a"]"#, None),
            ("a", None),
        ] {
            assert_eq!(id_in(text).as_deref(), id, "{text}");
        }
    }
}
