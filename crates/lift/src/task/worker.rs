//! One delivery of a request: its key comes in; it is claimed, run, renewed, and ends or is put back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument;

use super::announce;
use super::handle::{Checkpoint, Ends, Stopped, Task};
use super::progress::{Coalescer, Update};
use super::record::{INLINE_BYTES_MAX, Key, Outcome, Progress, Record, ResultAt, State};
use super::retry;
use super::store::Snapshots;
use super::transition::{Applied, Refusal, Transition};
use crate::app::Inner;
use crate::clock::Timestamp;
use crate::error::{Code, Error, Retry, StoreError};
use crate::extract::Context;
use crate::id::ConnectionId;
use crate::json::Json;
use crate::outbound::PostError;
use crate::request::logged;

/// Pause before a store that was unavailable is asked again.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(200);

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was run, and the request is in this state now.
    Ran(State),
    /// The request had ended already; its connections were told again.
    Ended,
    /// Another worker holds it.
    Held,
    /// It waits for its start or its next attempt, which is due then.
    Waits(Timestamp),
    /// There is no such request.
    Missing,
    /// This worker lost its lease while running.
    LeaseLost,
}

impl Inner {
    /// Claims a request and sees it through, or as far as it is by `until`.
    pub(crate) async fn deliver(
        &self,
        key: &Key,
        until: Option<Instant>,
    ) -> Result<Delivery, StoreError> {
        let lease = self.app.limits.lease;
        let now = self.backends.clock.now();
        match self
            .backends
            .tasks
            .apply(key, Transition::Claim { lease }, now)
            .await?
        {
            Applied::Missing => Ok(Delivery::Missing),
            Applied::Refused(Refusal::Ended, record) => {
                self.announce(&record).await;
                Ok(Delivery::Ended)
            }
            Applied::Refused(_, record) => Ok(match (record.state, record.due_at) {
                (State::Queued | State::Retrying, Some(due_at)) => Delivery::Waits(due_at),
                _ => Delivery::Held,
            }),
            Applied::Done(record) => {
                let span = span(&record);
                Ok(Run::new(self, *record, until).go().instrument(span).await)
            }
        }
    }

    pub(super) fn task_context(&self, record: &Record, payload: Json, task: Task) -> Context {
        Context {
            request_id: record.key.id,
            owner: record.key.owner.clone(),
            action: record.action.clone(),
            payload,
            metadata: record.metadata.clone(),
            received_at: record.created_at,
            connection: None,
            task,
            states: Arc::clone(&self.app.states),
            connections: self.backends.connections.clone(),
            outbound: self.backends.outbound.clone(),
        }
    }
}

/// Names the request in every line of its claim, as the span of a message does.
fn span(record: &Record) -> tracing::Span {
    let span = tracing::info_span!(
        "task",
        request_id = %record.key.id,
        action = record.action,
        owner = %record.key.owner,
        claim = record.claim,
        metadata = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    if !record.metadata.is_empty() {
        span.record("metadata", tracing::field::debug(&record.metadata));
    }
    span
}

/// One claim of one request.
struct Run<'a> {
    inner: &'a Inner,
    record: Record,
    /// Messages said under this claim.
    said: u64,
    /// What was said and the store was not told yet.
    untold: Option<Progress>,
    gone: HashSet<ConnectionId>,
    lease_until: Instant,
    renew_at: Instant,
    /// When the process that runs it ends.
    until: Option<Instant>,
    stop_since: Option<Instant>,
    timed_out: bool,
}

/// Why the handler is no longer attended to.
enum Left {
    Returned(Result<Result<Json, Error>, JoinError>),
    /// It was asked to stop and did not, or its lease went.
    Dropped,
}

impl<'a> Run<'a> {
    fn new(inner: &'a Inner, record: Record, until: Option<Instant>) -> Self {
        let now = Instant::now();
        Self {
            inner,
            record,
            said: 0,
            untold: None,
            gone: HashSet::new(),
            lease_until: now + inner.app.limits.lease,
            renew_at: now + inner.app.limits.renew_every,
            until,
            stop_since: None,
            timed_out: false,
        }
    }

    fn now(&self) -> Timestamp {
        self.inner.backends.clock.now()
    }

