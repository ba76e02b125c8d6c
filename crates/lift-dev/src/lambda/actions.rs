//! In: the pool's actions. Out: the same, done to processes, to those who wait at `next`, and to callers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lift_gateway::Function;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::environment;
use super::event::{Event, ExtensionEvent};
use super::failure::{Ceiling, Failure, report};
use super::host::{Host, Running, Seat, State, Waiter};
use super::pool::{Action, EnvironmentId, InitError, Reason, Subscription, Ticket};
use super::{Fate, Routes};
use crate::feed::Entry;

impl Host {
    pub(super) fn apply(self: &Arc<Self>, now: Instant, state: &mut State, action: Action) {
        match action {
            Action::Start(id, function) => {
                let killed = CancellationToken::new();
                let running = Running {
                    function,
                    runtime: Seat::Away,
                    extensions: Vec::new(),
                    externals: Vec::new(),
                    current: None,
                    answered: watch::Sender::new(()),
                    groups: Vec::new(),
                    killed: killed.clone(),
                };
                state.running.insert(id, running);
                let delay = state.pool.start_delay();
                let run = environment::run(Arc::clone(self), id, (function, delay), killed);
                self.environments.spawn_on(run, &self.runtime);
            }
            Action::Thaw(id) => signal(state, id, Signal::CONT),
            Action::Freeze(id) => signal(state, id, Signal::STOP),
            Action::Deliver {
                environment,
                ticket,
                until,
                cold,
            } => self.deliver(state, environment, ticket, until, cold),
            Action::Fail(ticket, reason) => {
                for running in state.running.values_mut() {
                    running.current.take_if(|(current, _)| *current == ticket);
                }
                let result = state
                    .calls
                    .get(&ticket)
                    .map(|waiter| self.failure(waiter, reason));
                if let Some(failure) = result {
                    self.finish(now, state, ticket, Err(failure));
                }
            }
            Action::Overstayed(id) => self.say_overstayed(state, id),
            Action::Stop(id, kill_at) => self.stop(state, id, kill_at),
            Action::Kill(id) => {
                if let Some(running) = state.running.remove(&id) {
                    for group in &running.groups {
                        group.signal(Signal::KILL);
                    }
                    running.killed.cancel();
                }
            }
        }
    }

    fn say_overstayed(&self, state: &State, id: EnvironmentId) {
        let running = state.running.get(&id);
        if let Some(known) = running.and_then(|running| self.functions.get(running.function)) {
            let name = &known.function.name;
            self.feed.problem(format!(
                "function `{name}`: it has answered and not asked for its next event within its timeout; its environment is killed"
            ));
        }
    }

    fn stop(&self, state: &mut State, id: EnvironmentId, kill_at: Instant) {
        let Some(running) = state.running.get_mut(&id) else {
            return;
        };
        let deadline_ms = self.clock.epoch_ms(kill_at);
        for member in &mut running.extensions {
            if member.shutdown == Subscription::Yes {
                member.seat.put(ExtensionEvent::Shutdown { deadline_ms });
            }
        }
        if let Some(runtime) = running.groups.first() {
            runtime.signal(Signal::TERM);
        }
    }

    fn deliver(
        &self,
        state: &mut State,
        id: EnvironmentId,
        ticket: Ticket,
        until: Instant,
        cold: Option<Duration>,
    ) {
        let State {
            running,
            calls,
            pool,
            ..
        } = state;
        let (Some(running), Some(waiter)) = (running.get_mut(&id), calls.get_mut(&ticket)) else {
            return;
        };
        let Some(known) = self.functions.get(waiter.function) else {
            return;
        };
        waiter.cold = cold;
        let event = Arc::new(Event {
            request_id: waiter.request.request_id.clone(),
            payload: waiter.request.payload.clone(),
            trace: waiter.request.trace.clone(),
            client_context: waiter.request.client_context.clone(),
            arn: known.arn.clone(),
            deadline_ms: self.clock.epoch_ms(until),
        });
        running.current = Some((ticket, event.request_id.clone()));
        for (member, extension) in running.extensions.iter_mut().zip(pool.extensions(id)) {
            if extension.invoke == Subscription::Yes {
                member.seat.put(ExtensionEvent::Invoke(Arc::clone(&event)));
            }
        }
        running.runtime.put(event);
        if waiter.request.fate == Fate::Dies {
            signal(state, id, Signal::KILL);
        }
    }

    fn failure(&self, waiter: &Waiter, reason: Reason) -> Failure {
        let request_id = &waiter.request.request_id;
        match reason {
            Reason::TimedOut => {
                let timeout = self
                    .functions
                    .get(waiter.function)
                    .map_or(Duration::ZERO, |known| known.function.timeout);
                let seconds = timeout.as_secs_f64();
                let now = self.clock.timestamp();
                let text = format!("{now} {request_id} Task timed out after {seconds:.2} seconds");
                Failure::TimedOut { text }
            }
            Reason::Exited(text) => Failure::Exited {
                text: format!("RequestId: {request_id} {text}"),
            },
            Reason::InitFailed(error) => {
                let InitError {
                    error_type,
                    message,
                    payload,
                } = error;
                let payload = if payload.is_empty() {
                    report(&error_type, &format!("RequestId: {request_id} {message}"))
                } else {
                    payload
                };
                Failure::InitFailed {
                    error_type,
                    message,
                    payload,
                }
            }
            Reason::Throttled(ceiling) => Failure::Throttled(ceiling),
            Reason::ShuttingDown => Failure::ShuttingDown,
        }
    }

    pub(super) fn finish(
        &self,
        now: Instant,
        state: &mut State,
        ticket: Ticket,
        result: Result<Bytes, Failure>,
    ) {
        let Some(waiter) = state.calls.remove(&ticket) else {
            return;
        };
        let Some(known) = self.functions.get(waiter.function) else {
            return;
        };
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Err(failure) = &result
            && failure.is_the_functions()
            && !is_denial(&waiter.request.cause, failure)
        {
            let name = &known.function.name;
            self.feed.problem(format!("function `{name}`: {failure}"));
        }
        self.feed.put(Entry::Invocation {
            function: known.function.name.clone(),
            request_id: waiter.request.request_id,
            cause: waiter.request.cause,
            outcome: match &result {
                Ok(_) => "ok".to_owned(),
                Err(failure) => failure.error_type().to_owned(),
            },
            took_us: micros(now.saturating_duration_since(waiter.since)),
            cold_us: waiter.cold.map(micros),
            help: match &result {
                Err(Failure::Throttled(Ceiling::Environments)) => Some(format!(
                    "none of at most {} environments is free; `--environments` allows more",
                    self.settings.environments_max
                )),
                Ok(_) | Err(_) => None,
            },
        });
        // The caller may have left; the function ran all the same.
        _ = waiter.answer.send(result);
    }
}

/// Whether an authorizer fails as it is to say no.
fn is_denial(cause: &str, failure: &Failure) -> bool {
    let denies =
        matches!(failure, Failure::FunctionError { message, .. } if message == "Unauthorized");
    denies && cause == Routes::cause(&Function::Authorizer)
}

fn signal(state: &State, id: EnvironmentId, signal: Signal) {
    if let Some(running) = state.running.get(&id) {
        for group in &running.groups {
            group.signal(signal);
        }
    }
}
