//! In: calls, and what the processes' Runtime APIs report. Out: the pool's actions, done to processes and callers.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::environment;
use super::event::{Event, ExtensionEvent};
use super::failure::{Failure, StartError, report};
use super::launch::{self, Launch, Places};
use super::logs::Log;
use super::pool::{
    Action, EnvironmentId, InitError, InvalidState, Pool, Reason, Subscription, Ticket,
};
use super::process::{Group, Watchdog};
use super::queue::Room;
use super::variables::Inherited;
use super::{Settings, random};
use crate::feed::{Entry, Feed};
use crate::plan::Function;

/// All functions and what runs them.
pub(super) struct Host {
    pub(super) functions: Vec<Known>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) settings: Settings,
    pub(super) feed: Feed,
    pub(super) clock: Clock,
    pub(super) places: Places,
    pub(super) inherited: Inherited,
    pub(super) watchdog: Arc<Watchdog>,
    /// One task an environment.
    pub(super) environments: TaskTracker,
    /// Everything else that runs.
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    /// What the processes read, for as long as they run.
    pub(super) files: tempfile::TempDir,
    pub(super) runtime: Handle,
    pub(super) wake: Notify,
    pub(super) state: Mutex<State>,
}

/// One function of the plan.
pub(super) struct Known {
    pub(super) function: Function,
    pub(super) arn: String,
    pub(super) log: Arc<Log>,
    /// Where the code is: a zip is unpacked.
    pub(super) code: Mutex<PathBuf>,
    /// Room for its queued events.
    pub(super) room: Room,
    /// Whether it was said that the official client is not there.
    pub(super) told: std::sync::Once,
}

pub(super) struct State {
    pub(super) pool: Pool,
    pub(super) running: HashMap<EnvironmentId, Running>,
    calls: HashMap<Ticket, Waiter>,
    last: u64,
}

impl State {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            running: HashMap::new(),
            calls: HashMap::new(),
            last: 0,
        }
    }
}

/// An environment's side of the Runtime API.
pub(super) struct Running {
    pub(super) function: usize,
    pub(super) runtime: Seat<Arc<Event>>,
    pub(super) extensions: Vec<Member>,
    pub(super) externals: Vec<String>,
    current: Option<(Ticket, String)>,
    /// What the runtime and extensions run in, the runtime's first.
    pub(super) groups: Vec<Group>,
    pub(super) killed: CancellationToken,
}

pub(super) struct Member {
    pub(super) identifier: String,
    pub(super) name: String,
    pub(super) shutdown: Subscription,
    pub(super) seat: Seat<ExtensionEvent>,
}

/// Where an event goes: to who waits for it, or it stays until somebody does.
pub(super) enum Seat<E> {
    Away,
    Waiting(oneshot::Sender<E>),
    Kept(E),
}

impl<E> Seat<E> {
    fn put(&mut self, event: E) {
        *self = match std::mem::replace(self, Self::Away) {
            // Who waited may have hung up since.
            Self::Waiting(waiting) => match waiting.send(event) {
                Ok(()) => Self::Away,
                Err(event) => Self::Kept(event),
            },
            Self::Away | Self::Kept(_) => Self::Kept(event),
        };
    }

