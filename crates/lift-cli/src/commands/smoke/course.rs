//! What the server says after one request was asked for comes in; when it has ended, and how, goes out. Pure.
//!
//! News may come before the acknowledgment, as it does on AWS. The protocol lets a server say one
//! `seq` twice; it does not let a request end twice.

use streamer_client::{
    protocol::{
        error::ErrorBody,
        message::{Complete, ServerMessage},
        seq::{Kind, Seen},
        view::RequestId,
    },
    request::{Outcome as End, Output},
};

use super::judge::{refused, unlike};

/// One request from its message to its end.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) accepted: Option<RequestId>,
    pub(super) progress: u32,
    pub(super) end: Option<Complete>,
    seen: Seen,
}

/// Why a request has no good course.
#[derive(Debug)]
pub(super) enum Fault {
    /// The message was refused.
    Refused(Box<ErrorBody>),
    /// It went wrong after that.
    Broken(String),
}

impl Course {
    /// Takes note of a message that has the request's `id`.
    pub(super) fn hear(&mut self, said: &ServerMessage) -> Result<(), Fault> {
        match said {
            ServerMessage::Acknowledgment(_) if self.accepted.is_some() => {
                return Err(Fault::Broken("it was acknowledged twice".to_owned()));
            }
            ServerMessage::Acknowledgment(said) if said.duplicate => {
                return Err(Fault::Broken(
                    "a new key is said to be a duplicate".to_owned(),
                ));
            }
            ServerMessage::Acknowledgment(said) => self.accepted = Some(said.request_id.clone()),
            ServerMessage::Progress(said) => {
                if self.seen.admit(said.seq, Kind::Progress) {
                    self.progress += 1;
                }
            }
            ServerMessage::Complete(said) => self.complete(said)?,
            ServerMessage::Error(said) if said.seq.is_none() => {
                return Err(Fault::Refused(Box::new(said.error.clone())));
            }
            ServerMessage::Error(said) => {
                let why = format!("it ended with {}", refused(&said.error));
                return Err(Fault::Broken(why));
            }
            ServerMessage::Cancelled(_) => {
                return Err(Fault::Broken(
                    "it was cancelled, as nobody asked".to_owned(),
                ));
            }
            ServerMessage::Response(_) | ServerMessage::Pong(_) => {
                return Err(Fault::Broken(unlike("acknowledgment", said)));
            }
            ServerMessage::GoingAway(_)
            | ServerMessage::GatewayError(_)
            | ServerMessage::Unknown(_) => {}
        }
        Ok(())
    }

    /// Whether it was acknowledged and has ended.
    pub(super) fn is_over(&self) -> bool {
        self.accepted.is_some() && self.end.is_some()
    }

    /// How far it came, where nothing more is heard.
    pub(super) fn so_far(&self) -> &'static str {
        match (&self.accepted, self.progress, &self.end) {
            (None, _, _) => "not acknowledged",
            (Some(_), _, Some(_)) => "complete",
            (Some(_), 0, None) => "acknowledged, then no news",
            (Some(_), _, None) => "acknowledged, with progress, but no end",
        }
    }

    fn complete(&mut self, said: &Complete) -> Result<(), Fault> {
        let is_news = self.seen.admit(said.seq, Kind::Terminal);
        match &self.end {
            Some(end) if end.seq != said.seq => Err(Fault::Broken(format!(
                "it is complete twice, with `seq` {} and {}",
                end.seq, said.seq
            ))),
            None if !is_news => Err(Fault::Broken(format!(
                "`seq` {} of its end is not above {}",
                said.seq,
                self.seen.last()
            ))),
            Some(_) => Ok(()),
            None => {
                self.end = Some(said.clone());
                Ok(())
            }
        }
    }
}

