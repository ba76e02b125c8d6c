//! Connections kept in this process: on one machine they die with it, so memory is the right place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ConnectionPage, Registered, Registry};
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
        if let Some(ids) = self.by_owner.get_mut(&gone.owner) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_owner.remove(&gone.owner);
            }
        }
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

fn following(after: Option<&ConnectionId>) -> (Bound<&ConnectionId>, Bound<&ConnectionId>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn put(&self, connection: Registered) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.remove(&connection.id);
        let ids = tables.by_owner.entry(connection.owner.clone()).or_default();
        ids.insert(connection.id.clone());
        tables.connections.insert(connection.id.clone(), connection);
        Ok(())
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
        let owners = tables
            .by_owner
            .iter()
            .filter(|(owner, _)| owner.tenant == *tenant);
        let ids: BTreeSet<&ConnectionId> = owners.flat_map(|(_, ids)| ids).collect();
        let ids = ids.range::<ConnectionId, _>(following(after)).copied();
        Ok(tables.page(ids, limit, now))
    }
}
