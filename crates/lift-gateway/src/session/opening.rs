//! In: a session before its handshake is decided. Out: the same, a step further: asked, refused or open.

use std::time::Duration;

use lift_apigw::event::CONNECT;

use super::events::At;
use super::handshake::{self, Refusal};
use super::observer::Noted;
use super::rules::RouteIntegration;
use super::{Action, Call, Function, Phase, Session, Step, Timestamp, identity};

impl Session {
    /// Begins the handshake: refuses, accepts, or asks the authorizer or `$connect`.
    pub fn start(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Phase::Handshake { upgrade, .. } = &self.phase else {
            return;
        };
        if let Err(refusal) = handshake::check(&self.rules, upgrade) {
            return self.refuse(refusal, actions);
        }
        // Before anything of the host's is asked (*unverified* order).
        if !self.throttle.connection(&self.rules, now) {
            return self.refuse(Refusal::new(429), actions);
        }
        let Some(authorizer) = &self.rules.authorizer else {
            return self.connect(Duration::ZERO, now, actions);
        };
        if let Err(refusal) = identity::check(&self.rules, &self.facts, upgrade) {
            return self.refuse(refusal, actions);
        }
        let (request_id, timeout) = (self.ids.request(), authorizer.timeout);
        let at = At {
            request_id: &request_id,
            now,
        };
        let event = self
            .facts
            .authorizer_event(&self.rules, upgrade, &self.trace, at);
        let call = Call {
            function: Function::Authorizer,
            request_id,
            event,
            timeout,
        };
        self.invoke(Step::Authorizer, call, now, actions);
    }

    pub(super) fn connect(
        &mut self,
        authorizer: Duration,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Phase::Handshake { upgrade, .. } = &self.phase else {
            return;
        };
        match self
            .rules
            .routes
            .get(CONNECT)
            .map(|route| &route.integration)
        {
            Some(RouteIntegration::Function) => {}
            Some(RouteIntegration::Mock(_)) | None => return self.accept(None, now, actions),
        }
        let request_id = self.ids.request();
        let latency_ms = u64::try_from(authorizer.as_millis()).unwrap_or(u64::MAX);
        let at = At {
            request_id: &request_id,
            now,
        };
        let event = self
            .facts
            .connect_event(&self.rules, upgrade, &self.trace, latency_ms, at);
        let timeout = self.rules.timeout(CONNECT);
        let call = Call {
            function: Function::Connect,
            request_id,
            event,
            timeout,
        };
        self.invoke(Step::Connect, call, now, actions);
    }

    pub(super) fn accept(
        &mut self,
        subprotocol: Option<String>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let ending = match &self.phase {
            Phase::Handshake { ending, .. } => *ending,
            Phase::Open { .. } | Phase::Ended => None,
        };
        self.phase = Phase::Open { draining: false };
        self.trace = String::new();
        self.clocks.opened(now);
        self.note(|| Noted::Accepted);
        actions.push(Action::Accept { subprotocol });
        if let Some(close) = ending {
            self.end_early(now, close, actions);
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal, actions: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        actions.push(Action::Refuse(refusal));
    }
}
