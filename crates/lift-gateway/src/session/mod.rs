//! In: what happens to one connection, and when. Out: what its driver must do: the rules, and nothing else.
//!
//! A [`Session`] lives from the upgrade request to the end of `$disconnect`. Its driver (the socket
//! task, or a test with a clock of its own) feeds [`Input`]s, carries out [`Action`]s, writes
//! [`Session::next_frame`]s and calls [`Session::tick`] at [`Session::deadline`].
//!
//! ```
//! use std::sync::Arc;
//! use lift_gateway::session::{Action, Input, Session, handshake::Upgrade};
//! use lift_gateway::{ConnectionId, Rules, Timestamp};
//!
//! let rules = Arc::new(Rules::default().two_way("$default"));
//! let (now, mut actions) = (Timestamp::from_epoch_ms(1_763_757_569_117), Vec::new());
//! let id = ConnectionId::from_bytes([7; 11]);
//! let mut session = Session::new(rules, Upgrade::websocket("/"), id, 1, now);
//! session.start(now, &mut actions);
//! assert!(matches!(actions.remove(0), Action::Accept { .. }));
//!
//! session.handle(now, Input::Text("hi".into()), &mut actions);
//! let Action::Invoke(invoke) = actions.remove(0) else { panic!() };
//! let outcome = Ok(r#"{"statusCode":200,"body":"hello"}"#.into());
//! session.handle(now, Input::Invoked { invocation: invoke.invocation, outcome }, &mut actions);
//! assert_eq!(session.next_frame(), Some(bytes::Bytes::from("hello").into()));
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lift_apigw::close::Close;
use lift_apigw::error_frame;
use lift_apigw::management::Connection;

use crate::{ConnectionId, RequestId};

pub mod time;
pub mod quota;
pub mod rules;
pub mod throttle;
pub mod handshake;
pub mod identity;
mod authorizer;
mod events;
mod ids;
pub mod codec;
pub mod route;
mod opening;
mod answer;
pub mod untaken;
mod ending;
pub mod outbox;
pub mod management;
mod clocks;
pub mod observer;
mod types;

use self::clocks::Clocks;
use self::codec::Text;
use self::ending::Ending;
use self::events::{Facts, MessageEvent};
use self::handshake::Upgrade;
use self::ids::Ids;
use self::observer::{Noted, Observer};
use self::outbox::{Budget, Frame, Outbox};
use self::rules::{RouteIntegration, RouteResponse, Rules};
use self::throttle::{Bucket, Throttle};

pub use self::events::FunctionEvent;
pub use self::time::Timestamp;
pub use self::types::{
    Action, Function, Input, Invoke, InvokeError, PostError, Returned, Violation,
};

/// One connection, from its upgrade request to the end of `$disconnect`.
#[derive(Debug)]
pub struct Session {
    rules: Arc<Rules>,
    phase: Phase,
    facts: Arc<Facts>,
    ids: Ids,
    trace: String,
    clocks: Clocks,
    outbox: Outbox,
    throttle: Arc<Throttle>,
    watched: Option<Watched>,
    messages: Bucket,
    in_flight: BTreeMap<u64, InFlight>,
    invocations: u64,
}

/// Whoever watches a session, and what is to be shown.
#[derive(Debug)]
struct Watched {
    observer: Observer,
    noted: Vec<Noted>,
}

#[derive(Debug)]
enum Phase {
    /// Waits for the authorizer or `$connect`; `ending` is what ends it as soon as it is accepted.
    Handshake {
        upgrade: Box<Upgrade>,
        asked_at: Timestamp,
        ending: Option<Close>,
    },
    /// Accepted.
    Open { draining: bool },
    /// Refused, or accepted and gone; what is in flight may finish.
    Ended,
}

#[derive(Debug)]
struct InFlight {
    step: Step,
    deadline: Timestamp,
}

#[derive(Debug)]
enum Step {
    Authorizer,
    Connect,
    Message {
        request_id: RequestId,
        response: RouteResponse,
    },
    Disconnect,
}

