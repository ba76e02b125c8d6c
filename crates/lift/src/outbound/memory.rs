//! A gateway in memory: posts come in and are kept for whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Post, PostError};
use crate::id::ConnectionId;

/// Connections in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryPosts(Arc<Mutex<HashMap<ConnectionId, Vec<Bytes>>>>);

impl MemoryPosts {
    fn open_connections(&self) -> MutexGuard<'_, HashMap<ConnectionId, Vec<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection, so that posts to it arrive.
    pub fn open(&self, connection: ConnectionId) {
        self.open_connections().entry(connection).or_default();
    }

    /// Takes what was posted to a connection since the last call.
    pub fn take(&self, connection: &ConnectionId) -> Vec<Bytes> {
        self.open_connections()
            .get_mut(connection)
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

#[async_trait]
impl Post for MemoryPosts {
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        let mut open = self.open_connections();
        open.get_mut(connection)
            .ok_or(PostError::Gone)?
            .push(message);
        Ok(())
    }

    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        self.open_connections()
            .remove(connection)
            .map(drop)
            .ok_or(PostError::Gone)
    }
}
