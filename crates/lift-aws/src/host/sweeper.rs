//! In: the schedule's tick. Out: requests that nobody runs are started, and ends that nobody heard of are told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use lift::app::Runtime;
use lift::error::{StoreError, chain};
use lift::task::record::Key;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::processor::all_told;
use super::{Starts, Work};
use crate::dynamodb::tasks::{DynamoTasks, Waiting};
use crate::event::Failure;

/// The stream starts what was just put, and a worker renews its lease so often: both come before the
/// sweeper.
const LET_OTHERS_FIRST: Duration = Duration::from_secs(15);
/// Requests of one shard that a pass looks at; the next one goes on.
const PER_SHARD: usize = 256;
/// Requests that are dealt with at a time.
const AT_ONCE: usize = 16;
/// What is begun with less time than this would not end within the invocation.
const TIME_MIN: Duration = Duration::from_secs(5);

/// Looks for requests that nobody runs.
#[derive(Clone, Debug)]
pub struct Sweeper {
    runtime: Runtime,
    tasks: Arc<DynamoTasks>,
    starts: Starts,
    /// Held from a telling to what it owes: those of others are not mixed in.
    telling: Arc<Mutex<()>>,
}

/// What a pass did, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Processors started for what was due.
    pub started: usize,
    /// Ended ones whose connections were told.
    pub told: usize,
    /// Neither: the next pass finds them again.
    pub left: usize,
}

impl Swept {
    pub(crate) fn to_bytes(self) -> Bytes {
        serde_json::to_vec(&self)
            .map(Bytes::from)
            .unwrap_or_default()
    }
}

impl Sweeper {
    /// Looks through `tasks`, which the runtime's own are.
    #[must_use]
    pub fn new(runtime: Runtime, tasks: Arc<DynamoTasks>, starts: Starts) -> Self {
        Self {
            runtime,
            tasks,
            starts,
            telling: Arc::default(),
        }
    }

    pub(crate) async fn run(&self, until: Instant) -> Result<Swept, Failure> {
        let now = self.runtime.backends().clock.now() - LET_OTHERS_FIRST;
        let waiting = self.tasks.waiting(now, PER_SHARD).await;
        let waiting = waiting.map_err(|error| Failure::Backend(error.into()))?;
        let mut dealt = stream::iter(waiting)
            .map(async |waiting| {
                if Instant::now() + TIME_MIN > until {
                    return Swept::LEFT;
                }
                self.deal(&waiting).await
            })
            .buffer_unordered(AT_ONCE);
        let mut swept = Swept::default();
        while let Some(one) = dealt.next().await {
            swept.started += one.started;
            swept.told += one.told;
            swept.left += one.left;
        }
        tracing::info!(?swept, "swept");
        Ok(swept)
    }

    async fn deal(&self, waiting: &Waiting) -> Swept {
        let (key, dealt, done) = match waiting {
            Waiting::Due(due) => {
                let started = self.starts.start(&Work::of(&due.key, None)).await;
                (&due.key, Swept::STARTED, started)
            }
            Waiting::Unposted(key) => (key, Swept::TOLD, self.tell(key).await),
        };
        match done {
            Ok(()) => dealt,
            Err(error) => {
                tracing::warn!(request_id = %key.id, error = chain(&error), "left to the next pass");
                Swept::LEFT
            }
        }
    }

    /// A delivery of what has ended tells its connections.
    async fn tell(&self, key: &Key) -> Result<(), Failure> {
        let backend = |error: StoreError| Failure::Backend(error.into());
        let _alone = self.telling.lock().await;
        self.runtime.deliver(key).await.map_err(backend)?;
        all_told(&self.runtime).await?;
        self.tasks.posted(key).await.map_err(backend)
    }
}

impl Swept {
    const STARTED: Self = Self {
        started: 1,
        told: 0,
        left: 0,
    };
    const TOLD: Self = Self {
        started: 0,
        told: 1,
        left: 0,
    };
    const LEFT: Self = Self {
        started: 0,
        told: 0,
        left: 1,
    };
}