impl Session {
    /// A session for an upgrade request; `seed` makes its request ids.
    #[must_use]
    pub fn new(
        rules: Arc<Rules>,
        upgrade: Upgrade,
        connection_id: ConnectionId,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let budget = Arc::new(Budget::new(&rules.limits));
        let mut ids = Ids::new(seed, connection_id);
        Self {
            facts: Arc::new(Facts::new(&rules, &upgrade, connection_id, now)),
            trace: ids.trace(now.epoch_ms()),
            ids,
            clocks: Clocks::new(now),
            outbox: Outbox::new(budget),
            throttle: Arc::new(Throttle::new(&rules)),
            watched: None,
            messages: Bucket::default(),
            in_flight: BTreeMap::new(),
            invocations: 0,
            phase: Phase::Handshake {
                upgrade: Box::new(upgrade),
                asked_at: now,
                ending: None,
            },
            rules,
        }
    }

    /// Shares the budget for waiting bytes with other sessions of the process.
    #[must_use]
    pub fn with_budget(mut self, budget: Arc<Budget>) -> Self {
        self.outbox = Outbox::new(budget);
        self
    }

    /// Shares the rates with other sessions of the gateway.
    #[must_use]
    pub fn with_throttle(mut self, throttle: Arc<Throttle>) -> Self {
        self.throttle = throttle;
        self
    }

    /// Notes what is accepted, taken, given and ended with, for the driver to show.
    #[must_use]
    pub(crate) fn with_observer(mut self, observer: Option<Observer>) -> Self {
        self.watched = observer.map(|observer| Watched {
            observer,
            noted: Vec::new(),
        });
        self
    }

    pub(crate) fn observer(&self) -> Option<Observer> {
        Some(self.watched.as_ref()?.observer.clone())
    }

    /// What was noted since this was last asked.
    pub(crate) fn noted(&mut self) -> Vec<Noted> {
        let watched = self.watched.as_mut();
        watched.map_or_else(Vec::new, |watched| std::mem::take(&mut watched.noted))
    }

    #[inline]
    fn note(&mut self, noted: impl FnOnce() -> Noted) {
        if let Some(watched) = &mut self.watched {
            watched.noted.push(noted());
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Timestamp, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Invoked {
                invocation,
                outcome,
            } => {
                self.invoked(now, invocation, &outcome, actions);
            }
            Input::Text(text) => self.message(now, text, actions),
            Input::Binary => {
                self.note(|| Noted::Binary);
                self.end(now, Ending::Closed(Close::BINARY), actions);
            }
            // Whether a ping resets API Gateway's idle clock is unverified; here it does not.
            // The codec has queued the pong (RFC 6455 §5.5.2).
            Input::Ping => self.note(|| Noted::Ping),
            Input::Pong => self.note(|| Noted::Pong),
            Input::Violation(violation) => {
                self.end(now, Ending::Closed(violation.close()), actions);
            }
            Input::ClientClose(frame) => {
                let (status_code, reason) = match frame {
                    Some((code, reason)) => (code, Cow::Owned(reason)),
                    None => (
                        Close::NO_STATUS.code,
                        Cow::Borrowed(Close::NO_STATUS.reason),
                    ),
                };
                self.end(
                    now,
                    Ending::HungUp {
                        status_code,
                        reason,
                    },
                    actions,
                );
            }
            Input::Dropped => self.end_early(now, Close::DROPPED, actions),
            Input::Drain { close_by } => self.drain(now, close_by, actions),
            Input::WriteBlocked => self.clocks.blocked(now),
            Input::WriteResumed => self.clocks.resumed(),
        }
    }

