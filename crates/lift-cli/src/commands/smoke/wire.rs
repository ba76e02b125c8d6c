//! Texts come in and go to the server; what it answers within the time comes out, one message at a time. No rule is here.

use std::time::Duration;

use streamer_client::{
    Error,
    options::Options,
    plain::{Heard, Plain},
    protocol::message::ServerMessage,
};
use tokio::time::{Instant, timeout_at};

use super::{finding::Outcome, judge::Question};
use crate::{commands::plain::said, config::Smoke, failure::chain};

/// One raw connection, made again where it is lost: a repetition or a second end is seen, as no client shows it.
pub(super) struct Wire {
    options: Options,
    limit: Duration,
    plain: Option<Plain>,
    /// Why there is no use in connecting.
    refused: Option<String>,
    asked: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// There is no connection, and no check is about that.
    Unconnected(String),
    /// Nothing came in time.
    Late,
    /// What came is no message, or the connection ended.
    Broken(String),
}

impl Silence {
    pub(super) fn outcome(self, limit: Duration) -> Outcome {
        match self {
            Self::Unconnected(why) => Outcome::Skipped(why),
            Self::Late => Outcome::Failed(format!("no answer in {limit:?}")),
            Self::Broken(why) => Outcome::Failed(why),
        }
    }
}

impl Wire {
    pub(super) fn new(config: &Smoke) -> Self {
        Self {
            options: config.options.clone(),
            limit: config.limit,
            plain: None,
            refused: None,
            asked: 0,
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// When a check that begins now must be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Connects, and says which subprotocol the server chose.
    pub(super) async fn open(&mut self, deadline: Instant) -> Result<Option<String>, String> {
        match connect(self.options.clone(), deadline).await {
            Ok(plain) => {
                let chosen = plain.subprotocol.clone();
                self.plain = Some(plain);
                Ok(chosen)
            }
            Err(error) => {
                let why = told(error.as_ref(), self.limit);
                self.refused = Some(format!("no connection: {why}"));
                Err(why)
            }
        }
    }

    /// A new `id` of a message.
    pub(super) fn id(&mut self) -> String {
        self.asked += 1;
        format!("smoke-{}", self.asked)
    }

    /// Asks, and judges the answer.
    pub(super) async fn judged(&mut self, question: Question) -> Outcome {
        let id = self.id();
        match self.ask(&id, question.text(&id)).await {
            Ok(answer) => (question.judge)(&answer).into(),
            Err(silence) => silence.outcome(self.limit),
        }
    }

    /// Sends a message and waits for what answers it.
    pub(super) async fn ask(&mut self, id: &str, text: String) -> Result<ServerMessage, Silence> {
        let deadline = self.deadline();
        self.send(text, deadline).await?;
        loop {
            let said = self.next(deadline).await?;
            if is_about(&said, id) {
                return Ok(said);
            }
        }
    }

    /// Sends a text as it is; connects for it where the connection was lost.
    pub(super) async fn send(&mut self, text: String, deadline: Instant) -> Result<(), Silence> {
        if let Some(why) = &self.refused {
            return Err(Silence::Unconnected(why.clone()));
        }
        if self.plain.is_none() {
            self.open(deadline).await.map_err(Silence::Broken)?;
        }
        let plain = self.plain.as_ref().ok_or_else(lost)?;
        let sent = plain.outgoing.send(text);
        sent.map_err(|error| Silence::Broken(chain(&error)))
    }

    /// The next message.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<ServerMessage, Silence> {
        let plain = self.plain.as_mut().ok_or_else(lost)?;
        let heard = timeout_at(deadline, plain.incoming.next()).await;
        match heard.map_err(|_elapsed| Silence::Late)? {
            Heard::Text(text) => read(&text).map_err(Silence::Broken),
            Heard::Binary(bytes) => Err(Silence::Broken(format!(
                "a binary message of {bytes} bytes came"
            ))),
            Heard::Closed(closing) => {
                self.plain = None;
                Err(Silence::Broken(said(closing.as_ref())))
            }
        }
    }

    pub(super) async fn close(self) {
        if let Some(plain) = self.plain {
            plain.close().await;
        }
    }
}

fn lost() -> Silence {
    Silence::Broken("the connection was lost".to_owned())
}

/// One connection, or why there is none; no error where time was up.
pub(super) async fn connect(options: Options, deadline: Instant) -> Result<Plain, Option<Error>> {
    let connected = timeout_at(deadline, Plain::connect(options)).await;
    connected.map_err(|_elapsed| None)?.map_err(Some)
}

/// Why there is no connection, in a line.
pub(super) fn told(error: Option<&Error>, limit: Duration) -> String {
    match error {
        Some(Error::Refused { status }) => {
            format!("the handshake was answered with status {status}")
        }
        Some(error) => chain(error),
        None => format!("the handshake was not answered in {limit:?}"),
    }
}

/// A message of the protocol, or what came instead.
fn read(text: &str) -> Result<ServerMessage, String> {
    match ServerMessage::parse(text) {
        Ok(ServerMessage::GatewayError(frame)) => Err(format!(
            "the gateway answers that the server did not: `{}`, its request {}",
            frame.message, frame.request_id
        )),
        Ok(said) => Ok(said),
        Err(error) => Err(format!(
            "what came is no message of `streamer.v1` ({error}): `{text}`"
        )),
    }
}

/// Whether a message is said of the one with this id; one that has none may be, for only one is open at a time.
pub(super) fn is_about(said: &ServerMessage, id: &str) -> bool {
    match said {
        ServerMessage::Pong(pong) => pong.id.as_deref().is_none_or(|of| of == id),
        ServerMessage::Error(error) if error.seq.is_none() => {
            error.id.as_deref().is_none_or(|of| of == id)
        }
        other => other.id() == Some(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_says_what_it_is() {
        for (text, why) in [
            (
                "you said hello",
                "is no message of `streamer.v1` (expected value",
            ),
            (
                r#"{"action":"ping"}"#,
                r#"(missing field `type` at line 1 column 17): `{"action":"ping"}`"#,
            ),
            (
                r#"{"message":"Internal server error","connectionId":"c","requestId":"r"}"#,
                "did not: `Internal server error`, its request r",
            ),
        ] {
            let read = read(text).unwrap_err();
            assert!(read.contains(why), "{text}: {read}");
        }
    }

    #[test]
    fn an_answer_is_known_by_its_id_or_by_having_none() {
        for (text, about) in [
            (r#"{"type":"pong"}"#, true),
            (r#"{"type":"pong","id":"a"}"#, true),
            (r#"{"type":"pong","id":"b"}"#, false),
            (
                r#"{"type":"error","error":{"code":"INVALID_JSON","message":"m"}}"#,
                true,
            ),
            (
                r#"{"type":"error","id":"b","error":{"code":"NOT_FOUND","message":"m"}}"#,
                false,
            ),
            (
                r#"{"type":"error","request_id":"R","seq":1,"error":{"code":"TIMEOUT","message":"m"}}"#,
                false,
            ),
            (r#"{"type":"response","id":"a","data":1}"#, true),
            (r#"{"type":"response","data":1}"#, false),
            (r#"{"type":"going_away","reconnect_after_ms":1}"#, false),
        ] {
            let said = ServerMessage::parse(text).unwrap();
            assert_eq!(is_about(&said, "a"), about, "{text}");
        }
    }
}
