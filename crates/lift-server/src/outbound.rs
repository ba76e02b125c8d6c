//! Posts to the connections of a gateway in this process: messages come in, frames are queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use lift::id::ConnectionId;
use lift::outbound::{Hold, Post, PostError};
use lift_gateway::Connections;
use tokio::sync::watch;

/// The gateway's connections, once there is a gateway: it and the app need each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayPosts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: OnceLock<Connections>,
    held: Mutex<HashMap<ConnectionId, watch::Sender<usize>>>,
}

impl GatewayPosts {
    /// Names the gateway; the first call counts.
    pub(crate) fn connect(&self, connections: Connections) {
        // A second gateway for the same app would be a bug of this crate's own.
        let _ = self.0.connections.set(connections);
    }

    fn connections(&self) -> Result<&Connections, PostError> {
        self.0
            .connections
            .get()
            .ok_or_else(|| PostError::Unavailable("no gateway yet".into()))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ConnectionId, watch::Sender<usize>>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn released(&self, connection: &ConnectionId) {
        let holds = self.held().get(connection).map(watch::Sender::subscribe);
        if let Some(mut holds) = holds {
            // An error means that the last hold took the sender with it.
            let _ = holds.wait_for(|count| *count == 0).await;
        }
    }
}

fn refused(error: lift_gateway::PostError) -> PostError {
    use lift_gateway::PostError as Gateway;
    match error {
        Gateway::Gone | Gateway::InvalidConnectionId => PostError::Gone,
        Gateway::Full => PostError::Throttled,
        Gateway::PayloadTooLarge => PostError::TooLarge,
        other => PostError::Unavailable(other.into()),
    }
}

#[async_trait]
impl Post for GatewayPosts {
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        self.released(connection).await;
        self.connections()?
            .post(connection.as_str(), message)
            .map_err(refused)
    }

    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        self.connections()?
            .delete(connection.as_str())
            .map_err(refused)
    }

    fn hold(&self, connection: &ConnectionId) -> Hold {
        let mut held = self.held();
        let holds = held
            .entry(connection.clone())
            .or_insert_with(|| watch::channel(0).0);
        holds.send_modify(|count| *count += 1);
        Hold::new(Held {
            posts: self.clone(),
            connection: connection.clone(),
        })
    }
}

struct Held {
    posts: GatewayPosts,
    connection: ConnectionId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.posts.held();
        let Some(holds) = held.get(&self.connection) else {
            return;
        };
        holds.send_modify(|count| *count = count.saturating_sub(1));
        if *holds.borrow() == 0 {
            held.remove(&self.connection);
        }
    }
}