/// Whether an end that is told again is the first one.
pub(super) fn same_end(first: &Complete, again: &End) -> Result<String, String> {
    let result = first.result.as_ref().map(|result| result.get());
    let same = match again {
        End::Complete(Output::Inline(again)) => result == Some(again.get()),
        // Each telling has a fresh URL of the same result.
        End::Complete(Output::At { .. }) => first.result_url.is_some(),
        End::Cancelled => return Err("it is said to be cancelled".to_owned()),
        End::Failed(error) => return Err(format!("it is said to have failed: {}", refused(error))),
    };
    if same {
        Ok("the same end, after a cut".to_owned())
    } else {
        Err("its end has another result than before".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &str = r#"{"type":"acknowledgment","id":"1","request_id":"R","status":"queued","duplicate":false}"#;
    const ACK_OF_OLD: &str =
        r#"{"type":"acknowledgment","id":"1","request_id":"R","status":"queued","duplicate":true}"#;
    const PROGRESS: &str =
        r#"{"type":"progress","id":"1","request_id":"R","seq":2,"percentage":5,"message":"m"}"#;
    const COMPLETE: &str = r#"{"type":"complete","id":"1","request_id":"R","seq":3,"result":{}}"#;
    const COMPLETE_4: &str = r#"{"type":"complete","id":"1","request_id":"R","seq":4,"result":{}}"#;
    const COMPLETE_1: &str = r#"{"type":"complete","id":"1","request_id":"R","seq":1,"result":{}}"#;
    const REFUSAL: &str =
        r#"{"type":"error","id":"1","error":{"code":"UNKNOWN_ACTION","message":"m"}}"#;
    const FAILURE: &str = r#"{"type":"error","id":"1","request_id":"R","seq":3,"error":{"code":"TASK_FAILED","message":"m"}}"#;
    const CANCELLED: &str = r#"{"type":"cancelled","id":"1","request_id":"R","seq":3}"#;
    const RESPONSE: &str = r#"{"type":"response","id":"1","data":null}"#;

    fn heard(texts: &[&str]) -> Result<(bool, &'static str), String> {
        let mut course = Course::default();
        for text in texts {
            let said = ServerMessage::parse(text).unwrap();
            course.hear(&said).map_err(|fault| match fault {
                Fault::Refused(error) => format!("refused: {error}"),
                Fault::Broken(why) => why,
            })?;
        }
        Ok((course.is_over(), course.so_far()))
    }

    #[test]
    fn a_request_is_over_when_it_was_acknowledged_and_ended_once() {
        for (texts, expected) in [
            (&[][..], Ok((false, "not acknowledged"))),
            (&[ACK], Ok((false, "acknowledged, then no news"))),
            (
                &[ACK, PROGRESS],
                Ok((false, "acknowledged, with progress, but no end")),
            ),
            (&[ACK, COMPLETE], Ok((true, "complete"))),
            (&[ACK, PROGRESS, PROGRESS, COMPLETE], Ok((true, "complete"))),
            (&[COMPLETE], Ok((false, "not acknowledged"))),
            (&[PROGRESS, COMPLETE, ACK], Ok((true, "complete"))),
            (&[ACK, COMPLETE, PROGRESS], Ok((true, "complete"))),
            (&[ACK, COMPLETE, COMPLETE], Ok((true, "complete"))),
            (&[ACK, COMPLETE, COMPLETE_4], Err("complete twice")),
            (&[ACK, PROGRESS, COMPLETE_1], Err("is not above 2")),
            (&[ACK, ACK], Err("acknowledged twice")),
            (&[ACK_OF_OLD], Err("said to be a duplicate")),
            (&[REFUSAL], Err("refused: UNKNOWN_ACTION: m")),
            (&[ACK, FAILURE], Err("it ended with `TASK_FAILED: m`")),
            (&[ACK, COMPLETE, FAILURE], Err("it ended with `TASK_FAILED")),
            (&[ACK, CANCELLED], Err("cancelled")),
            (&[RESPONSE], Err("`response` came, not acknowledgment")),
        ] {
            match (heard(texts), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{texts:?}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}: {texts:?}"),
                (found, _) => panic!("{found:?}: {texts:?}"),
            }
        }
    }

    #[test]
    fn an_end_is_told_again_with_the_same_result() {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        let inline = |text| End::Complete(Output::Inline(raw(text)));
        let at = || {
            End::Complete(Output::At {
                url: "https://b.example/2".to_owned(),
                expires_at: None,
            })
        };
        let small = r#"{"type":"complete","request_id":"R","seq":3,"result":{"n":1.0}}"#;
        let large =
            r#"{"type":"complete","request_id":"R","seq":3,"result_url":"https://b.example/1"}"#;
        for (first, again, same) in [
            (small, inline(r#"{"n":1.0}"#), true),
            (small, inline(r#"{"n":1}"#), false),
            (small, at(), false),
            (small, End::Cancelled, false),
            (large, at(), true),
            (large, inline("null"), false),
        ] {
            let ServerMessage::Complete(first) = ServerMessage::parse(first).unwrap() else {
                unreachable!("it is complete")
            };
            assert_eq!(
                same_end(&first, &again).is_ok(),
                same,
                "{first:?} {again:?}"
            );
        }
    }
}
