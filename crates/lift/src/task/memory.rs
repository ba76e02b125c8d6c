//! Requests kept in this process: transitions come in, records go out, nothing outlives it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::announce::Results;
use super::record::{Idempotency, Key, NewTask, Record, State};
use super::store::{
    Accepted, Activity, ActivityPage, ActivityQuery, Due, ListQuery, Page, Put, TaskStore,
};
use super::transition::{Applied, Transition, apply};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{Owner, RequestId, TenantId};
use crate::json::Json;

/// A [`TaskStore`] in memory; clones share their contents, as a restarted process shares a disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryTasks(Arc<Mutex<Tables>>);

/// [`Results`] in memory; their URLs lead nowhere.
#[derive(Debug, Clone, Default)]
pub struct MemoryResults(Arc<Mutex<HashMap<String, Bytes>>>);

impl MemoryResults {
    /// The result that was kept under a name.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }
}

#[async_trait]
impl Results for MemoryResults {
    async fn keep(&self, key: &Key, result: Bytes) -> Result<String, StoreError> {
        let name = key.id.to_string();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), result);
        Ok(name)
    }

    fn url(&self, _: &Key, name: &str, _: Timestamp) -> String {
        format!("memory:{name}")
    }
}

#[derive(Debug, Default)]
struct Tables {
    records: BTreeMap<Key, Record>,
    inputs: HashMap<Key, Json>,
    results: HashMap<Key, Json>,
    idempotency: HashMap<(Owner, String, String), Held>,
    due: BTreeSet<Due>,
    accepted: BTreeMap<TenantId, BTreeSet<Accepted>>,
    waiting: HashMap<Owner, usize>,
}

#[derive(Debug)]
struct Held {
    id: RequestId,
    payload_hash: String,
    expires_at: Timestamp,
}

impl MemoryTasks {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn replace(&mut self, next: &Record) {
        let key = next.key.clone();
        let before = self.records.insert(key.clone(), next.clone());
        if let Some(due) = before.as_ref().and_then(Due::of) {
            self.due.remove(&due);
        }
        self.due.extend(Due::of(next));
        let was = before.is_some_and(|record| waits(record.state));
        match (was, waits(next.state)) {
            (false, true) => *self.waiting.entry(key.owner).or_default() += 1,
            (true, false) => self.waits_less(&key.owner),
            _ => {}
        }
    }

    fn waits_less(&mut self, owner: &Owner) {
        if let Some(count) = self.waiting.get_mut(owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting.remove(owner);
            }
        }
    }

    fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Option<Put> {
        let name = (owner.clone(), action.to_owned(), idempotency.key.clone());
        let held = self
            .idempotency
            .get(&name)
            .filter(|held| held.expires_at > now)?;
        let equal = held.payload_hash == idempotency.payload_hash;
        Some(if equal {
            Put::Duplicate(held.id)
        } else {
            Put::Mismatch
        })
    }
}

fn waits(state: State) -> bool {
    matches!(state, State::Queued | State::Retrying)
}

#[async_trait]
impl TaskStore for MemoryTasks {
    async fn put(&self, new: NewTask) -> Result<Put, StoreError> {
        let mut tables = self.tables();
        let owner = new.key.owner.clone();
        if let Some(idempotency) = &new.idempotency
            && let Some(found) = tables.find(&owner, &new.action, idempotency, new.created_at)
        {
            return Ok(found);
        }
        if tables.records.contains_key(&new.key) {
            return Ok(Put::Duplicate(new.key.id));
        }
        if tables.waiting.get(&owner).copied().unwrap_or(0) >= new.queued_max {
            return Ok(Put::Full);
        }
        let record = new.record();
        tables.replace(&record);
        let accepted = Activity::of(&record).accepted;
        let tenant = owner.tenant.clone();
        tables.accepted.entry(tenant).or_default().insert(accepted);
        tables.inputs.insert(new.key.clone(), new.input);
        if let Some(Idempotency { key, payload_hash }) = new.idempotency {
            let held = Held {
                id: new.key.id,
                payload_hash,
                expires_at: record.expires_at,
            };
            tables.idempotency.insert((owner, new.action, key), held);
        }
        Ok(Put::Stored(Box::new(record)))
    }

    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        Ok(self.tables().find(owner, action, idempotency, now))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(self.tables().records.get(key).cloned())
    }

    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        Ok(self.tables().inputs.get(key).cloned())
    }

    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        Ok(self.tables().results.get(key).cloned())
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        let tables = self.tables();
        let lowest = Key {
            owner: owner.clone(),
            id: RequestId::from_bytes([0; 16]),
        };
        let highest = Key {
            owner: owner.clone(),
            id: query.before.unwrap_or(RequestId::from_bytes([255; 16])),
        };
        let mut matching = tables
            .records
            .range(lowest..highest)
            .rev()
            .map(|(_, record)| record)
            .filter(|record| query.state.is_none_or(|state| record.state == state));
        let records: Vec<Record> = matching.by_ref().take(query.limit).cloned().collect();
        let next = matching
            .next()
            .and(records.last())
            .map(|record| record.key.id);
        Ok(Page { records, next })
    }

    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        let tables = self.tables();
        let accepted = tables.accepted.get(tenant).into_iter().flatten();
        let mut matching = accepted
            .skip_while(|accepted| accepted.at < query.from)
            .take_while(|accepted| accepted.at < query.until)
            .filter(|accepted| query.after.as_ref().is_none_or(|after| *accepted > after));
        let page = matching.by_ref().take(query.limit);
        let requests: Vec<Activity> = page
            .filter_map(|accepted| tables.records.get(&accepted.key))
            .map(Activity::of)
            .collect();
        let last = requests.last().map(|request| request.accepted.clone());
        let next = matching.next().and(last);
        Ok(ActivityPage { requests, next })
    }

    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let mut tables = self.tables();
        let Some(record) = tables.records.get(key) else {
            return Ok(Applied::Missing);
        };
        let next = match apply(record, &transition, now) {
            Ok(next) => next,
            Err(refusal) => return Ok(Applied::Refused(refusal, Box::new(record.clone()))),
        };
        tables.replace(&next);
        if let Transition::Finish {
            result: Some(result),
            ..
        } = transition
        {
            tables.results.insert(key.clone(), result);
        }
        Ok(Applied::Done(Box::new(next)))
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let tables = self.tables();
        let due = tables
            .due
            .iter()
            .filter(|due| after.is_none_or(|after| *due > after));
        Ok(due
            .take_while(|due| due.at <= now)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.tables().due.first().map(|due| due.at))
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        let expired: Vec<Key> = tables
            .records
            .values()
            .filter(|record| record.state.is_terminal() && record.expires_at <= now)
            .take(limit)
            .map(|record| record.key.clone())
            .collect();
        for key in &expired {
            if let Some(record) = tables.records.remove(key)
                && let Some(accepted) = tables.accepted.get_mut(&key.owner.tenant)
            {
                accepted.remove(&Activity::of(&record).accepted);
            }
            tables.inputs.remove(key);
            tables.results.remove(key);
        }
        tables.idempotency.retain(|_, held| held.expires_at > now);
        Ok(expired.len())
    }
}
