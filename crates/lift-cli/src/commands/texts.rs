//! Plain text that was sent, answers and the time come in; which text is answered or late goes out.

use std::{collections::VecDeque, time::Duration};

use serde_json::Value;
use streamer_client::protocol::request::action;
use tokio::time::Instant;

use crate::{
    heard::{Said, Sort},
    line,
};

/// How long an answer is waited for; the client's own messages have the same time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Plain texts without an answer, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    waiting: VecDeque<Waiting>,
    made: u64,
}

/// Names one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(u64);

#[derive(Debug)]
struct Waiting {
    number: Number,
    id: Option<String>,
    is_ping: bool,
    since: Instant,
}

impl Texts {
    /// Waits for the answer to a text, at most until the time returned.
    pub(crate) fn add(&mut self, now: Instant, text: &str) -> (Number, Instant) {
        self.made += 1;
        let number = Number(self.made);
        let is_ping = serde_json::from_str(text)
            .is_ok_and(|text: Value| text.get("action") == Some(&action::PING.into()));
        self.waiting.push_back(Waiting {
            number,
            id: line::id_in(text),
            is_ping,
            since: now,
        });
        (number, now + ANSWER_WITHIN)
    }

    /// Waits no longer for one that was not sent.
    pub(crate) fn forget(&mut self, number: Number) {
        self.waiting.retain(|text| text.number != number);
    }

    /// When the text was sent that this answers, if there is one.
    ///
    /// An answer without an id is taken to be for the text that waits longest.
    pub(crate) fn answer(&mut self, said: &Said) -> Option<Instant> {
        let position = match &said.id {
            _ if said.sort != Sort::Answer => None,
            Some(id) => self
                .waiting
                .iter()
                .position(|text| text.id.as_ref() == Some(id)),
            None => Some(0),
        };
        let text = self.waiting.remove(position?)?;
        Some(text.since)
    }

    /// How many texts waited for too long; they are given up.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|text| now < text.since + ANSWER_WITHIN);
        before - self.waiting.len()
    }

    /// Whether a message with this id, or a `pong` without one, may answer a text.
    pub(crate) fn may_be_answered_by(&self, id: Option<&str>) -> bool {
        self.waiting.iter().any(|text| match id {
            Some(_) => text.id.as_deref() == id,
            None => text.is_ping,
        })
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|text| text.since + ANSWER_WITHIN)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heard::Heard;

    #[test]
    fn answers_find_their_text_by_id_or_by_age() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut texts = Texts::default();
        for (second, text) in [(1, "{"), (2, r#"{"id":"a"}"#), (3, r#"{"action":"ping"}"#)] {
            texts.add(at(second), text);
        }
        let mut answer = |text: &str| {
            let said = Heard::default().take(text, |id| texts.may_be_answered_by(id));
            said.and_then(|said| texts.answer(&said))
        };
        for (text, expected) in [
            (r#"{"type":"going_away"}"#, None),
            (r#"{"type":"response","id":"b","data":1}"#, None),
            (
                r#"{"type":"error","id":"a","error":{"code":"X","message":"m"}}"#,
                Some(at(2)),
            ),
            (
                r#"{"type":"error","error":{"code":"X","message":"m"}}"#,
                Some(at(1)),
            ),
            (r#"{"type":"pong"}"#, Some(at(3))),
            (r#"{"type":"pong"}"#, None),
            ("anything", None),
        ] {
            assert_eq!(answer(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_is_given_up_when_its_time_has_passed() {
        let start = Instant::now();
        let mut texts = Texts::default();
        let (first, due) = texts.add(start, "a");
        let (second, _) = texts.add(start + Duration::from_secs(1), "b");
        assert_eq!(texts.next_due(), Some(due));
        assert_eq!(
            (
                texts.expire(due - Duration::from_millis(1)),
                texts.expire(due)
            ),
            (0, 1)
        );
        texts.forget(first);
        assert_eq!(texts.len(), 1);
        texts.forget(second);
        assert_eq!((texts.len(), texts.next_due()), (0, None));
    }
}
