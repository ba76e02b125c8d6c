//! In: which request to run. Out: it has ended, or others take it from here.

use std::time::Duration;

use lift::app::Runtime;
use lift::id::Owner;
use lift::task::record::Key;
use lift::task::worker::Delivery;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::event::Failure;

/// The longest wait for a retry or a start within one invocation; what waits longer is the sweeper's.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What a task that is asked to stop needs to come to its next step, and its worker to write that down.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A run that would be shorter is left to the next invocation.
const RUN_MIN: Duration = Duration::from_secs(5);

/// Which request to run: the payload of a processor's invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The tenant whose request it is.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// The request.
    pub id: String,
    /// The trace that it began in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Work {
    /// To run a request.
    #[must_use]
    pub fn of(key: &Key, trace: Option<String>) -> Self {
        Self {
            tenant: key.owner.tenant.as_str().to_owned(),
            user: key.owner.user.as_str().to_owned(),
            id: key.id.to_string(),
            trace,
        }
    }

    pub(crate) fn parse(event: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(event).map_err(|error| Failure::Event(error.into()))
    }

    fn key(&self) -> Result<Key, Failure> {
        let owner = Owner::new(&self.tenant, &self.user);
        Ok(Key {
            owner: owner.map_err(|error| Failure::Event(error.into()))?,
            id: self.id.parse().map_err(|_none| {
                Failure::Event(format!("`{}` is no request id", self.id).into())
            })?,
        })
    }
}

/// Runs requests.
#[derive(Clone, Debug)]
pub struct Processor {
    runtime: Runtime,
}

/// Connections that are there and were not told how a request ended.
#[derive(Debug, thiserror::Error)]
#[error("{0} connections have not been told how the request ended")]
struct NotTold(usize);

/// Fails where the runtime owes an end to a connection: whoever delivers it again tells them.
pub(super) async fn all_told(runtime: &Runtime) -> Result<(), Failure> {
    match runtime.owed_now().await.len() {
        0 => Ok(()),
        owed => Err(Failure::Backend(NotTold(owed).into())),
    }
}

impl Processor {
    /// Runs requests of an app.
    #[must_use]
    pub const fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// Runs a request until it ends, waits for longer than a minute, or the invocation is about to end:
    /// a task that is not done then goes on from its checkpoint in another invocation, which the
    /// stream of the table starts.
    pub(crate) async fn run(&self, work: &Work, until: Instant) -> Result<(), Failure> {
        let key = work.key()?;
        let stop_at = until.checked_sub(STOP_WITHIN).unwrap_or(until);
        loop {
            let delivered = self.runtime.deliver_until(&key, stop_at).await;
            let delivered = delivered.map_err(|error| Failure::Backend(error.into()))?;
            tracing::info!(request_id = %key.id, ?delivered, "delivered");
            let Delivery::Waits(due_at) = delivered else {
                break;
            };
            let wait = due_at.since(self.runtime.backends().clock.now());
            let due = Instant::now() + wait;
            if wait > WAIT_MAX || due + RUN_MIN > stop_at {
                break;
            }
            sleep_until(due).await;
        }
        all_told(&self.runtime).await
    }

    /// Asks what runs to give its lease back.
    pub(crate) fn drain(&self) {
        self.runtime.drain();
    }
}
