//! A store with weather: calls come in, take their time, fail before or after they are done, and pass to memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{Owner, TenantId};
use lift::json::Json;
use lift::task::memory::MemoryTasks;
use lift::task::record::{Idempotency, Key, NewTask, Record, State};
use lift::task::store::{ActivityPage, ActivityQuery, Due, ListQuery, Page, Put, TaskStore};
use lift::task::transition::{Applied, Transition};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::plan::{Fencing, Plan};

/// Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct WeatheredTasks {
    /// What is stored, seen without any weather.
    pub(crate) truth: MemoryTasks,
    calm: Arc<AtomicBool>,
    dice: Dice,
    ledger: Ledger,
    errors: u64,
    stalls: u64,
    fencing: Fencing,
}

impl WeatheredTasks {
    pub(crate) fn new(plan: &Plan, ledger: &Ledger) -> Self {
        Self {
            truth: MemoryTasks::default(),
            calm: Arc::default(),
            dice: Dice::new(plan.seed ^ 0x5704e),
            ledger: ledger.clone(),
            errors: plan.store_errors,
            stalls: plan.stalls,
            fencing: plan.fencing,
        }
    }

    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Time that passes on one side of a call, and whether the call fails there.
    async fn weather(&self) -> Result<(), StoreError> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.dice.chance(self.stalls) {
            sleep(self.dice.millis(14_000, 40_000)).await;
        } else if self.dice.chance(300) {
            sleep(self.dice.millis(1, 60)).await;
        }
        if self.dice.chance(self.errors) {
            return Err(StoreError::unavailable("the weather is bad"));
        }
        Ok(())
    }

    /// The planted bug: whoever claims to hold the lease is believed.
    async fn unfenced(&self, key: &Key, mut transition: Transition) -> Transition {
        let Some(record) = self.truth.get(key).await.ok().flatten() else {
            return transition;
        };
        if let Transition::Renew { claim, .. }
        | Transition::GiveBack { claim }
        | Transition::Retry { claim, .. }
        | Transition::Finish { claim, .. } = &mut transition
        {
            *claim = record.claim;
        }
        transition
    }

    /// One write, and what it changed about the end of the request.
    async fn write(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let before = self.truth.get(key).await?;
        let applied = self.truth.apply(key, transition.clone(), now).await?;
        let Applied::Done(after) = &applied else {
            return Ok(applied);
        };
        self.ledger
            .say(|| format!("store: {} {transition:?}", key.id));
        match (before.and_then(|record| record.terminal), &after.terminal) {
            (None, Some(end)) => {
                let ended = (key.clone(), end.clone());
                self.ledger.facts().ended.push(ended);
            }
            (Some(before), after) if after.as_ref() != Some(&before) => {
                self.ledger
                    .broken(format!("{}: its end was rewritten", key.id));
            }
            _ => {}
        }
        Ok(applied)
    }
}

#[async_trait]
impl TaskStore for WeatheredTasks {
    async fn put(&self, new: NewTask) -> Result<Put, StoreError> {
        self.weather().await?;
        let put = self.truth.put(new).await?;
        self.weather().await?;
        Ok(put)
    }

    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        self.weather().await?;
        self.truth.find(owner, action, idempotency, now).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.weather().await?;
        let record = self.truth.get(key).await?;
        self.weather().await?;
        Ok(record)
    }

    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        self.weather().await?;
        self.truth.input(key).await
    }

    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        self.weather().await?;
        self.truth.result(key).await
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        self.weather().await?;
        self.truth.list(owner, query).await
    }

    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        self.weather().await?;
        self.truth.activity(tenant, query).await
    }

    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        self.weather().await?;
        let transition = match self.fencing {
            Fencing::On => transition,
            Fencing::Off => self.unfenced(key, transition).await,
        };
        let applied = self.write(key, transition, now).await?;
        self.weather().await?;
        Ok(applied)
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.weather().await?;
        self.truth.due(now, after, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.truth.next_due().await
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.truth.purge(now, limit).await
    }
}

/// Whether nothing more will happen to any of an owner's requests.
pub(crate) async fn all_ended(truth: &MemoryTasks, owner: &Owner) -> bool {
    everything(truth, owner)
        .await
        .iter()
        .all(|record| record.state.is_terminal())
}

/// Every request of an owner.
pub(crate) async fn everything(truth: &MemoryTasks, owner: &Owner) -> Vec<Record> {
    let query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    truth.list(owner, &query).await.unwrap().records
}

/// For the log.
pub(crate) const fn word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Retrying => "retrying",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}
