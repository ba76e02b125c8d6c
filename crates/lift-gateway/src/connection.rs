//! In: one session and its socket. Out: what the session asks for, done: invocations, frames, timers.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use lift_apigw::close::Close;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Sleep;
use tower::{Service as _, ServiceExt as _};

use crate::clock::Clock;
use crate::connections::Slot;
use crate::session::handshake::Refusal;
use crate::session::{Action, Input, Invoke, InvokeError, Session, Timestamp};
use crate::socket::Socket;
use crate::{Answer, ConnectionId, Integration, Invocation, Limits};

/// Events of one connection that functions are working on, in bytes; at it, the gateway reads no
/// further message, as at [`Limits::in_flight_max`]. Otherwise 128 large messages of each of some
/// clients are before everybody else's next one, and in memory.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024;

/// What becomes of a handshake.
#[derive(Debug)]
pub(crate) enum Decision {
    Accept { subprotocol: Option<String> },
    Refuse(Refusal),
}

/// How the transport is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close(Close),
    HangUp,
}

type Invoked = Result<Answer, InvokeError>;

/// One invocation.
struct Running {
    handle: AbortHandle,
    event_bytes: usize,
}

/// Carries out one session.
pub(crate) struct Task {
    slot: Arc<Slot>,
    id: ConnectionId,
    clock: Clock,
    integration: Integration,
    limits: Limits,
    invocations: JoinSet<(u64, Invoked)>,
    running: HashMap<u64, Running>,
    in_flight_bytes: usize,
    timer: Timer,
    /// When the latest thing happened: the clock is read once for it and what follows at once.
    now: Timestamp,
    actions: Vec<Action>,
    /// What was answered at once.
    answered: Vec<(u64, Invoked)>,
    decision: Option<Decision>,
    end: Option<End>,
}

