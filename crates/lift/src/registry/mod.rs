//! Who is connected: connections come in as they open and go as they close, lists go out.

pub mod memory;
#[cfg(feature = "test-util")]
pub mod conformance;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ConnectionId, Owner, TenantId};

/// What is kept of an open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The gateway's id for it.
    pub id: ConnectionId,
    /// Whose it is.
    pub owner: Owner,
    /// When it was opened.
    pub connected_at: Timestamp,
    /// When it counts as gone even if nobody said so: `$disconnect` may never come.
    pub expires_at: Timestamp,
}

/// How many connections there may be at once, for one to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of one user.
    pub per_user: usize,
    /// Of one tenant.
    pub per_tenant: usize,
}

impl Room {
    /// For any number.
    pub const ENDLESS: Self = Self {
        per_user: usize::MAX,
        per_tenant: usize::MAX,
    };
}

/// What became of a [`put`](Registry::put).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Kept,
    /// Its user has as many as there may be.
    UserFull,
    /// Its tenant has.
    TenantFull,
}

/// Some connections, in an order that pages keep, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<Registered>,
    /// Give it back to get what follows; absent at the end.
    pub next: Option<ConnectionId>,
}

/// Keeps open connections. Implement it to add a backend.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// Keeps a connection where there is room, or replaces what was kept under its id.
    async fn put(&self, connection: Registered, room: Room) -> Result<Kept, StoreError>;

    /// The connection, unless it is past its time to live at `now`.
    async fn get(
        &self,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<Option<Registered>, StoreError>;

    /// Forgets a connection; it may be unknown.
    async fn delete(&self, id: &ConnectionId) -> Result<(), StoreError>;

    /// A user's connections, up to `limit`, after `after` if given.
    async fn by_user(
        &self,
        owner: &Owner,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError>;

    /// A tenant's connections, up to `limit`, after `after` if given.
    async fn by_tenant(
        &self,
        tenant: &TenantId,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError>;
}

/// The open connections, as handlers see them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections(Arc<dyn Registry>);

impl Connections {
    /// Keeps them in `registry`.
    pub fn new(registry: impl Registry) -> Self {
        Self(Arc::new(registry))
    }
}

impl std::ops::Deref for Connections {
    type Target = dyn Registry;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