    async fn go(mut self) -> Delivery {
        if let Some(outcome) = self.ended_already() {
            return self.finish(outcome, None).await;
        }
        let key = self.record.key.clone();
        let input = match self.leased(|| self.inner.backends.tasks.input(&key)).await {
            Ok(Some(input)) => input,
            Ok(None) => return self.failed(Error::internal("the payload is missing")).await,
            Err(error) => {
                tracing::warn!(request_id = %key.id, error = crate::error::chain(&error), "payload not read");
                return Delivery::LeaseLost;
            }
        };
        let Some(action) = self.inner.app.actions.get(&self.record.action) else {
            let error = Error::new(Code::TaskFailed, "the server no longer knows this action");
            return self.failed(error).await;
        };
        let (task, mut ends) = Ends::new(
            self.record.checkpoint.clone(),
            self.record.attempt(),
            self.record.claim,
        );
        let running = self.inner.running.enter(&key);
        let mut job = JoinSet::new();
        let context = self.inner.task_context(&self.record, input, task);
        job.spawn((action.handler.call)(context).in_current_span());
        let left = self.attend(&mut job, &mut ends, &running.poked).await;
        // Drops the handler where it did not return: nothing of it may act after the lease is given up.
        job.shutdown().await;
        let asked = *ends.stop.borrow();
        self.conclude(left, asked).await
    }

