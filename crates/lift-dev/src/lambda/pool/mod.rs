//! In: what callers, processes and the clock do. Out: which environments start, run what, freeze and end.
//!
//! Pure: time is an argument and everything that happens is an [`Action`]. One invocation runs in one
//! environment at a time; which environment an invocation gets is decided when one is free, so that
//! nobody waits for a start while another environment idles.

mod dispatch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Ceiling;

/// Time for an environment's first `next` ("Lambda execution environment lifecycle": 10 s).
pub(super) const INIT: Duration = Duration::from_secs(10);

/// Time that an invocation waits for an environment whose answer is out but not its next `next`.
///
/// A client that sends as soon as it is answered would otherwise start a second environment.
const ABOUT_TO_BE_FREE: Duration = Duration::from_millis(100);

/// Time in which an environment that was used is not ended for another function that has some of its own.
///
/// Two busy functions at the ceiling would otherwise end each other's and start a process for each event.
const USED_LATELY: Duration = Duration::from_secs(1);

/// Time that an environment stays awake with nothing to do. When Lambda freezes one is not documented; to
/// stop and wake all threads of a process costs more than a short function, and the next event may be
/// on its way.
const FREEZE_AFTER: Duration = Duration::from_millis(10);

/// Time that an invocation waits for a rebuild.
const HELD_MAX: Duration = Duration::from_secs(2);

/// Invocations of one function that wait for an environment.
const WAITING_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EnvironmentId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// Whether environments stand still between invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freeze {
    /// They do, as on Lambda.
    #[default]
    On,
    /// Their processes run on.
    Off,
}

#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) environments_max: usize,
    pub(super) idle: Duration,
    pub(super) freeze: Freeze,
    /// Added to each start; not part of the time for init.
    pub(super) cold_start: Duration,
}

/// What one function is allowed.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) timeout: Duration,
    pub(super) concurrency_max: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start(EnvironmentId, usize),
    Thaw(EnvironmentId),
    Freeze(EnvironmentId),
    Deliver {
        environment: EnvironmentId,
        ticket: Ticket,
        until: Instant,
        /// Time that the start took, where it was waited for.
        cold: Option<Duration>,
    },
    Fail(Ticket, Reason),
    /// The timeout passed after the answer, without another `next`; a `Kill` follows.
    Overstayed(EnvironmentId),
    /// SHUTDOWN to whoever asked for it, and SIGTERM to the runtime.
    Stop(EnvironmentId, Instant),
    Kill(EnvironmentId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    TimedOut,
    Exited(String),
    InitFailed(InitError),
    Throttled(Ceiling),
    ShuttingDown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InitError {
    pub(super) error_type: String,
    pub(super) message: String,
    pub(super) payload: bytes::Bytes,
}

/// A call of the Runtime API that its state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExtensionKind {
    /// Started by the runtime's own process.
    Internal,
    /// A program of its own.
    External,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Extension {
    pub(super) kind: ExtensionKind,
    pub(super) invoke: Subscription,
    waits: bool,
}

/// Whether an extension hears of a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subscription {
    No,
    Yes,
}

impl Extension {
    pub(super) fn new(kind: ExtensionKind, invoke: Subscription) -> Self {
        Self {
            kind,
            invoke,
            waits: false,
        }
    }
}

#[derive(Debug)]
struct Function {
    allowed: Allowed,
    generation: u64,
    holds: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    since: Instant,
    /// It was made to wait for one of its function's own, and is not refused before [`USED_LATELY`] has passed.
    spares: bool,
}

#[derive(Debug)]
struct Environment {
    function: usize,
    generation: u64,
    born: Instant,
    phase: Phase,
    frozen: bool,
    runtime_waits: bool,
    extensions: Vec<Extension>,
    /// Extensions that must register before the first invocation.
    externals: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting {
        by: Instant,
        attempt: Attempt,
    },
    Idle {
        since: Instant,
    },
    Busy {
        ticket: Ticket,
        until: Instant,
        answer: Answered,
    },
    Stopping {
        kill_at: Instant,
    },
}

/// A start that failed is tried again for who waits, in the function's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    No,
    Yes,
}

#[derive(Debug)]
pub(super) struct Pool {
    limits: Limits,
    functions: Vec<Function>,
    environments: BTreeMap<EnvironmentId, Environment>,
    last: u64,
    shut_down: bool,
}

impl Pool {
    pub(super) fn new(limits: Limits, functions: impl IntoIterator<Item = Allowed>) -> Self {
        let functions = functions.into_iter().map(|allowed| Function {
            allowed,
            generation: 0,
            holds: 0,
            waiting: VecDeque::new(),
        });
        Self {
            limits,
            functions: functions.collect(),
            environments: BTreeMap::new(),
            last: 0,
            shut_down: false,
        }
    }

