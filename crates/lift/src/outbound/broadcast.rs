//! One message for many: whom it is for comes in, how many got it goes out.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::{Outbound, PostError};
use crate::error::StoreError;
use crate::id::{ConnectionId, Owner, TenantId};
use crate::registry::ConnectionPage;

/// Posts of one broadcast under way at a time.
pub const AT_ONCE: usize = 64;
/// Connections read from the registry at a time.
const PAGE: usize = 1_000;
/// Time that a whole broadcast has; the rest counts as failed.
pub const BROADCAST_TIMEOUT: Duration = Duration::from_secs(25);

/// Whom a broadcast is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Every connection of a user.
    User(Owner),
    /// Every connection of a tenant.
    Tenant(TenantId),
    /// These connections; one that is named twice gets the message twice.
    Connections(Vec<ConnectionId>),
}

/// What became of a broadcast, in connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Broadcast {
    /// It is in their queue.
    pub sent: usize,
    /// They are closed; the registry has forgotten them.
    pub gone: usize,
    /// They take nothing more just now.
    pub throttled: usize,
    /// The gateway did not take it, or there was no time left.
    pub failed: usize,
}

impl Broadcast {
    fn count(&mut self, posted: &Result<(), PostError>) {
        *match posted {
            Ok(()) => &mut self.sent,
            Err(PostError::Gone) => &mut self.gone,
            Err(PostError::Throttled) => &mut self.throttled,
            Err(PostError::TooLarge | PostError::Unavailable(_)) => &mut self.failed,
        } += 1;
    }
}

impl Outbound {
    /// Sends one message to many connections, [`AT_ONCE`] at a time, within [`BROADCAST_TIMEOUT`].
    /// No post is tried twice.
    ///
    /// ```
    /// use lift::{error::Error, id::Owner, outbound::{Broadcast, Outbound, To}};
    ///
    /// async fn shout(owner: Owner, out: Outbound) -> Result<Broadcast, Error> {
    ///     let text = r#"{"type":"news","text":"hello"}"#;
    ///     Ok(out.broadcast(To::Tenant(owner.tenant), text).await?)
    /// }
    /// ```
    ///
    /// # Errors
    /// When the registry cannot say whose connections there are; some may have got the message.
    pub async fn broadcast(
        &self,
        to: To,
        message: impl Into<Bytes> + Send,
    ) -> Result<Broadcast, StoreError> {
        let (message, mut done) = (message.into(), Broadcast::default());
        let deadline = Instant::now() + BROADCAST_TIMEOUT;
        if let To::Connections(ids) = to {
            self.post_all(ids, &message, deadline, &mut done).await;
            return Ok(done);
        }
        let mut after = None;
        loop {
            let ConnectionPage { connections, next } = self.page(&to, after.as_ref()).await?;
            if Instant::now() >= deadline {
                done.failed += connections.len();
            } else {
                let ids = connections.into_iter().map(|connection| connection.id);
                self.post_all(ids, &message, deadline, &mut done).await;
            }
            after = next;
            if after.is_none() {
                return Ok(done);
            }
        }
    }

    async fn page(
        &self,
        to: &To,
        after: Option<&ConnectionId>,
    ) -> Result<ConnectionPage, StoreError> {
        let Some((connections, clock)) = &self.registry else {
            return Err(StoreError::unavailable("the app is on no backends yet"));
        };
        let now = clock.now();
        match to {
            To::User(owner) => connections.by_user(owner, after, PAGE, now).await,
            To::Tenant(tenant) => connections.by_tenant(tenant, after, PAGE, now).await,
            To::Connections(_) => Ok(ConnectionPage {
                connections: Vec::new(),
                next: None,
            }),
        }
    }

    async fn post_all(
        &self,
        ids: impl IntoIterator<Item = ConnectionId>,
        message: &Bytes,
        deadline: Instant,
        done: &mut Broadcast,
    ) {
        let posts = stream::iter(ids).map(async |id| {
            let posted = timeout_at(deadline, self.post(&id, message.clone())).await;
            let posted = posted.unwrap_or_else(|late| Err(PostError::Unavailable(late.into())));
            if matches!(posted, Err(PostError::Gone))
                && let Some((connections, _)) = &self.registry
                && let Err(error) = connections.delete(&id).await
            {
                tracing::debug!(
                    error = crate::error::chain(&error),
                    "a connection that is gone stays registered"
                );
            }
            posted
        });
        let mut posts = posts.buffer_unordered(AT_ONCE);
        while let Some(posted) = posts.next().await {
            done.count(&posted);
        }
    }
}
