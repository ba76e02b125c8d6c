//! The way to a client: a connection id and bytes come in, a delivery or its typed failure goes out.

pub mod memory;
mod broadcast;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock::Clock;
use crate::id::ConnectionId;
use crate::registry::Connections;

pub use broadcast::{AT_ONCE, BROADCAST_TIMEOUT, Broadcast, To};

/// How long one post may take.
pub const POST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a worker waits for room at a connection for a terminal message.
pub const ROOM_TIMEOUT: Duration = Duration::from_secs(12);

/// How long a replay waits for room for one message. A gateway closes a reader that takes nothing
/// for 10 s, so that only one which reads on, slowly, is waited for so long.
pub const REPLAY_TIMEOUT: Duration = Duration::from_secs(600);

const ROOM_POLL: Duration = Duration::from_millis(50);

/// Why a post did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The connection is closed, or was never open. Normal: never an alarm.
    #[error("the connection is gone")]
    Gone,
    /// The connection takes nothing more just now.
    #[error("the connection takes no more messages now")]
    Throttled,
    /// The message is larger than a gateway carries (128 KiB).
    #[error("the message is too large")]
    TooLarge,
    /// The gateway did not answer.
    #[error("the gateway could not be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps posts to one connection back until it is dropped.
#[derive(Default)]
pub struct Hold(Option<Box<dyn Any + Send + Sync>>);

impl Hold {
    /// Wraps the guard of a backend that can hold posts back.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0.is_some()).finish()
    }
}

/// Carries messages to connections. Implement it to add a gateway.
#[async_trait]
pub trait Post: fmt::Debug + Send + Sync + 'static {
    /// Sends one message.
    ///
    /// # Errors
    /// See [`PostError`].
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError>;

    /// Closes a connection with code 1000.
    ///
    /// # Errors
    /// See [`PostError`].
    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError>;

    /// Keeps posts to `connection` back while the answer that announces them is on its way.
    /// A gateway across a network cannot, and holds nothing.
    fn hold(&self, connection: &ConnectionId) -> Hold {
        let _ = connection;
        Hold::default()
    }
}

/// Sending to connections, as handlers and workers see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    post: Arc<dyn Post>,
    /// Who is connected, once the app is on its backends.
    registry: Option<(Connections, Clock)>,
}

impl Outbound {
    /// Sends by way of `post`.
    pub fn new(post: impl Post) -> Self {
        Self {
            post: Arc::new(post),
            registry: None,
        }
    }

    /// The same, to the users and tenants that `connections` knows.
    #[must_use]
    pub(crate) fn knowing(mut self, connections: Connections, clock: Clock) -> Self {
        self.registry = Some((connections, clock));
        self
    }

    /// Sends one message, within [`POST_TIMEOUT`].
    ///
    /// # Errors
    /// See [`PostError`].
    pub async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        let deadline = Instant::now() + POST_TIMEOUT;
        match timeout_at(deadline, self.post.post(connection, message)).await {
            Ok(done) => done,
            Err(elapsed) => Err(PostError::Unavailable(elapsed.into())),
        }
    }

    /// Sends one message, and tries again for up to `within`, and once after it, where the
    /// connection has no room or the gateway does not answer.
    ///
    /// # Errors
    /// See [`PostError`]: the last, when all that time was not enough.
    pub async fn post_when_room(
        &self,
        connection: &ConnectionId,
        message: Bytes,
        within: Duration,
    ) -> Result<(), PostError> {
        let deadline = Instant::now() + within;
        loop {
            // A machine that slept through the deadline has not tried.
            let tried_at = Instant::now();
            let tried = self.post(connection, message.clone());
            match tried.await {
                Err(PostError::Throttled | PostError::Unavailable(_)) if tried_at < deadline => {
                    sleep_until(Instant::now() + ROOM_POLL).await;
                }
                done => return done,
            }
        }
    }

    /// Closes a connection with code 1000, within [`POST_TIMEOUT`].
    ///
    /// # Errors
    /// See [`PostError`].
    pub async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        match timeout_at(Instant::now() + POST_TIMEOUT, self.post.close(connection)).await {
            Ok(done) => done,
            Err(elapsed) => Err(PostError::Unavailable(elapsed.into())),
        }
    }

    pub(crate) fn hold(&self, connection: &ConnectionId) -> Hold {
        self.post.hold(connection)
    }
}
