//! Requests kept in a directory: calls come in, durable answers go out.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{Owner, TenantId};
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Record};
use lift::task::store::{
    Activity, ActivityPage, ActivityQuery, Due, ListQuery, Page, Put, TaskStore,
};
use lift::task::transition::{Applied, Transition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::backup::Control;
use crate::committer::{Answer, Op, Shared};
use crate::group::{met, read, read_error};
use crate::layout::{self, Body, Held};
use crate::open::{self, OpenError, Opened, Options, Writing};
use crate::report::Report;
use crate::salvage;

/// Records that one page of a list looks at, at most, if it asks for fewer.
const LIST_LOOKED_AT_MAX: usize = 1_000;

/// A [`TaskStore`] in a directory of this machine.
///
/// After a write failed (the disk is full, `fsync` reports an error) no further write is taken, and
/// what was answered before stays readable. A write answered `Unavailable` has happened or not, as
/// after a lost answer: opening the store again decides. Dropping the store waits, for as long as
/// for an answer, until the writing thread has finished what is queued.
///
/// Reads go straight to memory or the disk's cache on the calling thread: they take 5 µs, and a
/// detour over a blocking thread takes 13. Only what reads many records makes it.
#[derive(Debug)]
pub struct EmbeddedTasks {
    queue: Mutex<Option<mpsc::Sender<Op>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<Writing>>,
    /// Ends before the store does.
    _control: Option<Control>,
    report: Report,
    answer_within: Duration,
}

impl EmbeddedTasks {
    /// Opens the store in `dir`, or makes one, reads every record and voids every lease.
    ///
    /// Blocks while it reads, some 10 to 20 µs a record.
    ///
    /// # Errors
    /// When the directory is in use or cannot be used, has another format, or is damaged beyond
    /// what [`report`](Self::report) could say.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let Opened {
            shared,
            queue,
            thread,
            control,
            report,
        } = open::open(dir, options)?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            shared,
            thread: Mutex::new(Some(thread)),
            _control: control,
            report,
            answer_within: options.answer_within,
        })
    }

    /// Copies what can be read of a store that [`open`](Self::open) finds damaged to a new one in its
    /// place; the old one is kept below `damaged`. The report says what is missing.
    ///
    /// # Errors
    /// When the directory is in use or cannot be used, or nothing can be read.
    pub fn salvage(dir: &Path) -> Result<Report, OpenError> {
        salvage::salvage(dir)
    }

    /// What opening found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether writes are taken.
    ///
    /// # Errors
    /// When one failed, with the reason; when the writing thread is gone; or when the store was closed.
    pub fn writable(&self) -> Result<(), StoreError> {
        if let Some(failed) = self.shared.failure.get() {
            return Err(StoreError::unavailable(failed.clone()));
        }
        if self.queue()?.is_closed() {
            return Err(gone());
        }
        Ok(())
    }

    /// Finishes the writes that are queued and refuses later ones; reads go on until the drop.
    ///
    /// # Errors
    /// When a write failed since the store was opened.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let within = self.answer_within;
            let ended = tokio::task::spawn_blocking(move || thread.end(within)).await;
            if !ended.map_err(StoreError::unavailable)? {
                return Err(StoreError::unavailable(
                    "the store's writing thread did not end",
                ));
            }
        }
        match self.shared.failure.get() {
            Some(failed) => Err(StoreError::unavailable(failed.clone())),
            None => Ok(()),
        }
    }

    fn queue(&self) -> Result<mpsc::Sender<Op>, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue
            .clone()
            .ok_or_else(|| StoreError::unavailable("the store is closed"))
    }

    async fn ask<T>(&self, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, StoreError> {
        let queue = self.queue()?;
        let (sender, answer) = oneshot::channel();
        let op = op(sender);
        let asked = async move {
            queue.send(op).await.map_err(|_closed| gone())?;
            drop(queue);
            answer.await.map_err(|_dropped| gone())?
        };
        timeout(self.answer_within, asked)
            .await
            .map_err(StoreError::unavailable)?
    }
}

