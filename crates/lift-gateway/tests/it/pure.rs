//! In: a conversation. Out: the same with a pure session and a clock of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lift_apigw::management::Refusal as CallRefusal;
use lift_gateway::session::codec::{Opcode, classify};
use lift_gateway::session::handshake::{Refusal, Upgrade};
use lift_gateway::session::management::{self, Done, Operation};
use lift_gateway::session::outbox::Frame;
use lift_gateway::session::throttle::Throttle;
use lift_gateway::session::{Action, Input, Returned, Session, Violation};
use lift_gateway::{ConnectionId, PostError, Timestamp};
use serde_json::Value;

use crate::compare::Clock;
use crate::script::{Call, Headers, Http, Received, Request, Sent, Side};
use crate::setup::Setup;
use crate::world::{Behaviour, World, name, outcome};

pub(crate) struct Pure {
    setup_rules: Arc<lift_gateway::Rules>,
    world: World,
    now: Timestamp,
    session: Option<Session>,
    throttle: Arc<Throttle>,
    /// Connections so far: each has an id of its own.
    connections: u8,
    held: Vec<(u64, String, Value)>,
    /// What the client sent and the session had no room to read.
    unread: VecDeque<Input>,
    response: Option<Http>,
    received: VecDeque<Received>,
    stalled: bool,
}

impl Pure {
    pub(crate) fn new(setup: &Setup) -> Result<Self, String> {
        Ok(Self {
            setup_rules: Arc::new(setup.rules.clone()),
            world: World::new(&setup.functions)?,
            now: Timestamp::from_epoch_ms(1_763_757_569_117),
            session: None,
            throttle: Arc::new(Throttle::new(&setup.rules)),
            connections: 0,
            held: Vec::new(),
            unread: VecDeque::new(),
            response: None,
            received: VecDeque::new(),
            stalled: false,
        })
    }

    fn start(&mut self, upgrade: Upgrade) {
        self.connections += 1;
        let id = ConnectionId::from_bytes([self.connections; 11]);
        let seed = u64::from(self.connections);
        let session = Session::new(Arc::clone(&self.setup_rules), upgrade, id, seed, self.now);
        self.session = Some(session.with_throttle(Arc::clone(&self.throttle)));
        self.drive(Session::start);
    }

    fn managed(&mut self, call: &management::Call, payload: Vec<u8>) -> Result<Done, PostError> {
        self.known(Some(&call.connection_id))?;
        let now = self.now;
        let mut outcome = Err(PostError::Gone);
        self.drive(|session, _, actions| {
            outcome = match call.operation {
                Operation::Post => session.post(now, payload.into()).map(|()| Done::Posted),
                Operation::Get => session.get(now).map(Done::Found),
                Operation::Delete => session.delete(now, actions).map(|()| Done::Deleted),
            };
        });
        outcome
    }

    /// What a gateway says about an id before it asks the session.
    fn known(&self, id: Option<&str>) -> Result<(), PostError> {
        let ours = self.session.as_ref().map(Session::connection_id);
        match id.map(ConnectionId::parse) {
            None => Ok(()),
            Some(None) => Err(PostError::InvalidConnectionId),
            Some(id) if id == ours => Ok(()),
            Some(Some(_)) => Err(PostError::Gone),
        }
    }

