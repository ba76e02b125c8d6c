//! What callers, connections and the clock say comes in, what to send, dial, close and answer goes out.
//!
//! The rules of a client, without a socket, a clock or a random number of their own.

mod links;
mod calls;
mod follows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::value::RawValue;
use streamer_protocol::{
    close::{self, After},
    error::ErrorCode,
    message::{self, ServerMessage},
    request::{ClientMessage, From},
    view::{self, RequestId},
};
use tokio::time::Instant;

use self::{
    calls::Calls,
    follows::{Attached, Follows},
    links::{Keep, Links},
};
pub(crate) use self::{
    calls::{Awaits, Call},
    links::Link,
};
use crate::{
    error::{Error, Reason},
    request::{Outcome, Output, Update},
};

/// Most calls without an answer and requests without an end, together.
pub(crate) const IN_FLIGHT_MAX: usize = 4096;
/// Close code of a connection that ended without one (RFC 6455 §7.1.5).
const LOST: u16 = 1006;

/// Where a client's connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A connection is being made.
    Connecting {
        /// How many attempts failed, or connections were lost, since the last that lasted.
        attempt: u32,
    },
    /// Messages flow; a second connection may be in the making to replace this one.
    Connected,
    /// The next attempt waits for its time.
    Waiting {
        /// When it starts.
        until: Instant,
        /// How many attempts failed, or connections were lost, since the last that lasted.
        attempt: u32,
        /// Why the last one failed, for people.
        cause: String,
    },
    /// Nothing more happens.
    Closed {
        /// Why.
        reason: Reason,
    },
}

/// Who waits for an answer or follows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

#[derive(Debug)]
pub(crate) enum Input {
    Call(Call),
    Follow {
        ticket: Ticket,
        from: From,
        deadline: Instant,
    },
    Forget(Ticket),
    Opened(Link),
    /// The handshake was answered with a status that would be the same again.
    Refused(u16),
    /// No connection was made, for a reason that may pass.
    DialFailed(String),
    /// The server is there and takes no more connections for now.
    Throttled(String),
    Received(Link, Box<ServerMessage>),
    Lost(Link, Option<u16>),
    Cut {
        away: Duration,
    },
    Close,
    Tick,
}

#[derive(Debug)]
pub(crate) enum Action {
    Dial(Link),
    Send(Link, String),
    /// With a close frame, what was sent before it included.
    Close(Link),
    /// At once, without a word.
    Cut(Link),
    Answer(Ticket, Result<Answer, Error>),
    Update(Ticket, Update),
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Response {
        request_id: Option<RequestId>,
        data: Box<RawValue>,
    },
    Accepted {
        request_id: RequestId,
        status: view::State,
        duplicate: bool,
    },
    Pong {
        server_time: Option<String>,
    },
}

/// One client's rules and tables.
#[derive(Debug)]
pub(crate) struct Session {
    links: Links,
    calls: Calls,
    follows: Follows,
    closed: Option<Reason>,
}

impl Session {
    /// A client that dials at its first input. `prefix` starts the ids of its own messages.
    pub(crate) fn new(now: Instant, prefix: &str) -> Self {
        Self {
            links: Links::new(now),
            calls: Calls::default(),
            follows: Follows::new(prefix),
            closed: None,
        }
    }

    /// Where the connection is now.
    pub(crate) fn state(&self) -> State {
        match &self.closed {
            Some(reason) => State::Closed {
                reason: reason.clone(),
            },
            None => self.links.state(),
        }
    }

    /// The connection that messages go to.
    pub(crate) fn live(&self) -> Option<Link> {
        self.links.live()
    }

