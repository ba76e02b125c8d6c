//! In: calls, and what the processes' Runtime APIs report. Out: the pool's actions, done to processes and callers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::archive::Code;
use super::clock::Clock;
use super::event::{Event, ExtensionEvent};
use super::failure::{Failure, StartError};
use super::files::Files;
use super::launch::{self, Launch, Places};
use super::logs::Log;
use super::pool::{Action, EnvironmentId, InitError, InvalidState, Pool, Subscription, Ticket};
use super::process::{Group, Watchdog};
use super::queue::Room;
use super::variables::Inherited;
use super::{Fate, Settings, random};
use crate::feed::Feed;
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
    pub(super) files: Files,
    pub(super) runtime: Handle,
    pub(super) wake: Notify,
    pub(super) state: Mutex<State>,
}

/// One function of the plan.
pub(super) struct Known {
    pub(super) function: Function,
    pub(super) arn: String,
    pub(super) log: Arc<Log>,
    /// Where the code is now.
    pub(super) code: Mutex<Arc<Code>>,
    /// Room for its queued events.
    pub(super) room: Room,
    /// Whether it was said that the official client is not there.
    pub(super) told: std::sync::Once,
}

pub(super) struct State {
    pub(super) pool: Pool,
    pub(super) running: HashMap<EnvironmentId, Running>,
    pub(super) calls: HashMap<Ticket, Waiter>,
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
    /// What it works on, and its request id.
    pub(super) current: Option<(Ticket, String)>,
    /// Told of each answer, after which what was written before it is complete.
    pub(super) answered: watch::Sender<()>,
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
    pub(super) fn put(&mut self, event: E) {
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

/// Who waits for an invocation's end.
pub(super) struct Waiter {
    pub(super) function: usize,
    pub(super) request: Request,
    pub(super) since: Instant,
    pub(super) cold: Option<Duration>,
    pub(super) answer: oneshot::Sender<Result<Bytes, Failure>>,
}

/// What an invocation is, whoever makes it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) cause: String,
    pub(super) trace: String,
    pub(super) client_context: Option<String>,
    pub(super) fate: Fate,
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

    /// Whether the environment works on this request.
    pub(super) fn works_on(&self, id: EnvironmentId, request_id: &str) -> Result<(), Rejected> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .running
            .get(&id)
            .and_then(|running| running.current.as_ref());
        if current.is_some_and(|(_, current)| current == request_id) {
            return Ok(());
        }
        let function = state.running.get(&id).map(|running| running.function);
        if let Some(known) = function.and_then(|function| self.functions.get(function)) {
            let name = &known.function.name;
            self.feed.problem(format!(
                "function `{name}`: it answers a request that it does not have: twice, or another's"
            ));
        }
        Err(Rejected::UnknownRequest)
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
            if let Some(running) = state.running.get(&id) {
                running.answered.send_replace(());
            }
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

    /// How the function starts, and the code that must stay for it.
    pub(super) fn launch(&self, index: usize) -> Result<(Launch, Arc<Code>), StartError> {
        let known = self.functions.get(index).ok_or_else(|| {
            StartError::Files(std::io::Error::other("the function is not in the plan"))
        })?;
        let code = Arc::clone(&known.code.lock().unwrap_or_else(PoisonError::into_inner));
        let launch = launch::launch(&known.function, code.path(), &self.places)?;
        Ok((launch, code))
    }

    /// `Root=1-…;Parent=…;Sampled=0`, as X-Ray writes it.
    pub(super) fn trace(&self) -> String {
        let seconds = self.clock.epoch_ms(Instant::now()) / 1_000;
        let root = random::hex::<12>();
        let parent = random::hex::<8>();
        format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0")
    }
}
