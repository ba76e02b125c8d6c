//! A client of a server that speaks in texts: an answer is known by the id in it, or is the next text.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use streamer_client::{
    options::{Observer, Seen},
    plain::{Heard, Incoming, Outgoing, Plain as Connection},
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use super::line::{self, Sending};
use crate::{
    books::{ClientNo, Note, OfMessage, Said, Seq},
    payload::{Body, find_id},
    scenario::Expect,
    world::{Kind, Ready, World},
};

#[derive(Debug)]
pub(super) struct Plain {
    outgoing: Outgoing,
    waiting: Arc<Mutex<Waiting>>,
    /// The connection has ended, and its loss is told.
    ended: CancellationToken,
}

/// Who waits for a text.
#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<Seq, oneshot::Sender<String>>,
    in_turn: VecDeque<(Seq, oneshot::Sender<String>)>,
}

impl Plain {
    pub(super) async fn open(world: &Arc<World>, kind: &Kind, client: ClientNo) -> Option<Self> {
        let watched = Arc::downgrade(world);
        let observer = Observer::new(move |seen| {
            if let Some(world) = watched.upgrade() {
                line::of_connection(&world, client, seen);
            }
        });
        let mut options = line::options(world, kind, client, observer)?;
        options.subprotocols.clone_from(&world.subprotocols);
        if let Some(token) = world.token(client) {
            options.token = Some(streamer_client::options::Token::fixed(token.ok()?));
        }
        let connection = match Connection::connect(options).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "a client did not connect");
                return None;
            }
        };
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (known, reader) = (Arc::clone(&waiting), Arc::clone(world));
        let ended = CancellationToken::new();
        let ends = ended.clone();
        world.readers.spawn(async move {
            tokio::select! {
                () = read(&reader, client, connection.incoming, &known) => {}
                () = reader.stop.cancelled() => {}
            }
            ends.cancel();
        });
        Some(Self {
            outgoing: connection.outgoing,
            waiting,
            ended,
        })
    }

    pub(super) async fn exchange(&self, world: &World, ready: &Ready, sending: Sending) {
        let Body::Text { text, has_id } = &ready.body else {
            return;
        };
        let known = world.known(sending.client, sending.seq);
        let text = match text.render(known) {
            Ok(text) => text,
            Err(error) => {
                tracing::debug!(error, "a text cannot be rendered");
                return;
            }
        };
        let (heard, answer) = oneshot::channel();
        if ready.message.expect != Expect::Nothing {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if *has_id {
                waiting.by_id.insert(sending.seq, heard);
            } else {
                waiting.in_turn.push_back((sending.seq, heard));
            }
        }
        self.outgoing.room().await;
        if self.is_gone() {
            return;
        }
        sending.tell(
            world,
            OfMessage::Sent {
                at: world.diary.now(),
            },
        );
        if let Err(error) = self.outgoing.send(text) {
            tracing::debug!(%error, "a text was not sent");
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.give_up(sending.seq);
            sending.tell(world, OfMessage::NotSent);
            return;
        }
        if ready.message.expect == Expect::Nothing {
            return;
        }
        tokio::select! {
            biased;
            // Nobody waits longer; an answer that comes after all is late.
            answer = timeout(world.answer_within, answer) => {
                if let Ok(Ok(answer)) = answer {
                    ready.check(world, sending, &answer);
                }
            }
            // A connection that ends answers nobody: the message stays unanswered.
            () = self.ended.cancelled() => {}
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Is cancelled when the connection has ended.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    pub(super) fn cut(&self) {
        self.outgoing.cut();
    }
}

/// Ends with the connection.
async fn read(world: &World, client: ClientNo, mut incoming: Incoming, waiting: &Mutex<Waiting>) {
    loop {
        match incoming.next().await {
            Heard::Text(text) => {
                let at = world.diary.now();
                let (seq, heard) = {
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    waiting.take(client, &text)
                };
                let what = OfMessage::Heard {
                    at,
                    said: Said::Reply,
                };
                world.diary.note(Note::Message { client, seq, what });
                if let Some(heard) = heard {
                    // Who waited may have given up.
                    let _ = heard.send(text);
                }
            }
            Heard::Binary(_) => {
                let what = OfMessage::Heard {
                    at: world.diary.now(),
                    said: Said::Reply,
                };
                world.diary.note(Note::Message {
                    client,
                    seq: None,
                    what,
                });
            }
            Heard::Closed(end) => {
                line::of_connection(world, client, Seen::Lost(end.map(|end| end.code)));
                *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Waiting::default();
                return;
            }
        }
    }
}

impl Waiting {
    /// A text that was not sent is not answered: the next answer is another one's.
    fn give_up(&mut self, seq: Seq) {
        self.by_id.remove(&seq);
        self.in_turn.retain(|(waits, _)| *waits != seq);
    }

    fn take(
        &mut self,
        client: ClientNo,
        text: &str,
    ) -> (Option<Seq>, Option<oneshot::Sender<String>>) {
        match find_id(text) {
            Some((of, seq)) if of == client => (Some(seq), self.by_id.remove(&seq)),
            // It answers another client's message.
            Some(_) => (None, None),
            None => self
                .in_turn
                .pop_front()
                .map_or((None, None), |(seq, heard)| (Some(seq), Some(heard))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_taken_for_one_to_a_text_that_was_not_sent() {
        let mut waiting = Waiting::default();
        for seq in [1, 2] {
            waiting.in_turn.push_back((seq, oneshot::channel().0));
        }
        waiting.give_up(1);
        assert_eq!(waiting.take(0, "hello").0, Some(2));
        assert_eq!(waiting.take(0, "hello").0, None);
    }
}
