//! In: rules and what happens to one connection. Out: a panic where its session breaks a promise to its driver.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use lift_apigw::event::Event;
use lift_gateway::session::codec::{Opcode, classify};
use lift_gateway::session::handshake::Upgrade;
use lift_gateway::session::outbox::Budget;
use lift_gateway::session::{Action, Input, Invoke, Returned, Session, Violation};
use lift_gateway::{
    AuthorizerRules, ConnectionId, Function, InvokeError, PostError, Route, Rules, Timestamp,
};

/// Longest answer that a function gives here, and longest error frame, in bytes.
const ANSWER_MAX: usize = 200;

/// A function's answers: the authorizer's, a body of each kind, and what is no answer.
const ANSWERS: [&str; 8] = [
    r#"{"principalId":"p","policyDocument":{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}"#,
    r#"{"principalId":"p","policyDocument":{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}}"#,
    r#"{"statusCode":200}"#,
    r#"{"statusCode":403,"body":"no"}"#,
    r#"{"statusCode":200,"body":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#,
    r#"{"statusCode":200,"body":"/w==","isBase64Encoded":true}"#,
    "{}",
    "",
];

fn rules(choice: u8) -> Rules {
    let mut rules = Rules::default()
        .two_way("$default")
        .one_way("one")
        .route("mock", Route::mock("fixed").two_way())
        .route(
            "fast",
            Route::default()
                .two_way()
                .timeout(Duration::from_millis(50)),
        );
    if choice & 1 != 0 {
        rules = rules.one_way("$connect");
    }
    if choice & 2 != 0 {
        rules = rules.one_way("$disconnect");
    }
    if choice & 4 != 0 {
        rules = rules.authorizer(AuthorizerRules::default());
    }
    let limits = &mut rules.limits;
    (limits.frame_bytes_max, limits.message_bytes_max) = (32, 64);
    (limits.in_flight_max, limits.queued_messages_max) = (3, 4);
    (limits.queued_bytes_max, limits.process_queued_bytes_max) = (128, 160);
    (limits.idle, limits.lifetime) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(9)));
    (limits.integration_timeout, limits.stalled) =
        (Duration::from_millis(900), Duration::from_millis(700));
    rules
}

/// A driver that keeps its side of the contract, and what it has seen.
struct Driver {
    rules: Arc<Rules>,
    session: Session,
    budget: Arc<Budget>,
    now: Timestamp,
    outstanding: BTreeMap<u64, Function>,
    ids: HashSet<String>,
    invocations: HashSet<u64>,
    handshake: Option<Handshake>,
    ended: bool,
    disconnects: usize,
}

#[derive(Debug, PartialEq)]
enum Handshake {
    Accepted,
    Refused,
}

pub(super) fn check(choice: u8, script: &[u8]) -> Result<()> {
    let mut script = Unstructured::new(script);
    let (rules, now) = (
        Arc::new(rules(choice)),
        Timestamp::from_epoch_ms(1_763_757_569_117),
    );
    let budget = Arc::new(Budget::new(&rules.limits));
    let id = ConnectionId::from_bytes([7; 11]);
    let session = Session::new(Arc::clone(&rules), Upgrade::websocket("/?a=b"), id, 1, now);
    let mut driver = Driver {
        rules,
        session: session.with_budget(Arc::clone(&budget)),
        budget: Arc::clone(&budget),
        now,
        outstanding: BTreeMap::new(),
        ids: HashSet::new(),
        invocations: HashSet::new(),
        handshake: None,
        ended: false,
        disconnects: 0,
    };
    driver.drive(None, Session::start);
    while !script.is_empty() {
        driver.step(&mut script)?;
    }
    driver.run_out();
    drop(driver);
    assert_eq!(budget.taken(), 0, "bytes are still counted");
    Ok(())
}

