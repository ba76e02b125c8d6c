//! Messages to send and direct answers come in, what to send on which connection and who is answered goes out.

use std::collections::{BTreeMap, HashMap};

use streamer_protocol::message::Pong;
use tokio::time::Instant;

use super::{Action, Answer, Link, Ticket};
use crate::error::Error;

/// A message that waits for its direct answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) ticket: Ticket,
    pub(crate) id: String,
    /// The message as it is sent, and sent again: every one may be repeated without harm.
    pub(crate) text: String,
    pub(crate) deadline: Instant,
    pub(crate) awaits: Awaits,
}

/// What answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// `response`, `acknowledgment` or `error` with its id.
    Answer,
    /// `pong`, which need not have an id.
    Pong,
}

/// Where a message is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Unsent,
    Sent(Link),
    /// Refused on this connection, to be sent on the next.
    Held(Link),
}

/// The calls that have no direct answer yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<Ticket, (Call, Delivery)>,
    by_id: HashMap<String, Ticket>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn add(&mut self, call: Call) {
        self.by_id.insert(call.id.clone(), call.ticket);
        self.open.insert(call.ticket, (call, Delivery::Unsent));
    }

    pub(super) fn awaits_answer(&self, id: &str) -> bool {
        let call = self.by_id.get(id).and_then(|ticket| self.open.get(ticket));
        call.is_some_and(|(call, _)| call.awaits == Awaits::Answer)
    }

    /// The call that an answer with `id` is for; it is no longer open.
    pub(super) fn take(&mut self, id: &str) -> Option<Ticket> {
        let ticket = self.by_id.remove(id)?;
        self.open.remove(&ticket).map(|_| ticket)
    }

    /// Keeps the call `id` for the connection after `link`; `false` if there is no such call.
    pub(super) fn hold(&mut self, id: &str, link: Link) -> bool {
        let call = self
            .by_id
            .get(id)
            .and_then(|ticket| self.open.get_mut(ticket));
        call.map(|(_, delivery)| *delivery = Delivery::Held(link))
            .is_some()
    }

    /// A pong without an id answers every ping that was sent.
    pub(super) fn pong(&mut self, pong: &Pong, out: &mut Vec<Action>) {
        let answered = |call: &Call, delivery: Delivery| {
            let named = pong.id.as_ref().is_none_or(|id| *id == call.id);
            call.awaits == Awaits::Pong && matches!(delivery, Delivery::Sent(_)) && named
        };
        let answer = || {
            Ok(Answer::Pong {
                server_time: pong.server_time.clone(),
            })
        };
        self.remove_where(|call, delivery| answered(call, delivery), answer, out);
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.remove_where(|call, _| call.deadline <= now, || Err(Error::TimedOut), out);
    }

    /// What was sent on `link` and not answered is to be sent again.
    pub(super) fn lost(&mut self, link: Link) {
        for (_, delivery) in self.open.values_mut() {
            if *delivery == Delivery::Sent(link) {
                *delivery = Delivery::Unsent;
            }
        }
    }

    pub(super) fn owed_on(&self, link: Link) -> bool {
        self.open
            .values()
            .any(|(_, delivery)| *delivery == Delivery::Sent(link))
    }

    /// Sends what waits for a connection.
    pub(super) fn flush(&mut self, live: Link, out: &mut Vec<Action>) {
        for (call, delivery) in self.open.values_mut() {
            let waits = match *delivery {
                Delivery::Unsent => true,
                Delivery::Sent(_) => false,
                Delivery::Held(refused) => refused != live,
            };
            if waits {
                *delivery = Delivery::Sent(live);
                out.push(Action::Send(live, call.text.clone()));
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|(call, _)| call.deadline).min()
    }

    /// Takes out every call.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Ticket> {
        self.by_id.clear();
        std::mem::take(&mut self.open).into_keys()
    }

    fn remove_where(
        &mut self,
        mut done: impl FnMut(&Call, Delivery) -> bool,
        answer: impl Fn() -> Result<Answer, Error>,
        out: &mut Vec<Action>,
    ) {
        for (ticket, (call, _)) in self
            .open
            .extract_if(.., |_, (call, delivery)| done(call, *delivery))
        {
            self.by_id.remove(&call.id);
            out.push(Action::Answer(ticket, answer()));
        }
    }
}