    /// A caller wants the function; the answer is a later `Deliver` or `Fail`.
    pub(super) fn invoke(
        &mut self,
        now: Instant,
        function: usize,
        ticket: Ticket,
        out: &mut Vec<Action>,
    ) {
        let shut_down = self.shut_down;
        let Some(known) = self.functions.get_mut(function) else {
            return;
        };
        if shut_down {
            out.push(Action::Fail(ticket, Reason::ShuttingDown));
        } else if known.waiting.len() >= WAITING_MAX {
            let throttled = Reason::Throttled(Ceiling::Environments);
            out.push(Action::Fail(ticket, throttled));
        } else {
            known.waiting.push_back(Waiting {
                ticket,
                since: now,
                spares: false,
            });
            self.pump(now, function, out);
        }
    }

    /// So many programs of the environment must register as extensions before its first invocation.
    pub(super) fn expect_externals(&mut self, id: EnvironmentId, externals: usize) {
        if let Some(environment) = self.environments.get_mut(&id) {
            environment.externals = externals;
        }
    }

    /// The runtime asks for its next event.
    pub(super) fn runtime_next(
        &mut self,
        now: Instant,
        id: EnvironmentId,
        out: &mut Vec<Action>,
    ) -> Result<(), InvalidState> {
        let Some(environment) = self.environments.get_mut(&id) else {
            return Ok(());
        };
        match environment.phase {
            Phase::Busy {
                answer: Answered::No,
                ..
            } => return Err(InvalidState),
            Phase::Starting { .. } | Phase::Idle { .. } | Phase::Busy { .. } => {
                environment.runtime_waits = true;
                self.settle(now, id, out);
            }
            Phase::Stopping { .. } => {}
        }
        Ok(())
    }

    /// The runtime has answered the invocation it was given.
    pub(super) fn answered(&mut self, id: EnvironmentId) {
        if let Some(environment) = self.environments.get_mut(&id)
            && let Phase::Busy { answer, .. } = &mut environment.phase
        {
            *answer = Answered::Yes;
        }
    }

    /// An extension registers; its number in this environment comes back.
    pub(super) fn register(
        &mut self,
        id: EnvironmentId,
        extension: Extension,
    ) -> Result<usize, InvalidState> {
        match self.environments.get_mut(&id) {
            Some(environment) if matches!(environment.phase, Phase::Starting { .. }) => {
                environment.extensions.push(extension);
                Ok(environment.extensions.len() - 1)
            }
            Some(_) | None => Err(InvalidState),
        }
    }

    /// An extension asks for its next event.
    pub(super) fn extension_next(
        &mut self,
        now: Instant,
        id: EnvironmentId,
        number: usize,
        out: &mut Vec<Action>,
    ) {
        let Some(environment) = self.environments.get_mut(&id) else {
            return;
        };
        if let Some(extension) = environment.extensions.get_mut(number) {
            extension.waits = true;
            self.settle(now, id, out);
        }
    }

    /// The runtime or an extension could not start.
    pub(super) fn init_error(
        &mut self,
        now: Instant,
        id: EnvironmentId,
        error: InitError,
        out: &mut Vec<Action>,
    ) -> Result<(), InvalidState> {
        match self.environments.get(&id).map(|found| found.phase) {
            Some(Phase::Starting { .. }) => {
                self.start_failed(now, id, Reason::InitFailed(error), out);
                Ok(())
            }
            Some(_) | None => Err(InvalidState),
        }
    }

    /// A process of the environment ended.
    pub(super) fn exited(
        &mut self,
        now: Instant,
        id: EnvironmentId,
        error: InitError,
        out: &mut Vec<Action>,
    ) {
        let Some(environment) = self.environments.get(&id) else {
            return;
        };
        let function = environment.function;
        match environment.phase {
            Phase::Starting { .. } => {
                self.start_failed(now, id, Reason::InitFailed(error), out);
            }
            Phase::Busy {
                ticket,
                answer: Answered::No,
                ..
            } => {
                self.kill(id, out);
                out.push(Action::Fail(ticket, Reason::Exited(error.message)));
            }
            Phase::Busy { .. } | Phase::Idle { .. } | Phase::Stopping { .. } => {
                self.kill(id, out);
            }
        }
        self.pump(now, function, out);
    }

    /// The code changed: what runs it is not used again.
    pub(super) fn replace(&mut self, now: Instant, function: usize, out: &mut Vec<Action>) {
        if let Some(known) = self.functions.get_mut(function) {
            known.generation += 1;
        }
        for (id, phase) in self.of(function) {
            match phase {
                Phase::Idle { .. } => self.stop(now, id, out),
                Phase::Starting { .. } => self.kill(id, out),
                Phase::Busy { .. } | Phase::Stopping { .. } => {}
            }
        }
        self.pump(now, function, out);
    }

    /// Invocations of the function wait from now on, each for at most 2 s.
    pub(super) fn hold(&mut self, function: usize) {
        if let Some(known) = self.functions.get_mut(function) {
            known.holds += 1;
        }
    }

