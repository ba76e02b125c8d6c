//! Texts from the server come in, those that a person or a script should see go out, each once.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;
use streamer_client::protocol::{
    error::ErrorBody,
    message::ServerMessage,
    seq::{Kind, Seen},
    view::RequestId,
};

/// Requests that ended and are still remembered, so that nothing is shown of them again.
const ENDED_MAX: usize = 1024;

/// A text to show.
#[derive(Debug)]
pub(crate) struct Said {
    /// It as JSON; a string where it is none.
    pub(crate) message: Value,
    pub(crate) id: Option<String>,
    pub(crate) sort: Sort,
    /// Why a message was refused, if this says so.
    pub(crate) refusal: Option<Box<ErrorBody>>,
}

/// What a text is to the one who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The answer to a message, or what may be one.
    Answer,
    /// How far a request is.
    Progress,
    /// What is said about a request, or about the connection.
    News,
}

/// What was shown of each request.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    seen: HashMap<RequestId, Seen>,
    ended: VecDeque<RequestId>,
}

impl Heard {
    /// Takes note of a text; none if it was shown before, or answers a message that the client
    /// sent on its own account. `asked` knows the ids of messages that were sent here.
    pub(crate) fn take(
        &mut self,
        text: &str,
        asked: impl Fn(Option<&str>) -> bool,
    ) -> Option<Said> {
        let message = serde_json::from_str(text).unwrap_or_else(|_not_json| Value::from(text));
        let known = ServerMessage::parse(text).ok();
        let sort = match &known {
            Some(ServerMessage::Progress(said)) => {
                self.admit(&said.request_id, said.seq, Kind::Progress)?;
                Sort::Progress
            }
            Some(ServerMessage::Complete(said)) => self.end(&said.request_id, said.seq)?,
            Some(ServerMessage::Cancelled(said)) => self.end(&said.request_id, said.seq)?,
            Some(ServerMessage::Error(said)) => match (&said.request_id, said.seq) {
                (Some(request_id), Some(seq)) => self.end(request_id, seq)?,
                _ if said.id.is_none() || asked(said.id.as_deref()) => Sort::Answer,
                _ => return None,
            },
            Some(ServerMessage::Response(said)) if said.id.is_none() => Sort::Answer,
            Some(
                ServerMessage::Response(_)
                | ServerMessage::Acknowledgment(_)
                | ServerMessage::Pong(_),
            ) => {
                let id = known.as_ref().and_then(ServerMessage::id);
                asked(id).then_some(Sort::Answer)?
            }
            Some(ServerMessage::GoingAway(_)) => Sort::News,
            Some(ServerMessage::GatewayError(_) | ServerMessage::Unknown(_)) | None => Sort::Answer,
        };
        let id = match &known {
            Some(ServerMessage::Unknown(_)) | None => {
                message.get("id").and_then(Value::as_str).map(str::to_owned)
            }
            Some(known) => known.id().map(str::to_owned),
        };
        let refusal = match known {
            Some(ServerMessage::Error(said)) if sort == Sort::Answer => Some(Box::new(said.error)),
            _ => None,
        };
        Some(Said {
            message,
            id,
            sort,
            refusal,
        })
    }

    fn admit(&mut self, request_id: &RequestId, seq: u64, kind: Kind) -> Option<()> {
        let seen = self.seen.entry(request_id.clone()).or_default();
        seen.admit(seq, kind).then_some(())
    }

    fn end(&mut self, request_id: &RequestId, seq: u64) -> Option<Sort> {
        self.admit(request_id, seq, Kind::Terminal)?;
        self.ended.push_back(request_id.clone());
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.seen.remove(&oldest);
        }
        Some(Sort::News)
    }
}

/// A text as one line of JSON, as exactly as it came: outside of strings a line's end is but space.
pub(crate) fn one_line(text: &str, message: &Value) -> String {
    match message {
        Value::String(said) if said == text => message.to_string(),
        _ => text.replace(['\n', '\r'], " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_shown_once_and_the_clients_own_never() {
        let mut heard = Heard::default();
        for (text, expected) in [
            (
                r#"{"type":"acknowledgment","id":"a","request_id":"R","status":"queued"}"#,
                Some(Sort::Answer),
            ),
            (
                r#"{"type":"progress","id":"a","request_id":"R","seq":1,"percentage":1}"#,
                Some(Sort::Progress),
            ),
            (
                r#"{"type":"progress","id":"a","request_id":"R","seq":1,"percentage":1}"#,
                None,
            ),
            (
                r#"{"type":"response","id":"0b-r1","data":{"requests":[]}}"#,
                None,
            ),
            (
                r#"{"type":"error","id":"0b-r2","error":{"code":"OVERLOADED","message":"m"}}"#,
                None,
            ),
            (r#"{"type":"pong"}"#, None),
            (r#"{"type":"pong","id":"a"}"#, Some(Sort::Answer)),
            (r#"{"type":"response","data":1}"#, Some(Sort::Answer)),
            (
                r#"{"type":"error","error":{"code":"INVALID_JSON","message":"m"}}"#,
                Some(Sort::Answer),
            ),
            (
                r#"{"type":"complete","id":"a","request_id":"R","seq":2,"result":1}"#,
                Some(Sort::News),
            ),
            (
                r#"{"type":"complete","id":"a","request_id":"R","seq":2,"result":1}"#,
                None,
            ),
            (r#"{"type":"cancelled","request_id":"R","seq":3}"#, None),
            (
                r#"{"type":"error","request_id":"S","seq":1,"error":{"code":"TIMEOUT","message":"m"}}"#,
                Some(Sort::News),
            ),
            (r#"{"type":"going_away"}"#, Some(Sort::News)),
            (r#"{"type":"later"}"#, Some(Sort::Answer)),
            ("hello", Some(Sort::Answer)),
        ] {
            let shown = heard.take(text, |id| id == Some("a"));
            assert_eq!(shown.map(|said| said.sort), expected, "{text}");
        }
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let mut heard = Heard::default();
        for n in 0..3 * ENDED_MAX {
            let text = format!(r#"{{"type":"cancelled","request_id":"R{n}","seq":1}}"#);
            assert!(heard.take(&text, |_| false).is_some());
        }
        assert_eq!(
            (heard.seen.len(), heard.ended.len()),
            (ENDED_MAX, ENDED_MAX)
        );
    }

    #[test]
    fn a_text_is_one_line_of_json() {
        let line = |text: &str| {
            one_line(
                text,
                &Heard::default().take(text, |_| true).unwrap().message,
            )
        };
        assert_eq!(line("{\n \"a\":1.00\r\n}"), "{  \"a\":1.00  }");
        assert_eq!(line("two\nlines"), r#""two\nlines""#);
        assert_eq!(line(r#""text""#), r#""text""#);
    }
}
