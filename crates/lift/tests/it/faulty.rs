//! A store that fails on demand: calls come in, pass to the store within, or fail before or after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{Owner, TenantId};
use lift::json::Json;
use lift::task::memory::MemoryTasks;
use lift::task::record::{Idempotency, Key, NewTask, Record};
use lift::task::store::{
    ActivityPage, ActivityQuery, Due, ListQuery, Page, Put, Snapshots, TaskStore,
};
use lift::task::transition::{Applied, Transition};

/// A kind of call; those to `apply` by their transition, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Put,
    Get,
    Input,
    List,
    Apply,
    Renew,
    Finish,
}

/// Says which calls fail. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faulty(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
struct Faults {
    refused: HashMap<Method, usize>,
    unanswered: HashMap<Method, usize>,
    delay: Duration,
    with_lease: bool,
    written: Vec<Transition>,
}

impl Faulty {
    /// The next `count` calls fail and do nothing.
    pub(crate) fn refuse(&self, method: Method, count: usize) {
        self.0.lock().unwrap().refused.insert(method, count);
    }

    /// The next `count` calls are done, but the caller gets an error.
    pub(crate) fn lose_answers(&self, method: Method, count: usize) {
        self.0.lock().unwrap().unanswered.insert(method, count);
    }

    /// Progress is written with the lease alone from now on.
    pub(crate) fn keep_progress_with_the_lease(&self) {
        self.0.lock().unwrap().with_lease = true;
    }

    /// Every transition takes so long from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.lock().unwrap().delay = delay;
    }

    /// The transitions that the store within has been given since the last call.
    pub(crate) fn take_written(&self) -> Vec<Transition> {
        std::mem::take(&mut self.0.lock().unwrap().written)
    }

    pub(crate) fn over(&self, inner: MemoryTasks) -> FaultyTasks {
        FaultyTasks {
            inner,
            faults: self.clone(),
        }
    }

    fn fails(
        &self,
        methods: &[Method],
        pick: fn(&mut Faults) -> &mut HashMap<Method, usize>,
    ) -> Result<(), StoreError> {
        let mut faults = self.0.lock().unwrap();
        for method in methods {
            if let Some(left) = pick(&mut faults).get_mut(method).filter(|left| **left > 0) {
                *left -= 1;
                return Err(StoreError::unavailable("a fault on demand"));
            }
        }
        Ok(())
    }

    fn before(&self, methods: &[Method]) -> Result<(), StoreError> {
        self.fails(methods, |faults| &mut faults.refused)
    }

    fn after(&self, methods: &[Method]) -> Result<(), StoreError> {
        self.fails(methods, |faults| &mut faults.unanswered)
    }
}

#[derive(Debug)]
pub(crate) struct FaultyTasks {
    inner: MemoryTasks,
    faults: Faulty,
}

#[async_trait]
impl TaskStore for FaultyTasks {
    fn snapshots(&self) -> Snapshots {
        if self.faults.0.lock().unwrap().with_lease {
            Snapshots::WithLease
        } else {
            Snapshots::Each
        }
    }

    async fn put(&self, new: NewTask) -> Result<Put, StoreError> {
        self.faults.before(&[Method::Put])?;
        let put = self.inner.put(new).await?;
        self.faults.after(&[Method::Put])?;
        Ok(put)
    }

    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        self.inner.find(owner, action, idempotency, now).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.faults.before(&[Method::Get])?;
        self.inner.get(key).await
    }

    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        self.faults.before(&[Method::Input])?;
        self.inner.input(key).await
    }

    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        self.inner.result(key).await
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        self.faults.before(&[Method::List])?;
        self.inner.list(owner, query).await
    }

    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        self.inner.activity(tenant, query).await
    }

    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let kind = match &transition {
            Transition::Renew { .. } => Method::Renew,
            Transition::Finish { .. } => Method::Finish,
            _ => Method::Apply,
        };
        let methods = [kind, Method::Apply];
        self.faults.before(&methods)?;
        let delay = self.faults.0.lock().unwrap().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let applied = self.inner.apply(key, transition.clone(), now).await?;
        if matches!(applied, Applied::Done(_)) {
            self.faults.0.lock().unwrap().written.push(transition);
        }
        self.faults.after(&methods)?;
        Ok(applied)
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.inner.due(now, after, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.purge(now, limit).await
    }
}