    fn drive(&mut self, f: impl FnOnce(&mut Session, Timestamp, &mut Vec<Action>)) {
        let Some(session) = &mut self.session else {
            return;
        };
        let mut actions = Vec::new();
        f(session, self.now, &mut actions);
        self.act(actions);
        self.pump();
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Invoke(invoke) => {
                    match self.world.invoke(&invoke.function, &invoke.event.json()) {
                        Some(outcome) => {
                            let invocation = invoke.invocation;
                            self.handle(Input::Invoked {
                                invocation,
                                outcome: outcome.map(Returned::Json),
                            });
                        }
                        None => {
                            let event = self.world.log.back().expect("just logged").1.clone();
                            self.held
                                .push((invoke.invocation, name(&invoke.function), event));
                        }
                    }
                }
                Action::Abandon { invocation } => {
                    self.held.retain(|(held, ..)| *held != invocation);
                }
                Action::Refuse(refusal) => self.response = Some(refused(refusal)),
                Action::Accept { subprotocol } => {
                    let named = subprotocol.map(|name| ("Sec-WebSocket-Protocol".to_owned(), name));
                    self.response = Some(Http {
                        status: 101,
                        headers: named.into_iter().collect(),
                        body: String::new(),
                    });
                }
                Action::Close(close) => {
                    self.take_frames();
                    let close = Some((close.code, close.reason.to_owned()));
                    self.received
                        .extend([Received::Close(close), Received::End]);
                }
                Action::HangUp => self.received.push_back(Received::End),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let session = self.session.as_mut().expect("a session invoked something");
        let mut actions = Vec::new();
        session.handle(self.now, input, &mut actions);
        self.act(actions);
    }

    /// Reads what the session has room for and writes what it has.
    fn pump(&mut self) {
        loop {
            self.take_frames();
            let Some(session) = &self.session else { return };
            if session.read_room() == 0 {
                return;
            }
            let Some(input) = self.unread.pop_front() else {
                return;
            };
            self.handle(input);
        }
    }

    fn take_frames(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        if self.stalled {
            if session.has_frames() {
                session.handle(self.now, Input::WriteBlocked, &mut Vec::new());
            }
            return;
        }
        while let Some(frame) = session.next_frame() {
            self.received.push_back(match frame {
                Frame::Text(text) => Received::Text(text.to_string()),
                Frame::Binary(bytes) => Received::Binary(bytes.to_vec()),
            });
        }
        session.written();
    }
}

fn refused(refusal: Refusal) -> Http {
    let headers = refusal.headers.into_iter();
    Http {
        status: refusal.status,
        headers: headers
            .chain([("Content-Type", "application/json")])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: refusal.body,
    }
}

impl Side for Pure {
    const CLOCK: Clock = Clock::Paused;

    async fn connect(&mut self, target: &str, headers: &Headers) -> Result<(), String> {
        let upgrade = headers
            .iter()
            .fold(Upgrade::websocket(target), |upgrade, (name, value)| {
                upgrade.header(name, value)
            });
        // The end of the last connection needs no line of its own.
        self.received.retain(|received| *received != Received::End);
        self.start(upgrade);
        Ok(())
    }

    async fn response(&mut self) -> Result<Http, String> {
        self.response
            .take()
            .ok_or_else(|| "no response yet".to_owned())
    }

    async fn http(&mut self, request: Request<'_>) -> Result<Http, String> {
        let Request {
            method,
            target,
            headers,
            body,
        } = request;
        let path = target.split('?').next().unwrap_or_default();
        let reply = match management::parse(&self.setup_rules, method, path) {
            None => {
                let host = ("Host".to_owned(), "localhost".to_owned());
                let mut headers = [vec![host], headers.clone()].concat();
                if headers.iter().any(|(_, value)| value == "(absent)") {
                    headers.retain(|(name, _)| name != "Host");
                }
                let kept = self.session.take();
                self.start(Upgrade::new(method, target, headers, "127.0.0.1"));
                self.session = kept;
                return self.response().await;
            }
            Some(Err(reply)) => reply,
            Some(Ok(call)) => {
                let outcome = self.managed(&call, body);
                call.reply(outcome)
            }
        };
        let header = reply.header.into_iter();
        Ok(Http {
            status: reply.status,
            headers: header.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            body: reply.body,
        })
    }

