//! In: why a connection ends. Out: its end, once: the transport is told, then `$disconnect`.

use std::borrow::Cow;

use lift_apigw::close::Close;
use lift_apigw::event::DISCONNECT;

use super::events::At;
use super::handshake::Refusal;
use super::observer::{Noted, Side};
use super::rules::RouteIntegration;
use super::{Action, Call, Function, Phase, Session, Step, Timestamp};

/// How an accepted connection ends.
pub(super) enum Ending {
    /// The gateway closes it.
    Closed(Close),
    /// The transport is over, or the client's close frame is answered by the codec.
    HungUp {
        status_code: u16,
        reason: Cow<'static, str>,
    },
}

impl Session {
    pub(super) fn drain(&mut self, now: Timestamp, close_by: Timestamp, actions: &mut Vec<Action>) {
        match &self.phase {
            Phase::Handshake { .. } => self.end_early(now, Close::RESTART, actions),
            Phase::Open { .. } if self.messages_in_flight() == 0 => {
                self.end(now, Ending::Closed(Close::RESTART), actions);
            }
            Phase::Open { .. } => {
                self.phase = Phase::Open { draining: true };
                self.clocks.close_by(close_by);
            }
            Phase::Ended => {}
        }
    }

    /// Ends a connection that may still be in its handshake.
    ///
    /// The authorizer is abandoned. `$connect` is not: if it accepts, then so does the session, and
    /// `$disconnect` follows, so that what `$connect` has stored does not stay behind.
    pub(super) fn end_early(&mut self, now: Timestamp, close: Close, actions: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Handshake { ending, .. } => {
                let mut calls = self.in_flight.iter();
                let asking = calls.find(|(_, call)| matches!(call.step, Step::Authorizer));
                if let Some(invocation) = asking.map(|(invocation, _)| *invocation) {
                    self.in_flight.remove(&invocation);
                    actions.push(Action::Abandon { invocation });
                    self.refuse(Refusal::new(503), actions);
                } else {
                    ending.get_or_insert(close);
                }
            }
            Phase::Open { .. } if close == Close::DROPPED => {
                let Close {
                    code: status_code,
                    reason,
                } = close;
                self.end(
                    now,
                    Ending::HungUp {
                        status_code,
                        reason: reason.into(),
                    },
                    actions,
                );
            }
            Phase::Open { .. } => self.end(now, Ending::Closed(close), actions),
            Phase::Ended => {}
        }
    }

    /// Ends an open connection, once: tells the transport, then `$disconnect`.
    pub(super) fn end(&mut self, now: Timestamp, ending: Ending, actions: &mut Vec<Action>) {
        let Phase::Open { .. } = self.phase else {
            return;
        };
        self.phase = Phase::Ended;
        let (by, status_code, reason) = match ending {
            Ending::Closed(close) => {
                if close == Close::TOO_SLOW {
                    self.outbox.clear();
                }
                actions.push(Action::Close(close));
                (Side::Gateway, close.code, Cow::Borrowed(close.reason))
            }
            Ending::HungUp {
                status_code,
                reason,
            } => {
                self.outbox.clear();
                actions.push(Action::HangUp);
                (Side::Client, status_code, reason)
            }
        };
        self.note(|| Noted::Closed {
            by,
            code: status_code,
            reason: reason.clone(),
        });
        let route = self.rules.routes.get(DISCONNECT);
        if let Some(RouteIntegration::Function) = route.map(|route| &route.integration) {
            let request_id = self.ids.request();
            let at = At {
                request_id: &request_id,
                now,
            };
            let event = self
                .facts
                .disconnect_event(&self.rules, status_code, &reason, at);
            let timeout = self.rules.timeout(DISCONNECT);
            let call = Call {
                function: Function::Disconnect,
                request_id,
                event,
                timeout,
            };
            self.invoke(Step::Disconnect, call, now, actions);
        }
    }
}