impl EmbeddedTasks {
    /// Reads many rows where that may block.
    async fn walk<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let walked = tokio::task::spawn_blocking(move || read(&shared));
        timeout(self.answer_within, walked)
            .await
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)?
    }
}

impl Drop for EmbeddedTasks {
    fn drop(&mut self) {
        self.queue
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| !thread.end(self.answer_within)) {
            tracing::error!("the store's writing thread did not end");
        }
    }
}

fn gone() -> StoreError {
    StoreError::unavailable("the store's writing thread is gone")
}

#[async_trait]
impl TaskStore for EmbeddedTasks {
    async fn put(&self, new: NewTask) -> Result<Put, StoreError> {
        self.ask(|answer| Op::Put(Box::new(new), answer)).await
    }

    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        let Some(row) = layout::idempotency(owner, action, &idempotency.key) else {
            return Ok(None);
        };
        let held = read::<Held>(&self.shared.rows, &row)?;
        Ok(held.and_then(|held| met(&held, idempotency, now)))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        read(&self.shared.rows, &layout::head(key))
    }

    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        read(&self.shared.rows, &layout::body(key, Body::Input))
    }

    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        read(&self.shared.rows, &layout::body(key, Body::Result))
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        let (owner, query) = (owner.clone(), query.clone());
        self.walk(move |shared| list(shared, &owner, &query)).await
    }

    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        let (tenant, query) = (tenant.clone(), query.clone());
        self.walk(move |shared| activity(shared, &tenant, &query))
            .await
    }

    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let call = Box::new((key.clone(), transition));
        self.ask(|answer| Op::Apply(call, now, answer)).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let index = self
            .shared
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(index.due(now, after, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .shared
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_due())
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.ask(|answer| Op::Purge(now, limit, answer)).await
    }
}

/// One page; a record that cannot be read is left out, as opening the store has reported it.
fn list(shared: &Shared, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
    let (low, high) = layout::heads_of(owner, query.before);
    let mut page = Page {
        records: Vec::new(),
        next: None,
    };
    let mut seen = None;
    let looked_at_max = query.limit.max(LIST_LOOKED_AT_MAX);
    for (looked_at, guard) in shared.rows.range(low..high).rev().enumerate() {
        if page.records.len() >= query.limit || looked_at >= looked_at_max {
            page.next = seen;
            break;
        }
        let (row, value) = guard.into_inner().map_err(read_error)?;
        seen = layout::parse_head(&row).map(|key| key.id).or(seen);
        let Ok(record) = serde_json::from_slice::<Record>(&value) else {
            continue;
        };
        if query.state.is_none_or(|state| record.state == state) {
            page.records.push(record);
        }
    }
    Ok(page)
}

/// One page in the order of time; a record that cannot be read is left out.
fn activity(
    shared: &Shared,
    tenant: &TenantId,
    query: &ActivityQuery,
) -> Result<ActivityPage, StoreError> {
    let (mut low, high) = layout::activities(tenant, query.from, query.until);
    if let Some(after) = &query.after {
        low = layout::activity(after);
        // The row that follows at the earliest: no user's id holds a zero byte.
        low.push(0);
    }
    let mut page = ActivityPage {
        requests: Vec::new(),
        next: None,
    };
    if low >= high {
        return Ok(page);
    }
    let (mut seen, mut looked_at) = (None, 0);
    for guard in shared.rows.range(low..high) {
        if looked_at == query.limit {
            page.next = seen;
            break;
        }
        looked_at += 1;
        let row = guard.key().map_err(read_error)?;
        let Some(accepted) = layout::parse_activity(&row) else {
            continue;
        };
        let value = shared.rows.get(layout::head(&accepted.key));
        let value = value.map_err(read_error)?;
        // One that cannot be parsed is left out: opening the store has reported it.
        let record = value.and_then(|value| serde_json::from_slice::<Record>(&value).ok());
        page.requests.extend(record.as_ref().map(Activity::of));
        seen = Some(accepted);
    }
    Ok(page)
}
