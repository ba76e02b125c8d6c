//! Posts to the connections of a gateway in this process: messages come in, frames are queued.

use std::collections::{BTreeSet, HashMap};
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
    held: Mutex<HashMap<ConnectionId, Holds>>,
}

/// The holds on one connection, numbered in the order they were taken. A post waits for those
/// taken before it began, so that a connection which keeps asking still hears its news.
#[derive(Debug, Default)]
struct Holds {
    next: u64,
    active: BTreeSet<u64>,
    /// The oldest active hold; the next number where there is none.
    oldest: watch::Sender<u64>,
}

impl Holds {
    fn take(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.active.insert(number);
        self.tell();
        number
    }

    fn release(&mut self, number: u64) {
        self.active.remove(&number);
        self.tell();
    }

    fn tell(&self) {
        self.oldest
            .send_replace(self.active.first().copied().unwrap_or(self.next));
    }
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

    fn held(&self) -> MutexGuard<'_, HashMap<ConnectionId, Holds>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn released(&self, connection: &ConnectionId) {
        let earlier = {
            let held = self.held();
            held.get(connection)
                .map(|holds| (holds.next, holds.oldest.subscribe()))
        };
        if let Some((next, mut oldest)) = earlier {
            // An error means that the last hold took the sender with it.
            let _ = oldest.wait_for(|oldest| *oldest >= next).await;
        }
    }
}

fn refused(error: lift_gateway::PostError) -> PostError {
    use lift_gateway::PostError as Gateway;
    match error {
        Gateway::Gone | Gateway::InvalidConnectionId => PostError::Gone,
        Gateway::Full | Gateway::Throttled => PostError::Throttled,
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
        let number = self.held().entry(connection.clone()).or_default().take();
        Hold::new(Held {
            posts: self.clone(),
            connection: connection.clone(),
            number,
        })
    }
}

struct Held {
    posts: GatewayPosts,
    connection: ConnectionId,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.posts.held();
        let Some(holds) = held.get_mut(&self.connection) else {
            return;
        };
        holds.release(self.number);
        if holds.active.is_empty() {
            held.remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use lift::id::ConnectionId;
    use lift::outbound::Post;

    use super::GatewayPosts;

    /// Without a gateway a post fails as soon as it is let through.
    fn let_through(post: &mut (impl Future + Unpin)) -> bool {
        post.now_or_never().is_some()
    }

    #[test]
    fn a_post_waits_for_the_holds_taken_before_it_and_for_no_later_one() {
        let posts = GatewayPosts::default();
        let (busy, other) = (ConnectionId::new("busy"), ConnectionId::new("other"));
        let earlier = [posts.hold(&busy), posts.hold(&busy)];
        let mut post = posts.post(&busy, Bytes::new());
        assert!(!let_through(&mut post));
        assert!(
            let_through(&mut posts.post(&other, Bytes::new())),
            "another connection"
        );
        let later = posts.hold(&busy);
        let [first, second] = earlier;
        drop(second);
        assert!(!let_through(&mut post), "the first is still held");
        drop(first);
        assert!(let_through(&mut post), "a later hold is none of its affair");
        drop(later);
        assert!(let_through(&mut posts.post(&busy, Bytes::new())));
        assert!(posts.held().is_empty());
    }
}