    /// Asks a store, again for as long as the lease lasts: one that is away for a moment is no
    /// failure of the task.
    async fn leased<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        loop {
            match ask().await {
                Err(StoreError::Unavailable(_)) if Instant::now() < self.lease_until => {
                    sleep(STORE_RETRY).await;
                }
                answer => return answer,
            }
        }
    }

    /// A claim that finds the request at its end finishes it without running.
    fn ended_already(&self) -> Option<Outcome> {
        let limits = &self.inner.app.limits;
        let failed = |code, message: &str| Outcome::Failed(Error::new(code, message).into_body());
        if self.record.cancel_requested {
            Some(Outcome::Cancelled)
        } else if self.is_late() {
            Some(failed(Code::Timeout, "the request's deadline passed"))
        } else if self.record.lost_in_a_row >= limits.lost_in_a_row_max {
            Some(failed(
                Code::TaskFailed,
                "the task lost its worker too often",
            ))
        } else {
            None
        }
    }

    /// Serves the handler until it returns or must be left.
    async fn attend(
        &mut self,
        job: &mut JoinSet<Result<Json, Error>>,
        ends: &mut Ends,
        poked: &tokio::sync::Notify,
    ) -> Left {
        let floor = self
            .record
            .progress
            .as_ref()
            .map_or(0.0, |progress| progress.percentage);
        let mut coalescer = Coalescer::new(floor);
        if self.record.progress.is_some() {
            // The claim before may have told it a moment ago.
            coalescer.told(self.now());
        }
        let task = ends.task.clone();
        loop {
            let wake = self.wake_at(&coalescer);
            tokio::select! {
                biased;
                Some(returned) = job.join_next() => return Left::Returned(returned),
                Some(checkpoint) = ends.checkpoints.recv() => self.keep(checkpoint, ends).await,
                () = task.updated() => {
                    if let Some(update) = task.take_update() {
                        coalescer.offer(update);
                    }
                }
                () = poked.notified() => self.renew_at = Instant::now(),
                () = self.inner.draining.cancelled(), if self.stop_since.is_none() => {
                    self.ask(ends, Stopped::GivenBack);
                }
                () = sleep_until(wake) => {}
            }
            if let Some(update) = coalescer.poll(self.now()) {
                if self.tell(update.clone(), ends).await {
                    coalescer.told(self.now());
                } else {
                    coalescer.put_back(update);
                }
            } else if Instant::now() >= self.renew_at {
                self.renew(None, ends).await;
            }
            if self.is_late() && self.stop_since.is_none() {
                self.timed_out = true;
                self.ask(ends, Stopped::Cancelled);
            }
            if self.stop_since.is_none() && self.until.is_some_and(|until| Instant::now() >= until)
            {
                self.ask(ends, Stopped::GivenBack);
            }
            if self.must_leave(ends) {
                return Left::Dropped;
            }
        }
    }

    /// Whether the deadline ends the request.
    fn is_late(&self) -> bool {
        self.now() >= self.record.ends_by()
    }

    fn wake_at(&self, coalescer: &Coalescer) -> Instant {
        let now = self.now();
        let at = |moment: Timestamp| Instant::now() + moment.since(now);
        let mut wake = self.renew_at;
        if self.stop_since.is_none() && !self.record.committed {
            wake = wake.min(at(self.record.deadline_at));
        }
        if let Some(until) = self.until.filter(|_| self.stop_since.is_none()) {
            wake = wake.min(until);
        }
        if let Some(ready) = coalescer.ready_at() {
            wake = wake.min(at(ready));
        }
        if let Some(since) = self.stop_since {
            wake = wake.min(since + self.inner.app.limits.stop_grace);
        }
        wake
    }

    fn must_leave(&self, ends: &Ends) -> bool {
        let lost = *ends.stop.borrow() == Some(Stopped::LeaseLost);
        let grace = self.inner.app.limits.stop_grace;
        lost || self
            .stop_since
            .is_some_and(|since| since.elapsed() >= grace)
    }

    fn ask(&mut self, ends: &Ends, stop: Stopped) {
        self.stop_since.get_or_insert_with(Instant::now);
        ends.stop.send_replace(Some(stop));
    }

    /// Where the store keeps each, a progress message is sent only after the write that holds it, so
    /// that no later claim can say less.
    ///
    /// A number whose write failed is not used again: it may have happened all the same.
    async fn tell(&mut self, update: Update, ends: &Ends) -> bool {
        self.said += 1;
        let progress = Progress {
            seq: self.record.seq(self.said),
            percentage: update.percentage,
            message: update.message,
            metadata: update.metadata,
        };
        let message = announce::progress(&self.record, &progress).to_bytes();
        self.untold = Some(progress);
        if self.inner.backends.tasks.snapshots() == Snapshots::Each && !self.renew(None, ends).await
        {
            return false;
        }
        self.post(message).await;
        true
    }

    async fn post(&mut self, message: Bytes) {
        let told = self
            .record
            .told()
            .into_iter()
            .filter(|id| !self.gone.contains(id));
        let told: Vec<ConnectionId> = told.collect();
        let posts = told
            .iter()
            .map(|to| self.inner.backends.outbound.post(to, message.clone()));
        let posted = join_all(posts).await;
        for (to, posted) in told.into_iter().zip(posted) {
            // A full connection gets the next progress instead.
            if matches!(posted, Err(PostError::Gone)) {
                self.gone.insert(to);
            }
        }
    }

    /// Renews the lease; false where nothing was written.
    async fn renew(&mut self, checkpoint: Option<Json>, ends: &Ends) -> bool {
        let progress = self.untold.take();
        let transition = Transition::Renew {
            claim: self.record.claim,
            lease: self.inner.app.limits.lease,
            progress: progress.clone(),
            checkpoint,
        };
        let renewed = self.go_on(transition, ends).await;
        if !renewed {
            self.untold = progress;
        }
        renewed
    }

    /// Writes what prolongs the lease; false where nothing was written.
    async fn go_on(&mut self, transition: Transition, ends: &Ends) -> bool {
        let limits = &self.inner.app.limits;
        let asked_at = Instant::now();
        let key = &self.record.key;
        match self
            .inner
            .backends
            .tasks
            .apply(key, transition, self.now())
            .await
        {
            Ok(Applied::Done(record)) => {
                self.record = *record;
                self.lease_until = asked_at + limits.lease;
                self.renew_at = asked_at + limits.renew_every;
                if self.record.cancel_requested && self.stop_since.is_none() {
                    self.ask(ends, Stopped::Cancelled);
                }
                true
            }
            Ok(Applied::Refused(Refusal::Stopping, record)) => {
                self.timed_out = !record.cancel_requested;
                self.ask(ends, Stopped::Cancelled);
                false
            }
            Ok(Applied::Refused(..) | Applied::Missing) => {
                self.ask(ends, Stopped::LeaseLost);
                false
            }
            Err(error) => {
                tracing::warn!(request_id = %self.record.key.id, error = crate::error::chain(&error), "lease not renewed");
                self.renew_at = Instant::now() + STORE_RETRY;
                if Instant::now() >= self.lease_until {
                    self.ask(ends, Stopped::LeaseLost);
                }
                false
            }
        }
    }

    async fn commit(&mut self, ends: &Ends) -> bool {
        let transition = Transition::Commit {
            claim: self.record.claim,
            lease: self.inner.app.limits.lease,
        };
        self.go_on(transition, ends).await
    }

    async fn keep(&mut self, checkpoint: Checkpoint, ends: &Ends) {
        let commits = checkpoint.value.is_none();
        let stops = |asked: Option<Stopped>| {
            asked.is_some_and(|asked| commits || asked == Stopped::LeaseLost)
        };
        while !stops(*ends.stop.borrow()) {
            let kept = match checkpoint.value.clone() {
                None => self.commit(ends).await,
                value => self.renew(value, ends).await,
            };
            if kept {
                break;
            }
            if !stops(*ends.stop.borrow()) {
                sleep(STORE_RETRY).await;
            }
        }
        let answer = ends.stop.borrow().map_or(Ok(()), Err);
        // The handler may have been dropped while it waited.
        let _ = checkpoint.kept.send(answer);
    }

    async fn conclude(mut self, left: Left, asked: Option<Stopped>) -> Delivery {
        if asked == Some(Stopped::LeaseLost) {
            return Delivery::LeaseLost;
        }
        let stopped = match left {
            Left::Returned(Ok(Ok(result))) => return self.completed(result).await,
            Left::Returned(Ok(Err(error))) if error.retry_kind() == Retry::Stopped => asked,
            Left::Returned(Ok(Err(error))) => return self.failed(error).await,
            Left::Returned(Err(panic)) => return self.failed(Error::internal(panic).retry()).await,
            Left::Dropped => asked,
        };
        match stopped {
            Some(Stopped::GivenBack) => {
                let claim = self.record.claim;
                self.write(Transition::GiveBack { claim }).await
            }
            Some(_) if self.timed_out => {
                let error = Error::new(Code::Timeout, "the request's deadline passed");
                self.finish(Outcome::Failed(error.into_body()), None).await
            }
            Some(_) => self.finish(Outcome::Cancelled, None).await,
            None => {
                self.failed(Error::internal("the task stopped without being asked to"))
                    .await
            }
        }
    }

    async fn completed(self, result: Json) -> Delivery {
        let bytes = result.len_bytes();
        if bytes > self.inner.app.limits.result_bytes_max {
            let text = Bytes::copy_from_slice(result.get().as_bytes());
            let results = &self.inner.backends.results;
            let kept = self.leased(|| results.keep(&self.record.key, text.clone()));
            return match kept.await {
                Ok(name) => {
                    self.finish(Outcome::Completed(ResultAt::Object(name)), None)
                        .await
                }
                Err(error) => self.failed(Error::from(error)).await,
            };
        }
        if bytes > INLINE_BYTES_MAX {
            return self
                .finish(Outcome::Completed(ResultAt::Beside), Some(result))
                .await;
        }
        self.finish(Outcome::Completed(ResultAt::Inline(result)), None)
            .await
    }

    async fn failed(mut self, error: Error) -> Delivery {
        if error.retry_kind() == Retry::Again
            && self.record.failures + 1 < self.inner.app.limits.tries
        {
            tracing::Span::current().record("outcome", error.body().code.as_str());
            let claim = self.record.claim;
            let wait = retry::wait(self.record.failures + 1, crate::random::u64());
            let error = crate::error::chain(&error);
            tracing::info!(request_id = %self.record.key.id, error, ?wait, "attempt failed");
            return self.write(Transition::Retry { claim, wait }).await;
        }
        let body = logged(error, Some(self.record.key.id)).into_body();
        self.finish(Outcome::Failed(body), None).await
    }

    async fn finish(mut self, outcome: Outcome, result: Option<Json>) -> Delivery {
        let (claim, n) = (self.record.claim, self.said + 1);
        self.write(Transition::Finish {
            claim,
            outcome,
            n,
            result,
        })
        .await
    }

    /// Writes how the claim ends and tells the connections that the written record names. Tried for
    /// as long as the lease lasts, and once more at least: only the store knows what became of a
    /// try whose answer was lost, and it refuses what comes too late.
    async fn write(&mut self, transition: Transition) -> Delivery {
        let until = self.lease_until.max(Instant::now() + STORE_RETRY);
        loop {
            let tried_at = Instant::now();
            let key = &self.record.key;
            match self
                .inner
                .backends
                .tasks
                .apply(key, transition.clone(), self.now())
                .await
            {
                Ok(Applied::Done(record)) => return self.written(&record).await,
                // A write whose answer was lost has happened.
                Ok(Applied::Refused(_, record)) if self.is_mine(&record, &transition) => {
                    return self.written(&record).await;
                }
                Ok(Applied::Refused(..) | Applied::Missing) => return Delivery::LeaseLost,
                Err(error) => {
                    tracing::warn!(
                        error = crate::error::chain(&error),
                        "end of claim not written"
                    );
                    if tried_at >= until {
                        return Delivery::LeaseLost;
                    }
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn written(&self, record: &Record) -> Delivery {
        if record.state.is_terminal() {
            self.inner.ended(record).await;
        }
        match (record.state, record.due_at) {
            (State::Retrying, Some(due_at)) => Delivery::Waits(due_at),
            (state, _) => Delivery::Ran(state),
        }
    }

    fn is_mine(&self, record: &Record, transition: &Transition) -> bool {
        let Transition::Finish { claim, n, .. } = transition else {
            return false;
        };
        let seq = self.record.seq(*n);
        record.claim == *claim && record.terminal.as_ref().is_some_and(|end| end.seq == seq)
    }
}