impl Task {
    pub(crate) fn new(
        slot: Arc<Slot>,
        id: ConnectionId,
        clock: Clock,
        integration: Integration,
        limits: Limits,
    ) -> Self {
        Self {
            slot,
            id,
            clock,
            integration,
            limits,
            invocations: JoinSet::new(),
            running: HashMap::new(),
            in_flight_bytes: 0,
            timer: Timer::default(),
            now: clock.now(),
            actions: Vec::new(),
            answered: Vec::new(),
            decision: None,
            end: None,
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self, mut decide: oneshot::Sender<Decision>, upgrade: OnUpgrade) {
        self.tell(Session::start);
        let decision = loop {
            if let Some(decision) = self.decision.take() {
                break decision;
            }
            tokio::select! {
                () = self.step() => {}
                () = decide.closed(), if !decide.is_closed() => self.dropped(),
            }
        };
        // Before the client hears of it.
        self.slot.show();
        let accepted = matches!(decision, Decision::Accept { .. });
        // Nobody listens any more if the client is gone; the upgrade then fails.
        _ = decide.send(decision);
        if accepted {
            match tokio::time::timeout(self.limits.handshake, upgrade).await {
                Ok(Ok(upgraded)) => self.connected(TokioIo::new(upgraded)).await,
                Ok(Err(_)) | Err(_) => self.dropped(),
            }
        }
        self.slot.show();
        while !self.slot.with(|session, _| session.is_finished()) {
            self.step().await;
        }
    }

    /// Moves frames until the session ends the transport.
    async fn connected(&mut self, io: TokioIo<hyper::upgrade::Upgraded>) {
        let mut socket = Socket::new(io, &self.limits);
        let mut inputs = Vec::new();
        let slot = Arc::clone(&self.slot);
        let end = loop {
            if let Some(end) = self.end.take() {
                break end;
            }
            let may_read = self.in_flight_bytes < IN_FLIGHT_BYTES_MAX;
            // The socket first: it rests after each slice, which gives the rest its turn.
            tokio::select! {
                biased;
                () = socket.exchange(&slot, may_read, &mut inputs) => {}
                () = self.step() => {}
            }
            self.now = self.clock.now();
            for input in inputs.drain(..) {
                self.input(input);
            }
            slot.show();
        };
        let closing = async {
            match end {
                End::Close(close) => socket.close(close, &slot).await,
                End::HangUp => socket.hang_up().await,
            }
        };
        if tokio::time::timeout(self.limits.closing, closing)
            .await
            .is_err()
        {
            tracing::debug!(connection = %self.id, "closed without the client's consent");
        }
        socket.end();
        slot.with(|session, _| session.transport_ended());
    }

    /// Waits for one thing that is not the socket's, and does it. Dropping the future loses nothing.
    async fn step(&mut self) {
        let deadline = self.slot.with(|session, _| session.deadline());
        self.timer.set(deadline, &self.clock);
        tokio::select! {
            biased;
            () = self.slot.changed() => self.woken(),
            () = self.timer.due() => self.tell(Session::tick),
            Some(done) = self.invocations.join_next() => self.joined(done),
        }
    }

    fn woken(&mut self) {
        let Self { slot, actions, .. } = self;
        slot.with(|_, asked| actions.append(asked));
        self.act();
    }

    fn joined(&mut self, done: Result<(u64, Invoked), JoinError>) {
        // An invocation catches its own panics: only one that was abandoned has no outcome.
        let Ok((invocation, answer)) = done else {
            return;
        };
        self.ended(invocation);
        self.now = self.clock.now();
        self.invoked(invocation, answer);
        self.act();
    }

    fn invoked(&mut self, invocation: u64, answer: Invoked) {
        let (outcome, receipt) = match answer {
            Ok(Answer { body, receipt }) => (Ok(body), receipt),
            Err(error) => {
                match error {
                    // A refusing authorizer fails, too: clients must not be able to fill a log.
                    InvokeError::FunctionError { .. } => {
                        tracing::debug!(connection = %self.id, invocation, "function failed");
                    }
                    _ => tracing::warn!(connection = %self.id, invocation, %error, "no result"),
                }
                (Err(error), None)
            }
        };
        let input = Input::Invoked {
            invocation,
            outcome,
        };
        self.hear(input);
        // The answer's frame is queued: posts made from now on come after it.
        drop(receipt);
    }

    fn dropped(&mut self) {
        self.now = self.clock.now();
        self.input(Input::Dropped);
    }

    fn input(&mut self, input: Input) {
        self.hear(input);
        self.act();
    }

    /// Tells the session; what it asks for comes behind what others had it ask for.
    fn hear(&mut self, input: Input) {
        let Self {
            slot, now, actions, ..
        } = self;
        slot.with(|session, asked| {
            actions.append(asked);
            session.handle(*now, input, actions);
        });
    }

    fn tell(&mut self, what: fn(&mut Session, Timestamp, &mut Vec<Action>)) {
        self.now = self.clock.now();
        let Self {
            slot, now, actions, ..
        } = self;
        slot.with(|session, asked| {
            actions.append(asked);
            what(session, *now, actions);
        });
        self.act();
    }

    /// Does what the session asked for since the last time, and what it asks for meanwhile.
    fn act(&mut self) {
        while !self.actions.is_empty() {
            // What led to an invocation is seen before it.
            self.slot.show();
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            self.actions = actions;
            if self.answered.is_empty() {
                return;
            }
            self.now = self.clock.now();
            let mut answered = std::mem::take(&mut self.answered);
            for (invocation, answer) in answered.drain(..) {
                self.invoked(invocation, answer);
            }
            self.answered = answered;
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Invoke(invoke) => {
                let answered = self.invoke(invoke);
                self.answered.extend(answered);
            }
            Action::Abandon { invocation } => {
                if let Some(handle) = self.ended(invocation) {
                    handle.abort();
                }
            }
            Action::Accept { subprotocol } => {
                self.decision = Some(Decision::Accept { subprotocol });
            }
            Action::Refuse(refusal) => self.decision = Some(Decision::Refuse(refusal)),
            Action::Close(close) => self.end = Some(End::Close(close)),
            Action::HangUp => self.end = Some(End::HangUp),
        }
    }

    /// Begins an invocation. One that needs to wait for nothing is done here and now: a task of its
    /// own would cost more than most such functions do.
    fn invoke(&mut self, invoke: Invoke) -> Option<(u64, Invoked)> {
        let Invoke {
            invocation,
            function,
            request_id,
            event,
            timeout,
        } = invoke;
        let call = Invocation {
            function,
            connection_id: self.id,
            request_id,
            event,
            deadline: timeout,
        };
        let event_bytes = call.event.bytes();
        let mut answering = AssertUnwindSafe(self.call(call)).catch_unwind();
        let outcome = |done| match done {
            Ok(answer) => answer,
            Err(_panic) => Err(InvokeError::Crashed),
        };
        // Whoever would be woken by this first look is looked at again in the task.
        if let Some(done) = (&mut answering).now_or_never() {
            return Some((invocation, outcome(done)));
        }
        let handle = self
            .invocations
            .spawn(async move { (invocation, outcome(answering.await)) });
        self.in_flight_bytes += event_bytes;
        let running = Running {
            handle,
            event_bytes,
        };
        self.running.insert(invocation, running);
        None
    }

    /// Calls the integration, which is asked first whether it is ready (`tower::Service`).
    fn call(&mut self, call: Invocation) -> BoxFuture<'static, Invoked> {
        let called = AssertUnwindSafe(|| {
            let mut waits = Context::from_waker(Waker::noop());
            match self.integration.poll_ready(&mut waits) {
                Poll::Ready(Ok(())) => self.integration.call(call),
                Poll::Ready(Err(error)) => std::future::ready(Err(error)).boxed(),
                Poll::Pending => self.integration.clone().oneshot(call).boxed(),
            }
        });
        let crashed = |_panic| std::future::ready(Err(InvokeError::Crashed)).boxed();
        catch_unwind(called).unwrap_or_else(crashed)
    }

    fn ended(&mut self, invocation: u64) -> Option<AbortHandle> {
        let running = self.running.remove(&invocation)?;
        self.in_flight_bytes -= running.event_bytes;
        Some(running.handle)
    }
}

/// One timer that is set again only when it would fire too late.
///
/// Most messages move the idle deadline; a timer that fires early costs one look at the session.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl Timer {
    fn set(&mut self, deadline: Option<Timestamp>, clock: &Clock) {
        let Some(deadline) = deadline.map(|at| clock.instant(at)) else {
            self.is_set = false;
            return;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_set || deadline < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
            self.is_set = true;
        }
    }

    async fn due(&mut self) {
        match &mut self.sleep {
            Some(sleep) if self.is_set => {
                sleep.as_mut().await;
                self.is_set = false;
            }
            _ => std::future::pending().await,
        }
    }
}