impl Driver {
    fn step(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        match script.arbitrary::<u8>()? % 16 {
            0..=2 => {
                let (lens, binary) = (script.arbitrary::<[u8; 2]>()?, script.ratio(1, 40)?);
                let opcode = if binary { Opcode::Binary } else { Opcode::Text };
                let [first, second] = lens.map(|len| usize::from(len) % 40);
                let first = script.bytes(first.min(script.len()))?;
                let second = script.bytes(second.min(script.len()))?;
                self.client_sends(classify(&self.rules.limits, opcode, &[first, second]));
            }
            3 => {
                let route = *script.choose(&["one", "mock", "fast", "none"])?;
                self.client_sends(Input::Text(format!(r#"{{"action":"{route}"}}"#).into()));
            }
            4 => self.client_sends(script.choose(&[Input::Ping, Input::Pong])?.clone()),
            5 => self.input(
                script
                    .choose(&[Input::WriteBlocked, Input::WriteResumed])?
                    .clone(),
            ),
            6 | 7 => {
                let outcome = match script.arbitrary::<u8>()? % 10 {
                    8 => Err(InvokeError::Crashed),
                    9 => Err(InvokeError::FunctionError {
                        message: "Unauthorized".to_owned(),
                    }),
                    n => Ok(Bytes::from_static(ANSWERS[usize::from(n)].as_bytes())),
                };
                let at = usize::from(script.arbitrary::<u8>()?);
                // One that is not known any more, or never was, changes nothing.
                let known = self
                    .outstanding
                    .keys()
                    .nth(at % (self.outstanding.len() + 1));
                let invocation = known.copied().unwrap_or(99_999);
                self.outstanding.remove(&invocation);
                self.input(Input::Invoked {
                    invocation,
                    outcome: outcome.map(Returned::Json),
                });
            }
            8 => {
                let payload = Bytes::copy_from_slice(script.bytes(script.len().min(9))?);
                let (now, open) = (self.now, self.session.is_open());
                let posted = self.session.post(now, payload);
                assert_eq!(
                    posted == Err(PostError::Gone),
                    !open,
                    "410 exactly where not open"
                );
                self.bounded();
            }
            9 => {
                let payload = Bytes::from(vec![b'x'; usize::from(script.arbitrary::<u8>()?)]);
                _ = self.session.announce(self.now, payload);
                self.bounded();
            }
            10 | 11 => self.passes(Duration::from_millis(script.arbitrary::<u8>()?.into())),
            12 => self.passes(Duration::from_millis(script.arbitrary::<u16>()?.into())),
            13 => self.write(usize::from(script.arbitrary::<u8>()?)),
            14 => {
                let found = self.session.get(self.now).is_ok();
                assert_eq!(found, self.session.is_open(), "found exactly where open");
            }
            _ => match script.arbitrary::<u8>()? % 8 {
                0 => self.input(Input::Dropped),
                1 => self.client_sends(Input::ClientClose(None)),
                2 => self.client_sends(Input::ClientClose(Some((4000, "bye".to_owned())))),
                3 => self.client_sends(Input::Violation(Violation::Protocol)),
                4 => {
                    self.drive(None, |session, now, actions| {
                        _ = session.delete(now, actions);
                    });
                }
                n => {
                    let close_by = self.now + Duration::from_millis(u64::from(n) * 100);
                    self.input(Input::Drain { close_by });
                }
            },
        }
        Ok(())
    }

    /// A driver reads only messages that there is room for, but control frames at any time.
    fn client_sends(&mut self, input: Input) {
        let is_control = matches!(input, Input::Ping | Input::Pong | Input::ClientClose(_));
        if self.session.read_room() > 0 || (is_control && self.session.is_open()) {
            self.input(input);
        }
    }

    fn input(&mut self, input: Input) {
        let text = match &input {
            Input::Text(text) => Some(text.to_string()),
            _ => None,
        };
        let later_only = matches!(input, Input::Ping | Input::Pong | Input::WriteResumed);
        let before = self.session.deadline();
        self.drive(text.as_deref(), |session, now, actions| {
            session.handle(now, input, actions)
        });
        assert!(
            !later_only || before.is_none_or(|at| self.session.deadline() >= Some(at)),
            "the deadline came nearer"
        );
    }

    fn passes(&mut self, time: Duration) {
        self.now = self.now + time;
        let (now, before) = (self.now, self.session.deadline());
        let due = before.is_some_and(|at| at <= now);
        let acted = self.drive(None, Session::tick);
        if !due {
            assert!(!acted, "acted before the deadline");
            assert_eq!(
                self.session.deadline(),
                before,
                "the deadline moved by itself"
            );
        }
        assert!(
            self.session.deadline().is_none_or(|at| at > now),
            "still due after a tick"
        );
    }

    fn write(&mut self, frames: usize) {
        for _ in 0..frames {
            let before = self.budget.taken();
            let Some(frame) = self.session.next_frame() else {
                return;
            };
            assert_eq!(
                before - self.budget.taken(),
                0,
                "counted until it is written"
            );
            self.session.written();
            assert_eq!(
                before - self.budget.taken(),
                frame.len(),
                "the budget's count"
            );
        }
    }

    fn drive(
        &mut self,
        text: Option<&str>,
        f: impl FnOnce(&mut Session, Timestamp, &mut Vec<Action>),
    ) -> bool {
        let (finished, queued) = (self.session.is_finished(), self.budget.taken());
        let (was_over, mut actions) = (self.ended, Vec::new());
        f(&mut self.session, self.now, &mut actions);
        assert!(
            !finished || actions.is_empty(),
            "acted after the end: {actions:?}"
        );
        assert!(
            !was_over || self.budget.taken() <= queued,
            "a frame after the close"
        );
        let acted = !actions.is_empty();
        for action in actions {
            self.act(action, text);
        }
        let route = self.rules.routes.contains_key("$disconnect");
        assert_eq!(
            self.disconnects,
            usize::from(self.ended && route),
            "$disconnect once, at the end"
        );
        assert_eq!(
            self.session.is_open(),
            self.handshake == Some(Handshake::Accepted) && !self.ended
        );
        self.bounded();
        acted
    }

    fn act(&mut self, action: Action, text: Option<&str>) {
        match action {
            Action::Invoke(invoke) => self.invoked(invoke, text),
            Action::Abandon { invocation } => {
                assert!(
                    self.outstanding.remove(&invocation).is_some(),
                    "abandoned twice or after its end"
                );
            }
            Action::Refuse(refusal) => {
                assert!(
                    (300..600).contains(&refusal.status),
                    "refused with {}",
                    refusal.status
                );
                assert_eq!(self.handshake.replace(Handshake::Refused), None);
            }
            Action::Accept { .. } => assert_eq!(self.handshake.replace(Handshake::Accepted), None),
            Action::Close(close) => {
                assert!((1000..5000).contains(&close.code) && !matches!(close.code, 1005 | 1006));
                assert!(close.reason.len() <= 123, "RFC 6455 §5.5");
                self.ends();
            }
            Action::HangUp => self.ends(),
        }
    }

    fn ends(&mut self) {
        assert_eq!(
            self.handshake,
            Some(Handshake::Accepted),
            "closed what was not open"
        );
        assert!(!std::mem::replace(&mut self.ended, true), "closed twice");
    }

    fn invoked(&mut self, invoke: Invoke, text: Option<&str>) {
        assert!(
            self.invocations.insert(invoke.invocation),
            "an invocation's number is used twice"
        );
        assert!(
            self.ids.insert(invoke.request_id.to_string()),
            "a request id is used twice"
        );
        let event = invoke.event.json();
        let event = (invoke.function != Function::Authorizer)
            .then(|| Event::parse(&event).expect("an event can be read"));
        match (&invoke.function, event) {
            (Function::Message { .. }, Some(Event::Message(message))) => {
                assert!(
                    !self.ended && text == Some(&*message.body),
                    "the body is the client's text"
                );
            }
            (Function::Disconnect, Some(Event::Disconnect(_))) => {
                assert!(self.ended, "$disconnect before the end");
                self.disconnects += 1;
            }
            (Function::Connect, Some(Event::Connect(_))) | (Function::Authorizer, None) => {
                assert_eq!(self.handshake, None, "asked after the handshake");
            }
            (function, event) => panic!("{function:?} got {event:?}"),
        }
        self.outstanding.insert(invoke.invocation, invoke.function);
    }

    /// Queues and invocations stay within their limits, answers to what was read on top.
    fn bounded(&self) {
        let limits = &self.rules.limits;
        let messages = self
            .outstanding
            .values()
            .filter(|f| matches!(f, Function::Message { .. }));
        assert!(
            messages.count() <= limits.in_flight_max,
            "too many in flight"
        );
        let answers = (limits.in_flight_max + 1) * ANSWER_MAX;
        assert!(
            self.budget.taken() <= limits.queued_bytes_max.max(limits.message_bytes_max) + answers,
            "queued {}",
            self.budget.taken()
        );
    }

    /// Left alone, every connection ends, and its queue with it.
    fn run_out(&mut self) {
        for _ in 0..100 {
            let Some(deadline) = self.session.deadline() else {
                break;
            };
            self.passes(deadline.since(self.now));
        }
        assert!(self.session.is_finished(), "it never ends");
        assert!(
            self.outstanding.is_empty(),
            "invoked, and never abandoned: {:?}",
            self.outstanding
        );
        self.write(usize::MAX);
        assert!(!self.session.has_frames());
        self.drive(None, |session, now, actions| {
            session.handle(now, Input::Dropped, actions)
        });
    }
}