    /// When `Input::Tick` is due if nothing else happens.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let connected = self.live().is_some();
        let calls = self.calls.next_due(connected);
        let follows = self.follows.next_due(connected);
        self.links
            .next_due(self.is_busy())
            .chain(calls)
            .chain(follows)
            .min()
    }

    /// Takes one input; `random` in 0–1 spreads reconnects.
    pub(crate) fn handle(&mut self, now: Instant, random: f64, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        if let Some(reason) = &self.closed {
            if let Input::Call(Call { ticket, .. }) | Input::Follow { ticket, .. } = input {
                out.push(Action::Answer(ticket, Err(reason.clone().into())));
            }
            return out;
        }
        let full = self.calls.len() + self.follows.len() >= IN_FLIGHT_MAX;
        match input {
            Input::Call(Call { ticket, .. }) | Input::Follow { ticket, .. } if full => {
                out.push(Action::Answer(ticket, Err(Error::Busy)));
            }
            Input::Call(call) => self.calls.add(call),
            Input::Follow {
                ticket,
                from,
                deadline,
            } => self.follows.ask(now, ticket, from, deadline),
            Input::Forget(ticket) => self.follows.forget(ticket),
            Input::Opened(link) => {
                self.follows.opened(now);
                if let Some(old) = self.links.opened(now, link) {
                    self.close(now, old, &mut out);
                }
            }
            Input::Refused(status) => self.finish(Reason::Refused { status }, &mut out),
            Input::DialFailed(cause) => self.links.dial_failed(now, random, cause),
            Input::Throttled(cause) => self.links.throttled(now, random, cause),
            Input::Received(link, message) => self.received(now, random, link, *message, &mut out),
            Input::Lost(link, code) => self.lost(now, random, link, code, &mut out),
            Input::Cut { away } => {
                if let Some(link) = self.live() {
                    out.push(Action::Cut(link));
                    self.lost(now, random, link, None, &mut out);
                    self.links.stay_away(now + away);
                }
            }
            Input::Close => self.finish(Reason::Asked, &mut out),
            Input::Tick => {}
        }
        self.settle(now, random, &mut out);
        out
    }

    /// Whatever is due by time, and whatever waits for a connection that is there.
    fn settle(&mut self, now: Instant, random: f64, out: &mut Vec<Action>) {
        if self.closed.is_some() {
            return;
        }
        self.calls.expire(now, out);
        self.follows.expire(now, out);
        match self.links.keep_alive(now, self.is_busy()) {
            Keep::Nothing => {}
            Keep::Ping(link) => out.push(Action::Send(link, text_of(&ClientMessage::ping()))),
            Keep::Dead(link) => {
                out.push(Action::Cut(link));
                self.lost(now, random, link, None, out);
            }
        }
        out.extend(self.links.dial(now).map(Action::Dial));
        let live = self.live();
        if let Some(old) = self.links.leaving() {
            // Alone it may be all that there is for a while.
            let follows = live.is_none_or(|live| self.follows.owed_on(live));
            let owes = self.calls.owed_on(old) || follows;
            if let Some(old) = self.links.leave(now, owes) {
                self.close(now, old, out);
            }
        }
        let Some(live) = live else { return };
        // Resumes first: on a new connection they are what it was made for.
        self.follows.flush(now, live, out);
        self.calls.flush(now, live, out);
    }

    /// What a connection still owed is asked for on the next.
    fn close(&mut self, now: Instant, link: Link, out: &mut Vec<Action>) {
        out.push(Action::Close(link));
        self.calls.lost(link);
        self.follows.lost(now, link);
    }

    fn received(
        &mut self,
        now: Instant,
        random: f64,
        link: Link,
        said: ServerMessage,
        out: &mut Vec<Action>,
    ) {
        if !self.links.heard(now, link) {
            return;
        }
        match said {
            ServerMessage::Response(said) => self.responded(now, said, out),
            ServerMessage::Acknowledgment(said) => {
                if let Some(ticket) = said.id.as_deref().and_then(|id| self.calls.take(id)) {
                    let attached = if said.duplicate {
                        Attached::Due(now)
                    } else {
                        Attached::On(link)
                    };
                    let (request_id, status, duplicate) =
                        (said.request_id, said.status, said.duplicate);
                    let accepted = Answer::Accepted {
                        request_id: request_id.clone(),
                        status,
                        duplicate,
                    };
                    out.push(Action::Answer(ticket, Ok(accepted)));
                    self.follows.accepted(ticket, request_id, attached, out);
                }
            }
            ServerMessage::Progress(said) => {
                self.meet(
                    link,
                    &said.request_id,
                    said.id.as_deref(),
                    view::State::Running,
                    out,
                );
                self.follows.progress(said, out);
            }
            ServerMessage::Complete(said) => {
                self.meet(
                    link,
                    &said.request_id,
                    said.id.as_deref(),
                    view::State::Completed,
                    out,
                );
                let (request_id, seq) = (said.request_id.clone(), said.seq);
                self.follows
                    .end(&request_id, seq, &Outcome::Complete(Output::of(said)), out);
            }
            ServerMessage::Cancelled(said) => {
                self.meet(
                    link,
                    &said.request_id,
                    said.id.as_deref(),
                    view::State::Cancelled,
                    out,
                );
                self.follows
                    .end(&said.request_id, said.seq, &Outcome::Cancelled, out);
            }
            ServerMessage::Error(said) => self.failed(now, random, link, said, out),
            ServerMessage::Pong(said) => self.calls.pong(&said, out),
            ServerMessage::GoingAway(said) => {
                self.links
                    .going_away(now, link, Duration::from_millis(said.reconnect_after_ms));
            }
            ServerMessage::GatewayError(_) => {
                self.calls.one_failed(now, random, link);
                self.follows.one_failed(now, link);
            }
            ServerMessage::Unknown(_) => {}
        }
    }

    fn responded(&mut self, now: Instant, said: message::Response, out: &mut Vec<Action>) {
        let Some(id) = said.id.as_deref() else { return };
        if self.follows.resumed(now, id, &said, out) {
            return;
        }
        if let Some(ticket) = self.calls.take(id) {
            let answer = Answer::Response {
                request_id: said.request_id,
                data: said.data,
            };
            out.push(Action::Answer(ticket, Ok(answer)));
        }
    }

    fn failed(
        &mut self,
        now: Instant,
        random: f64,
        link: Link,
        said: message::Failure,
        out: &mut Vec<Action>,
    ) {
        if let (Some(seq), Some(request_id)) = (said.seq, &said.request_id) {
            self.meet(
                link,
                request_id,
                said.id.as_deref(),
                view::State::Failed,
                out,
            );
            self.follows
                .end(request_id, seq, &Outcome::Failed(Box::new(said.error)), out);
            return;
        }
        let Some(id) = said.id.as_deref() else { return };
        let expired = said.error.code == ErrorCode::TokenExpired;
        if expired {
            self.links.replace(now, random);
        }
        if self.follows.refused(now, id, &said.error) {
            return;
        }
        let drained = said.error.code == ErrorCode::Overloaded && self.links.is_going_away(link);
        if (expired || drained) && self.calls.hold(id, link) {
            return;
        }
        if let Some(ticket) = self.calls.take(id) {
            out.push(Action::Answer(
                ticket,
                Err(Error::Rejected(Box::new(said.error))),
            ));
        }
    }

    /// What is said about a request may overtake the answer that announces it (API Gateway): it is that answer.
    fn meet(
        &mut self,
        link: Link,
        request_id: &RequestId,
        id: Option<&str>,
        status: view::State,
        out: &mut Vec<Action>,
    ) {
        if self.follows.has(request_id) {
            self.follows.answer(request_id, status, out);
            return;
        }
        let Some(id) = id.filter(|id| self.calls.awaits_answer(id)) else {
            return;
        };
        if let Some(ticket) = self.calls.take(id) {
            let accepted = Answer::Accepted {
                request_id: request_id.clone(),
                status,
                duplicate: false,
            };
            out.push(Action::Answer(ticket, Ok(accepted)));
            self.follows
                .accepted(ticket, request_id.clone(), Attached::On(link), out);
        }
    }

    fn lost(
        &mut self,
        now: Instant,
        random: f64,
        link: Link,
        code: Option<u16>,
        out: &mut Vec<Action>,
    ) {
        let live = self.live() == Some(link);
        let code = code.unwrap_or(LOST);
        if !self.links.lost(now, random, link, code) {
            return;
        }
        self.calls.lost(link);
        self.follows.lost(now, link);
        if live && close::after(code) == After::Stay {
            self.finish(Reason::Code(code), out);
        }
    }

    fn finish(&mut self, reason: Reason, out: &mut Vec<Action>) {
        out.extend(self.links.up().map(Action::Close));
        let left: Vec<_> = self.calls.drain().chain(self.follows.drain()).collect();
        out.extend(
            left.into_iter()
                .map(|ticket| Action::Answer(ticket, Err(reason.clone().into()))),
        );
        self.closed = Some(reason);
    }

    fn is_busy(&self) -> bool {
        self.calls.len() + self.follows.len() > 0
    }
}

/// The text of a message made here.
fn text_of(message: &ClientMessage) -> String {
    serde_json::to_string(message).expect("a client message has string keys")
}