    pub(super) fn take(&mut self) -> oneshot::Receiver<E> {
        let (sender, receiver) = oneshot::channel();
        if let Self::Kept(event) = std::mem::replace(self, Self::Away) {
            _ = sender.send(event);
        } else {
            *self = Self::Waiting(sender);
        }
        receiver
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

struct Waiter {
    function: usize,
    request: Request,
    since: Instant,
    cold: Option<Duration>,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

/// What an invocation is, whoever makes it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) cause: String,
    pub(super) trace: String,
    pub(super) client_context: Option<String>,
}

/// A call of the Runtime API that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The request id is none that is being worked on here.
    UnknownRequest,
    /// Not in this state.
    State,
}

impl From<InvalidState> for Rejected {
    fn from(InvalidState: InvalidState) -> Self {
        Self::State
    }
}

impl Host {
    /// One step under the lock, and all that follows from it.
    pub(super) fn step<R>(
        self: &Arc<Self>,
        step: impl FnOnce(Instant, &mut State, &mut Vec<Action>) -> R,
    ) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, mut actions) = (Instant::now(), Vec::new());
        let result = step(now, &mut state, &mut actions);
        for action in actions {
            self.apply(now, &mut state, action);
        }
        drop(state);
        self.wake.notify_one();
        result
    }

    /// Runs what time does, until the end.
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            let state = self.state.lock();
            let now = Instant::now();
            let wake_at = state
                .unwrap_or_else(PoisonError::into_inner)
                .pool
                .wake_at(now);
            let due = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.step(|now, state, actions| state.pool.tick(now, actions)),
                () = self.wake.notified() => {}
                () = self.closing.cancelled() => return,
            }
        }
    }

    pub(super) fn start(
        self: &Arc<Self>,
        function: usize,
        request: Request,
    ) -> oneshot::Receiver<Result<Bytes, Failure>> {
        let (answer, answered) = oneshot::channel();
        self.step(|now, state, actions| {
            state.last += 1;
            let ticket = Ticket(state.last);
            let waiter = Waiter {
                function,
                request,
                since: now,
                cold: None,
                answer,
            };
            state.calls.insert(ticket, waiter);
            state.pool.invoke(now, function, ticket, actions);
        });
        answered
    }

    fn apply(self: &Arc<Self>, now: Instant, state: &mut State, action: Action) {
        match action {
            Action::Start(id, function) => {
                let killed = CancellationToken::new();
                let running = Running {
                    function,
                    runtime: Seat::Away,
                    extensions: Vec::new(),
                    externals: Vec::new(),
                    current: None,
                    groups: Vec::new(),
                    killed: killed.clone(),
                };
                state.running.insert(id, running);
                let run = environment::run(Arc::clone(self), id, function, killed);
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
            Action::Stop(id, kill_at) => {
                let Some(running) = state.running.get_mut(&id) else {
                    return;
                };
                let shutdown = ExtensionEvent::Shutdown {
                    deadline_ms: self.clock.epoch_ms(kill_at),
                };
                for member in &mut running.extensions {
                    if member.shutdown == Subscription::Yes {
                        member.seat.put(shutdown.clone());
                    }
                }
                if let Some(runtime) = running.groups.first() {
                    runtime.signal(Signal::TERM);
                }
            }
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

    fn finish(
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
        if let Err(failure @ (Failure::Exited { .. } | Failure::TimedOut { .. })) = &result {
            self.feed
                .notice(format!("function `{}`: {failure}", known.function.name));
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
        });
        // The caller may have left; the function ran all the same.
        _ = waiter.answer.send(result);
    }

    /// Whether the environment works on this request.
    pub(super) fn works_on(&self, id: EnvironmentId, request_id: &str) -> Result<(), Rejected> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .running
            .get(&id)
            .and_then(|running| running.current.as_ref());
        match current {
            Some((_, current)) if current == request_id => Ok(()),
            Some(_) | None => Err(Rejected::UnknownRequest),
        }
    }

    /// The environment's answer; the first one counts.
    pub(super) fn answer(
        self: &Arc<Self>,
        id: EnvironmentId,
        request_id: &str,
        result: Result<Bytes, Failure>,
    ) -> Result<(), Rejected> {
        self.step(|now, state, _| {
            let running = state.running.get_mut(&id);
            let current = running.and_then(|running| {
                running
                    .current
                    .take_if(|(_, current)| current == request_id)
            });
            let (ticket, _) = current.ok_or(Rejected::UnknownRequest)?;
            state.pool.answered(id);
            self.finish(now, state, ticket, result);
            Ok(())
        })
    }

    /// A process of the environment ended, or none could be started.
    pub(super) fn ended(self: &Arc<Self>, id: EnvironmentId, error: InitError) {
        self.step(|now, state, actions| {
            state.pool.exited(now, id, error, actions);
        });
    }

    /// The runtime cannot start; its environment ends.
    pub(super) fn init_error(
        self: &Arc<Self>,
        id: EnvironmentId,
        error: InitError,
    ) -> Result<(), Rejected> {
        self.step(|now, state, actions| Ok(state.pool.init_error(now, id, error, actions)?))
    }

    pub(super) fn launch(&self, index: usize) -> Result<Launch, StartError> {
        let known = self.functions.get(index).ok_or_else(|| {
            StartError::Files(std::io::Error::other("the function is not in the plan"))
        })?;
        let code = known.code.lock().unwrap_or_else(PoisonError::into_inner);
        launch::launch(&known.function, &code, &self.places)
    }

    /// `Root=1-…;Parent=…;Sampled=0`, as X-Ray writes it.
    pub(super) fn trace(&self) -> String {
        let seconds = self.clock.epoch_ms(Instant::now()) / 1_000;
        let root = random::hex::<12>();
        let parent = random::hex::<8>();
        format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0")
    }
}

fn signal(state: &State, id: EnvironmentId, signal: Signal) {
    if let Some(running) = state.running.get(&id) {
        for group in &running.groups {
            group.signal(signal);
        }
    }
}