    /// When to call [`tick`](Self::tick) next, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let invocations = self.in_flight.values().map(|in_flight| in_flight.deadline);
        let clocks = match self.phase {
            Phase::Open { .. } => self.clocks.deadline(&self.rules.limits),
            Phase::Handshake { .. } | Phase::Ended => None,
        };
        invocations.chain(clocks).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let late = self
            .in_flight
            .iter()
            .filter(|(_, in_flight)| in_flight.deadline <= now);
        for invocation in late.map(|(invocation, _)| *invocation).collect::<Vec<_>>() {
            actions.push(Action::Abandon { invocation });
            self.invoked(now, invocation, &Err(InvokeError::TimedOut), actions);
        }
        if let Phase::Open { .. } = self.phase
            && let Some(close) = self.clocks.due(&self.rules.limits, now)
        {
            self.end(now, Ending::Closed(close), actions);
        }
    }

    /// The next message to write; the driver takes it when the transport is ready for it, and says
    /// so with [`written`](Self::written) when the transport has it.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let frame = self.outbox.pop()?;
        self.note(|| Noted::Sent(frame.clone()));
        Some(frame)
    }

    /// The transport has taken all messages that were given, or will take none any more: they count
    /// against no budget from here on.
    #[inline]
    pub fn written(&mut self) {
        self.outbox.written();
    }

    /// Nothing is held for the client any more.
    pub(crate) fn transport_ended(&mut self) {
        self.outbox.written();
        self.outbox.hold_unread(0, 0);
    }

    /// So many bytes were read that are no whole message yet; whether there is room for them, which
    /// there always is for these few.
    pub(crate) fn hold_unread(&mut self, bytes: usize, always: usize) -> bool {
        self.outbox.hold_unread(bytes, always)
    }

    /// Whether a message waits to be written.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// How many messages wait to be written, and their bytes.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.outbox.len(), self.outbox.bytes())
    }

    /// How many more messages the driver may read now; at 0 it leaves them in the transport. Control
    /// frames before them, and the end, it reads at any time.
    ///
    /// 0 with `in_flight_max` invocations, with a full queue towards the client, and in a drain.
    #[must_use]
    pub fn read_room(&self) -> usize {
        match self.phase {
            Phase::Open { draining: false } if !self.outbox.is_full(&self.rules.limits) => self
                .rules
                .limits
                .in_flight_max
                .saturating_sub(self.messages_in_flight()),
            Phase::Open { .. } | Phase::Handshake { .. } | Phase::Ended => 0,
        }
    }

    /// Queues a message for the client, as `POST @connections/{id}` does.
    ///
    /// # Errors
    /// Not accepted yet or gone; over the rate or the message limit; the queue, or the budget of the
    /// share or the process, is full.
    pub fn post(&mut self, now: Timestamp, payload: Bytes) -> Result<(), PostError> {
        self.called(now)?;
        self.queue(now, payload)
    }

    /// Queues a message that the host has for all its clients; no rate counts it.
    ///
    /// # Errors
    /// Not accepted yet or gone; over the message limit; the queue or the process's budget is full.
    pub fn announce(&mut self, now: Timestamp, payload: Bytes) -> Result<(), PostError> {
        let Phase::Open { .. } = self.phase else {
            return Err(PostError::Gone);
        };
        self.queue(now, payload)
    }

    fn queue(&mut self, now: Timestamp, payload: Bytes) -> Result<(), PostError> {
        self.outbox.post(&self.rules.limits, payload)?;
        self.clocks.active(now);
        Ok(())
    }

    /// What `GET @connections/{id}` answers.
    ///
    /// # Errors
    /// Not accepted yet or gone; over the rate.
    pub fn get(&self, now: Timestamp) -> Result<Connection<'static>, PostError> {
        self.called(now)?;
        Ok(self.facts.describe(self.clocks.last_active()))
    }

    /// Closes the connection with 1000 after what is queued, as `DELETE @connections/{id}` does.
    ///
    /// # Errors
    /// Not accepted yet or gone; over the rate.
    pub fn delete(&mut self, now: Timestamp, actions: &mut Vec<Action>) -> Result<(), PostError> {
        self.called(now)?;
        self.end(now, Ending::Closed(Close::DELETED), actions);
        Ok(())
    }

    /// The connection's id.
    #[must_use]
    pub fn connection_id(&self) -> ConnectionId {
        self.facts.connection_id
    }

    /// Whether the handshake was accepted and the connection has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Whether nothing will happen any more: refused or ended, and no invocation is left.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Ended) && self.in_flight.is_empty()
    }

    /// Counts an `@connections` call; one to a connection that is not there counts nothing.
    fn called(&self, now: Timestamp) -> Result<(), PostError> {
        let Phase::Open { .. } = self.phase else {
            return Err(PostError::Gone);
        };
        if self.throttle.request(&self.rules, now) {
            Ok(())
        } else {
            Err(PostError::Throttled)
        }
    }

    fn invoked(
        &mut self,
        now: Timestamp,
        invocation: u64,
        outcome: &Result<Returned, InvokeError>,
        actions: &mut Vec<Action>,
    ) {
        // An invocation that was abandoned is not known any more.
        let Some(InFlight { step, .. }) = self.in_flight.remove(&invocation) else {
            return;
        };
        match (step, &self.phase, &self.rules.authorizer) {
            (Step::Authorizer, Phase::Handshake { asked_at, .. }, Some(authorizer)) => {
                let latency = now.since(*asked_at);
                match authorizer::decide(authorizer, &self.rules.connect_arn(), outcome) {
                    Ok(context) => {
                        let share = authorizer.share.as_deref();
                        if let Some(share) = share.and_then(|name| context.get(name)) {
                            self.outbox.join(share.to_string());
                        }
                        Arc::make_mut(&mut self.facts).authorizer = Some(context);
                        self.connect(latency, now, actions);
                    }
                    Err(refusal) => self.refuse(refusal, actions),
                }
            }
            (Step::Connect, Phase::Handshake { upgrade, .. }, _) => {
                match handshake::decide(upgrade, &self.rules.limits, outcome) {
                    Ok(subprotocol) => self.accept(subprotocol, now, actions),
                    Err(refusal) => self.refuse(refusal, actions),
                }
            }
            (
                Step::Message {
                    request_id,
                    response,
                },
                Phase::Open { draining },
                _,
            ) => {
                let draining = *draining;
                match answer::frame(response, outcome, &self.rules.limits) {
                    Ok(Some(frame)) => self.send(now, frame),
                    Ok(None) => {}
                    Err(message) => self.send_error(now, message, &request_id),
                }
                if draining && self.messages_in_flight() == 0 {
                    self.end(now, Ending::Closed(Close::RESTART), actions);
                }
            }
            // What `$disconnect` answers changes nothing; an answer after the end finds no client.
            _ => {}
        }
    }

    fn message(&mut self, now: Timestamp, text: Text, actions: &mut Vec<Action>) {
        let Phase::Open { .. } = self.phase else {
            return;
        };
        self.note(|| Noted::Text(text.clone()));
        self.clocks.active(now);
        if let Some(rate) = self.rules.limits.client_rate
            && !self.messages.take(rate, now)
        {
            return self.end(now, Ending::Closed(Close::TOO_MANY_MESSAGES), actions);
        }
        let request_id = self.ids.request();
        if !self.throttle.request(&self.rules, now) {
            return self.send_error(now, error_frame::TOO_MANY_REQUESTS, &request_id);
        }
        let Some((route, rule)) = route::select(&self.rules, &text) else {
            self.note(|| Noted::Unrouted(text.clone()));
            return self.send_error(now, error_frame::FORBIDDEN, &request_id);
        };
        if !self.throttle.route(route, rule, now) {
            return self.send_error(now, error_frame::TOO_MANY_REQUESTS, &request_id);
        }
        if let RouteIntegration::Mock(text) = &rule.integration {
            if rule.response == RouteResponse::TwoWay {
                let frame = Frame::Text(text.clone());
                self.send(now, frame);
            }
            return;
        }
        let message_id = self.ids.message();
        let event = MessageEvent {
            rules: Arc::clone(&self.rules),
            facts: Arc::clone(&self.facts),
            route: route.to_owned(),
            request_id,
            message_id,
            now,
            body: text,
        };
        let function = Function::Message {
            route: route.to_owned(),
        };
        let timeout = rule
            .timeout
            .unwrap_or(self.rules.limits.integration_timeout);
        let step = Step::Message {
            request_id,
            response: rule.response,
        };
        self.invoke(
            step,
            Call {
                function,
                request_id,
                event: event.into(),
                timeout,
            },
            now,
            actions,
        );
    }

    fn send(&mut self, now: Timestamp, frame: Frame) {
        self.clocks.active(now);
        self.outbox.answer(frame);
    }

    fn send_error(&mut self, now: Timestamp, message: &str, request_id: &RequestId) {
        let connection_id = self.facts.connection_id;
        let frame = error_frame::ErrorFrame {
            message,
            connection_id: connection_id.as_str(),
            request_id: request_id.as_str(),
        };
        self.send(now, Frame::Text(frame.to_string().into()));
    }

    fn invoke(&mut self, step: Step, call: Call, now: Timestamp, actions: &mut Vec<Action>) {
        self.invocations += 1;
        let invocation = self.invocations;
        self.in_flight.insert(
            invocation,
            InFlight {
                step,
                deadline: now + call.timeout,
            },
        );
        let Call {
            function,
            request_id,
            event,
            timeout,
        } = call;
        actions.push(Action::Invoke(Invoke {
            invocation,
            function,
            request_id,
            event,
            timeout,
        }));
    }

    fn messages_in_flight(&self) -> usize {
        self.in_flight
            .values()
            .filter(|call| matches!(call.step, Step::Message { .. }))
            .count()
    }
}

struct Call {
    function: Function,
    request_id: RequestId,
    event: FunctionEvent,
    timeout: Duration,
}