    async fn send(&mut self, message: Sent) -> Result<(), String> {
        let limits = &self.setup_rules.limits;
        let input = match message {
            Sent::Text(frames) => {
                let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
                classify(limits, Opcode::Text, &frames)
            }
            Sent::Binary(bytes) => classify(limits, Opcode::Binary, &[&bytes]),
            Sent::Broken(_) => Input::Violation(Violation::Protocol),
            Sent::Ping => {
                self.received.push_back(Received::Pong);
                Input::Ping
            }
            Sent::Close(frame) => {
                self.received.push_back(Received::Close(frame.clone()));
                Input::ClientClose(frame)
            }
            Sent::Drop => Input::Dropped,
        };
        let session = self.session.as_ref();
        let in_handshake = session.is_some_and(|session| !session.is_open());
        if in_handshake {
            self.handle(input);
        } else {
            self.unread.push_back(input);
            self.pump();
        }
        Ok(())
    }

    async fn received(&mut self) -> Result<Received, String> {
        self.received
            .pop_front()
            .ok_or_else(|| "nothing received".to_owned())
    }

    async fn invoked(&mut self) -> Result<(String, Value), String> {
        self.world
            .log
            .pop_front()
            .ok_or_else(|| "nothing invoked".to_owned())
    }

    async fn answer(&mut self, function: &str, behaviour: &str) -> Result<(), String> {
        let behaviour = Behaviour::parse(behaviour)?;
        let held = self.held.iter().position(|(_, name, _)| name == function);
        let (invocation, _, event) = self.held.remove(held.ok_or("no such invocation is held")?);
        let outcome = outcome(&behaviour, &event).ok_or("an answer cannot hold")?;
        self.drive(|session, now, actions| {
            session.handle(
                now,
                Input::Invoked {
                    invocation,
                    outcome: outcome.map(Returned::Json),
                },
                actions,
            );
        });
        Ok(())
    }

    async fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        while let Some(deadline) = self.session.as_ref().and_then(Session::deadline) {
            if deadline > target {
                break;
            }
            self.now = deadline.max(self.now);
            self.drive(Session::tick);
        }
        self.now = target;
    }

    async fn call(&mut self, call: Call) -> Result<(u16, Option<Value>), String> {
        let (operation, id, payload) = match call {
            Call::Post { id, payload } => (Operation::Post, id, payload),
            Call::Get { id } => (Operation::Get, id, Vec::new()),
            Call::Delete { id } => (Operation::Delete, id, Vec::new()),
        };
        let ours = self.session.as_ref().map(Session::connection_id);
        let connection_id = id.or_else(|| ours.map(|id| id.to_string()));
        let call = management::Call {
            operation,
            connection_id: connection_id.expect("`connect` comes first"),
        };
        Ok(match self.managed(&call, payload) {
            Ok(Done::Posted) => (200, None),
            Ok(Done::Deleted) => (204, None),
            Ok(Done::Found(found)) => {
                let found = serde_json::to_value(found);
                (200, Some(found.expect("plain values")))
            }
            Err(error) => (CallRefusal::from(error).status(), None),
        })
    }

    async fn announce(&mut self, message: &str) {
        let message = message.to_owned().into_bytes().into();
        self.drive(|session, now, _| session.announce(now, message).unwrap());
    }

    async fn stall(&mut self) {
        self.stalled = true;
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), String> {
        while self
            .call(Call::Post {
                id: None,
                payload: vec![b'x'; bytes],
            })
            .await?
            .0
            != 429
        {}
        Ok(())
    }

    async fn drain(&mut self, close_after: Duration) {
        let close_by = self.now + close_after;
        self.drive(|session, now, actions| {
            session.handle(now, Input::Drain { close_by }, actions);
        });
    }

    async fn finish(&mut self) -> Result<(), String> {
        let was_open = self.session.as_ref().is_some_and(Session::is_open);
        self.drive(|session, now, actions| session.handle(now, Input::Dropped, actions));
        if was_open {
            self.received.pop_back();
        }
        self.received.retain(|received| *received != Received::End);
        if let (Some(received), false) = (self.received.front(), self.stalled) {
            return Err(format!("unasked: {received:?}"));
        }
        self.world.all_asked(was_open)
    }
}
