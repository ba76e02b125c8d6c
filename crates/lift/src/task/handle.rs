//! A running task's side of its lease: progress and checkpoints go in, the wish to stop comes out.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::progress::Update;
use crate::error::Error;
use crate::json::Json;

/// The task was asked to stop: return with it, by `?`, after putting away what must be put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// Its owner cancelled it, or its deadline passed: it will not run again.
    #[error("the task was cancelled")]
    Cancelled,
    /// Its process is going away: it will go on from its checkpoint elsewhere.
    #[error("the task was given back")]
    GivenBack,
    /// Its lease went to another worker: whatever it still does is in vain.
    #[error("the task lost its lease")]
    LeaseLost,
}

impl From<Stopped> for Error {
    fn from(_: Stopped) -> Self {
        Self::stopped()
    }
}

/// A task as its handler sees it. Cheap to clone.
///
/// ```
/// use lift::task::handle::{Stopped, Task};
///
/// async fn count(task: Task) -> Result<u32, Stopped> {
///     let done: u32 = task.resumed_from().unwrap_or(0);
///     for n in done..1_000 {
///         task.progress(f64::from(n) / 10.0, "counting").await?;
///         task.checkpoint(&(n + 1)).await?;
///     }
///     Ok(1_000)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Task(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    latest: Mutex<Option<Update>>,
    updated: Notify,
    checkpoints: mpsc::Sender<Checkpoint>,
    stop: watch::Receiver<Option<Stopped>>,
    resumed_from: Option<Json>,
    attempt: u32,
    claim: u64,
}

/// A checkpoint on its way to the store.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Absent where the task commits.
    pub(crate) value: Option<Json>,
    pub(crate) kept: oneshot::Sender<Result<(), Stopped>>,
}

/// The worker's ends of a task.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) task: Task,
    pub(crate) checkpoints: mpsc::Receiver<Checkpoint>,
    pub(crate) stop: watch::Sender<Option<Stopped>>,
}

impl Ends {
    pub(crate) fn new(resumed_from: Option<Json>, attempt: u32, claim: u64) -> (Task, Self) {
        let (checkpoints, receiver) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(None);
        let task = Task(Arc::new(Shared {
            latest: Mutex::default(),
            updated: Notify::new(),
            checkpoints,
            stop: stopped,
            resumed_from,
            attempt,
            claim,
        }));
        (
            task.clone(),
            Self {
                task,
                checkpoints: receiver,
                stop,
            },
        )
    }
}

impl Task {
    /// The task of a sync handler: nobody asks how far it is, and it cannot go on elsewhere.
    pub(crate) fn unattended() -> Self {
        static ONE_FOR_ALL: LazyLock<Task> = LazyLock::new(|| Ends::new(None, 1, 0).0);
        ONE_FOR_ALL.clone()
    }

    /// Waits for an update that was not taken yet. Nothing is lost if it is dropped.
    pub(crate) async fn updated(&self) {
        self.0.updated.notified().await;
    }

    pub(crate) fn take_update(&self) -> Option<Update> {
        self.0
            .latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Says how far the task is; `percentage` is 0 to 100. The latest update wins.
    ///
    /// # Errors
    /// When the task was asked to stop.
    pub async fn progress(&self, percentage: f64, message: &str) -> Result<(), Stopped> {
        self.update(Update {
            percentage,
            message: message.to_owned(),
            metadata: None,
        })
        .await
    }

    /// Says how far the task is, for programs too.
    ///
    /// # Errors
    /// When the task was asked to stop.
    pub async fn update(&self, update: Update) -> Result<(), Stopped> {
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(update);
        self.0.updated.notify_one();
        // A task that reports in a tight loop must not keep its own worker from running.
        tokio::task::yield_now().await;
        self.stop_requested().map_or(Ok(()), Err)
    }

    /// Keeps where the task is, durably: a later claim finds it in [`resumed_from`](Self::resumed_from).
    ///
    /// # Errors
    /// When the task was asked to stop. The checkpoint was kept, unless the lease is lost.
    pub async fn checkpoint(&self, value: &(impl Serialize + Sync)) -> Result<(), Stopped> {
        match Json::of(value) {
            Ok(value) => self.keep(Some(value)).await,
            Err(error) => {
                tracing::error!(%error, "a checkpoint has no JSON form");
                Err(Stopped::LeaseLost)
            }
        }
    }

    /// Asked before an effect that cannot be undone, such as a payment or a file's last rename: once
    /// it is granted, neither a cancel nor the deadline ends the request.
    ///
    /// The effect must be one that is safe to repeat: a later claim, which finds the last
    /// checkpoint, asks again and makes sure of it.
    ///
    /// # Errors
    /// When the task is to stop; then the effect must not happen.
    pub async fn commit(&self) -> Result<(), Stopped> {
        self.keep(None).await
    }

    async fn keep(&self, value: Option<Json>) -> Result<(), Stopped> {
        let (kept, answer) = oneshot::channel();
        if self
            .0
            .checkpoints
            .send(Checkpoint { value, kept })
            .await
            .is_err()
        {
            // Nobody attends to a sync handler, which nothing stops either.
            return self.stop_requested().map_or(Ok(()), Err);
        }
        answer.await.unwrap_or(Err(Stopped::LeaseLost))
    }

    /// The checkpoint that an earlier claim left, if there is one and it is a `T`.
    pub fn resumed_from<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.0.resumed_from.as_ref()?.get()).ok()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The number of this claim, above that of every earlier one; 0 in a sync handler.
    pub fn claim(&self) -> u64 {
        self.0.claim
    }

    /// Whether, and why, the task should stop.
    pub fn stop_requested(&self) -> Option<Stopped> {
        *self.0.stop.borrow()
    }
}