    /// One [`Pool::hold`] ends.
    pub(super) fn release(&mut self, now: Instant, function: usize, out: &mut Vec<Action>) {
        if let Some(known) = self.functions.get_mut(function) {
            known.holds = known.holds.saturating_sub(1);
        }
        self.pump(now, function, out);
    }

    /// Nothing is taken any more, what waits fails, and all environments end.
    pub(super) fn shut_down(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.shut_down = true;
        for function in &mut self.functions {
            let waiting = function.waiting.drain(..);
            out.extend(waiting.map(|each| Action::Fail(each.ticket, Reason::ShuttingDown)));
        }
        let all: Vec<_> = self.environments.keys().copied().collect();
        for id in all {
            if let Some(Phase::Busy {
                ticket,
                answer: Answered::No,
                ..
            }) = self.environments.get(&id).map(|found| found.phase)
            {
                out.push(Action::Fail(ticket, Reason::ShuttingDown));
            }
            self.stop(now, id, out);
        }
    }

    /// Everything ends now, graces or not.
    pub(super) fn kill_all(&mut self, out: &mut Vec<Action>) {
        let all = std::mem::take(&mut self.environments);
        out.extend(all.into_keys().map(Action::Kill));
    }

    /// What time does: timeouts, the idle, the held.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        let all = self.environments.iter();
        let all: Vec<_> = all.map(|(id, each)| (*id, each.phase)).collect();
        for (id, phase) in all {
            match phase {
                Phase::Starting { by, .. } if by <= now => {
                    self.start_failed(now, id, Reason::TimedOut, out);
                }
                Phase::Idle { since } if since + self.limits.idle <= now => self.stop(now, id, out),
                Phase::Idle { since } if since + FREEZE_AFTER <= now => self.freeze(id, out),
                Phase::Busy {
                    ticket,
                    until,
                    answer,
                } if until <= now => {
                    if answer == Answered::Yes {
                        out.push(Action::Overstayed(id));
                    }
                    self.kill(id, out);
                    if answer == Answered::No {
                        out.push(Action::Fail(ticket, Reason::TimedOut));
                    }
                }
                Phase::Stopping { kill_at } if kill_at <= now => self.kill(id, out),
                Phase::Starting { .. }
                | Phase::Idle { .. }
                | Phase::Busy { .. }
                | Phase::Stopping { .. } => {}
            }
        }
        for function in 0..self.functions.len() {
            self.pump(now, function, out);
        }
    }

    fn freezes(&self, environment: &Environment) -> bool {
        self.limits.freeze == Freeze::On && !environment.frozen
    }

    fn freeze(&mut self, id: EnvironmentId, out: &mut Vec<Action>) {
        let on = self.limits.freeze == Freeze::On;
        if let Some(environment) = self.environments.get_mut(&id)
            && on
            && !std::mem::replace(&mut environment.frozen, true)
        {
            out.push(Action::Freeze(id));
        }
    }

    /// When [`Pool::tick`] has something to do next.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let phases = self.environments.values().map(|each| match each.phase {
            Phase::Starting { by, .. } => by,
            Phase::Idle { since } if self.freezes(each) => since + FREEZE_AFTER,
            Phase::Idle { since } => since + self.limits.idle,
            Phase::Busy { until, .. } => until,
            Phase::Stopping { kill_at } => kill_at,
        });
        let waiting = self.functions.iter().flat_map(|function| {
            let patiences = [function.patience(), USED_LATELY];
            let ends = function
                .waiting
                .iter()
                .flat_map(move |each| patiences.map(|patience| each.since + patience));
            // Whose time has passed waits for a start, which has its own.
            ends.filter(|at| *at > now)
        });
        // Who waits for one of its own may have another's then.
        let idle = self.anyone_waits().then(|| self.idle_longest()).flatten();
        let lately = idle.map(|(since, _)| since + USED_LATELY);
        let lately = lately.filter(|at| *at > now);
        phases.chain(waiting).chain(lately).min()
    }

    fn anyone_waits(&self) -> bool {
        let mut functions = self.functions.iter();
        functions.any(|function| !function.waiting.is_empty())
    }

    /// Starts take so much longer from now on.
    pub(super) fn delay_starts(&mut self, cold_start: Duration) {
        self.limits.cold_start = cold_start;
    }

    /// How much longer starts take.
    pub(super) fn start_delay(&self) -> Duration {
        self.limits.cold_start
    }

    /// How many environments each function has.
    pub(super) fn counts(&self) -> Vec<usize> {
        (0..self.functions.len())
            .map(|function| self.of(function).len())
            .collect()
    }

    /// The extensions of an environment, in the order in which they registered.
    pub(super) fn extensions(&self, id: EnvironmentId) -> &[Extension] {
        self.environments
            .get(&id)
            .map_or(&[], |environment| &environment.extensions)
    }
}
