//! Connections kept in this process: on one machine they die with it, so memory is the right place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ConnectionPage, Kept, Registered, Registry, Room};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ConnectionId, Owner, TenantId};

/// A [`Registry`] in memory; clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct MemoryRegistry(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    connections: BTreeMap<ConnectionId, Registered>,
    by_owner: BTreeMap<Owner, BTreeSet<ConnectionId>>,
    by_tenant: BTreeMap<TenantId, BTreeSet<ConnectionId>>,
}

impl MemoryRegistry {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn remove(&mut self, id: &ConnectionId) {
        let Some(gone) = self.connections.remove(id) else {
            return;
        };
        leave(&mut self.by_owner, &gone.owner, id);
        leave(&mut self.by_tenant, &gone.owner.tenant, id);
    }

    fn page<'a>(
        &self,
        ids: impl Iterator<Item = &'a ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> ConnectionPage {
        let mut alive = ids
            .filter_map(|id| self.connections.get(id))
            .filter(|connection| connection.expires_at > now);
        let connections: Vec<Registered> = alive.by_ref().take(limit).cloned().collect();
        let next = alive
            .next()
            .and(connections.last())
            .map(|last| last.id.clone());
        ConnectionPage { connections, next }
    }
}

fn leave<K: Ord>(lists: &mut BTreeMap<K, BTreeSet<ConnectionId>>, of: &K, id: &ConnectionId) {
    if let Some(ids) = lists.get_mut(of) {
        ids.remove(id);
        if ids.is_empty() {
            lists.remove(of);
        }
    }
}

fn following(after: Option<&ConnectionId>) -> (Bound<&ConnectionId>, Bound<&ConnectionId>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn put(&self, connection: Registered, room: Room) -> Result<Kept, StoreError> {
        let mut tables = self.tables();
        tables.remove(&connection.id);
        let (owner, id) = (&connection.owner, &connection.id);
        let of_user = tables.by_owner.get(owner).map_or(0, BTreeSet::len);
        let of_tenant = tables.by_tenant.get(&owner.tenant).map_or(0, BTreeSet::len);
        if of_user >= room.per_user {
            return Ok(Kept::UserFull);
        }
        if of_tenant >= room.per_tenant {
            return Ok(Kept::TenantFull);
        }
        let ids = tables.by_owner.entry(owner.clone()).or_default();
        ids.insert(id.clone());
        let ids = tables.by_tenant.entry(owner.tenant.clone()).or_default();
        ids.insert(id.clone());
        tables.connections.insert(id.clone(), connection);
        Ok(Kept::Kept)
    }

    async fn get(
        &self,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<Option<Registered>, StoreError> {
        let tables = self.tables();
        let found = tables
            .connections
            .get(id)
            .filter(|connection| connection.expires_at > now);
        Ok(found.cloned())
    }

    async fn delete(&self, id: &ConnectionId) -> Result<(), StoreError> {
        self.tables().remove(id);
        Ok(())
    }

    async fn by_user(
        &self,
        owner: &Owner,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError> {
        let tables = self.tables();
        let ids = tables.by_owner.get(owner);
        let ids = ids
            .into_iter()
            .flat_map(|ids| ids.range::<ConnectionId, _>(following(after)));
        Ok(tables.page(ids, limit, now))
    }

    async fn by_tenant(
        &self,
        tenant: &TenantId,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError> {
        let tables = self.tables();
        let ids = tables.by_tenant.get(tenant);
        let ids = ids
            .into_iter()
            .flat_map(|ids| ids.range::<ConnectionId, _>(following(after)));
        Ok(tables.page(ids, limit, now))
    }
}
