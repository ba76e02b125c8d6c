//! What connections are still to be told again: requests come in as a client resumes them, and go once it was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error};
use crate::id::ConnectionId;

/// Requests that one connection may wait to be told of again; past it `OVERLOADED`. Each may wait
/// for as long as its reader is slow.
pub const FOLLOWED_MAX: usize = 256;

/// How many there are for each connection. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed(Arc<Mutex<HashMap<ConnectionId, usize>>>);

/// Some of them, until it is dropped.
#[derive(Debug, Default)]
pub struct Following(Option<(Followed, ConnectionId, usize)>);

impl Followed {
    /// Counts `more` for a connection.
    ///
    /// # Errors
    /// `OVERLOADED`, where it would wait for more than [`FOLLOWED_MAX`].
    pub(crate) fn enter(&self, connection: &ConnectionId, more: usize) -> Result<Following, Error> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.get(connection).copied().unwrap_or(0) + more;
        if count > FOLLOWED_MAX {
            let error = Error::new(
                Code::Overloaded,
                "this connection is still being told what it asked for",
            );
            return Err(error.retry_after(Duration::from_secs(1)));
        }
        all.insert(connection.clone(), count);
        Ok(Following(Some((self.clone(), connection.clone(), more))))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let Some((followed, connection, told)) = self.0.take() else {
            return;
        };
        let mut all = followed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&connection) {
            *count = count.saturating_sub(told);
            if *count == 0 {
                all.remove(&connection);
            }
        }
    }
}
