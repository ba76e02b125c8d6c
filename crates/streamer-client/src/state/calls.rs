//! Messages to send and direct answers come in, what to send on which connection and who is answered goes out.

use std::collections::{BTreeMap, HashMap};

use streamer_protocol::message::Pong;
use tokio::time::Instant;

use super::{Action, Answer, Link, Ticket};
use crate::{backoff::Tries, error::Error};

/// Failures that the backoff starts with after a gateway's error frame: its first ceiling is 1 s.
const FAILED_BEFORE: u32 = 2;

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
    /// Perhaps failed on this connection, to be sent again from this time.
    Doubtful(Link, Instant),
}

#[derive(Debug)]
struct Open {
    call: Call,
    delivery: Delivery,
    /// How often it was doubtful.
    failed: u32,
}

/// The calls that have no direct answer yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<Ticket, Open>,
    by_id: HashMap<String, Ticket>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn add(&mut self, call: Call) {
        self.by_id.insert(call.id.clone(), call.ticket);
        let open = Open {
            call,
            delivery: Delivery::Unsent,
            failed: 0,
        };
        self.open.insert(open.call.ticket, open);
    }

    pub(super) fn awaits_answer(&self, id: &str) -> bool {
        let call = self.by_id.get(id).and_then(|ticket| self.open.get(ticket));
        call.is_some_and(|open| open.call.awaits == Awaits::Answer)
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
        call.map(|open| open.delivery = Delivery::Held(link))
            .is_some()
    }

    /// A message on `link` got no answer, nobody knows which: all that wait for one may be it, and are sent again
    /// unless they are answered in time. How long that is grows with each time.
    pub(super) fn one_failed(&mut self, now: Instant, random: f64, link: Link) {
        for (ticket, open) in &mut self.open {
            if open.delivery == Delivery::Sent(link) {
                let tries = Tries::failed(FAILED_BEFORE.saturating_add(open.failed));
                // At least half of the ceiling: most of them are answered meanwhile.
                let wait = tries.delay(0.5 + spread(*ticket, random) / 2.0);
                open.delivery = Delivery::Doubtful(link, now + wait);
                open.failed = open.failed.saturating_add(1);
            }
        }
    }

    /// A pong without an id answers every ping that was sent.
    pub(super) fn pong(&mut self, pong: &Pong, out: &mut Vec<Action>) {
        let answered = |call: &Call, delivery: Delivery| {
            let named = pong.id.as_ref().is_none_or(|id| *id == call.id);
            let sent = matches!(delivery, Delivery::Sent(_) | Delivery::Doubtful(..));
            call.awaits == Awaits::Pong && sent && named
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
        for open in self.open.values_mut().filter(|open| open.is_on(link)) {
            open.delivery = Delivery::Unsent;
        }
    }

    pub(super) fn owed_on(&self, link: Link) -> bool {
        self.open.values().any(|open| open.is_on(link))
    }

    /// Sends what waits for a connection.
    pub(super) fn flush(&mut self, now: Instant, live: Link, out: &mut Vec<Action>) {
        for open in self.open.values_mut() {
            let waits = match open.delivery {
                Delivery::Unsent => true,
                Delivery::Sent(_) => false,
                Delivery::Held(refused) => refused != live,
                Delivery::Doubtful(_, at) => at <= now,
            };
            if waits {
                open.delivery = Delivery::Sent(live);
                out.push(Action::Send(live, open.call.text.clone()));
            }
        }
    }

    pub(super) fn next_due(&self, connected: bool) -> Option<Instant> {
        let due = |open: &Open| match open.delivery {
            Delivery::Doubtful(_, at) if connected => at.min(open.call.deadline),
            _ => open.call.deadline,
        };
        self.open.values().map(due).min()
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
        for (ticket, open) in self
            .open
            .extract_if(.., |_, open| done(&open.call, open.delivery))
        {
            self.by_id.remove(&open.call.id);
            out.push(Action::Answer(ticket, answer()));
        }
    }
}

impl Open {
    /// Whether its answer may come on `link`.
    fn is_on(&self, link: Link) -> bool {
        matches!(self.delivery, Delivery::Sent(on) | Delivery::Doubtful(on, _) if on == link)
    }
}

/// In 0–1, for each ticket another part: what fails together is not sent again together.
fn spread(ticket: Ticket, random: f64) -> f64 {
    /// Steps of this length, taken one after the other around a circle, divide it evenly (the golden ratio's part).
    const STEP: f64 = 0.618_034;
    let steps = u16::try_from(ticket.0 % 4096).unwrap_or_default();
    (f64::from(steps) * STEP + random).fract()
}
