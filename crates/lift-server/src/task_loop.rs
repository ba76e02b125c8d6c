//! Runs what is due: the store says which requests, limits say how many at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::FutureExt;
use lift::app::Runtime;
use lift::error::chain;
use lift::id::Owner;
use lift::task::record::Key;
use lift::task::store::Due;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The longest sleep: due times are met to this much even if a hint is missed.
const POLL: Duration = Duration::from_secs(1);
/// The longest sleep while due requests wait for their owners' limits.
const POLL_BLOCKED: Duration = Duration::from_millis(100);
/// Due requests read at a time.
const PAGE: usize = 256;
/// Due requests looked at in one pass, most of which may belong to owners at their limit.
const SCAN_MAX: usize = 16 * PAGE;
/// Requests past their deadline that are ended at a time, beside those that run.
const OVERDUE_MAX: usize = 64;
/// Pause after the store failed.
const STORE_RETRY: Duration = Duration::from_millis(200);
/// How often ended requests past their time to live are looked for, and how many at a time.
const PURGE_EVERY: Duration = Duration::from_secs(60);
const PURGE_MAX: usize = 1_000;

/// Replays to slow connections under way at a time.
const REPLAYS_MAX: usize = 256;

/// Tells connections that had no room what they are owed, each as it reads on. Until dropped.
pub(crate) async fn pay(runtime: Runtime) {
    let mut replays = JoinSet::new();
    loop {
        tokio::select! {
            (connection, follow) = runtime.owed(), if replays.len() < REPLAYS_MAX => {
                let runtime = runtime.clone();
                replays.spawn(async move { runtime.follow(&connection, vec![follow]).await });
            }
            Some(_) = replays.join_next() => {}
        }
    }
}

/// Runs until `stop`, then waits for the tasks that it runs.
pub(crate) async fn run(runtime: Runtime, stop: CancellationToken) {
    let mut running = Running {
        runtime,
        tasks: JoinSet::new(),
        keys: HashMap::new(),
        owners: HashMap::new(),
    };
    let mut purge_at = Instant::now() + PURGE_EVERY;
    while !stop.is_cancelled() {
        let wake = running.start_due().await;
        let runtime = running.runtime.clone();
        tokio::select! {
            () = stop.cancelled() => break,
            () = runtime.woken() => {}
            ended = running.ended() => running.leave(&ended),
            () = sleep_until(wake) => {}
        }
        // Tasks end in groups, as the store answers: one look at what is due is enough for all of one.
        while let Some(ended) = running.ended().now_or_never() {
            running.leave(&ended);
        }
        if Instant::now() >= purge_at {
            running.purge().await;
            purge_at = Instant::now() + PURGE_EVERY;
        }
    }
    while !running.tasks.is_empty() {
        let ended = running.ended().await;
        running.leave(&ended);
    }
}

struct Running {
    runtime: Runtime,
    tasks: JoinSet<()>,
    keys: HashMap<tokio::task::Id, Key>,
    owners: HashMap<Owner, HashSet<Key>>,
}

impl Running {
    /// Starts what is due within the limits, and says when to look again at the latest.
    async fn start_due(&mut self) -> Instant {
        match self.try_start_due().await {
            Ok(wake) => wake,
            Err(error) => {
                tracing::warn!(error = chain(&error), "due requests not read");
                Instant::now() + STORE_RETRY
            }
        }
    }

    async fn try_start_due(&mut self) -> Result<Instant, lift::error::StoreError> {
        let backends = self.runtime.backends().clone();
        let limits = self.runtime.limits().clone();
        let now = backends.clock.now();
        let (mut after, mut seen): (Option<Due>, usize) = (None, 0);
        // What is past its deadline ends without running, so that it waits for nobody's limit.
        let tasks_max = limits.running_max + OVERDUE_MAX;
        while self.tasks.len() < tasks_max && seen < SCAN_MAX {
            let page = backends.tasks.due(now, after.as_ref(), PAGE).await?;
            seen += page.len();
            for due in &page {
                let of_owner = self.owners.get(&due.key.owner);
                if of_owner.is_some_and(|keys| keys.contains(&due.key)) {
                    continue;
                }
                let of_owner = of_owner.map_or(0, HashSet::len);
                let room = self.tasks.len() < limits.running_max
                    && of_owner < limits.running_per_owner_max;
                let overdue = due.deadline_at <= now && self.tasks.len() < tasks_max;
                if room || overdue {
                    self.enter(due.key.clone());
                }
            }
            if page.len() < PAGE {
                break;
            }
            after = page.last().cloned();
        }
        metrics::gauge!("lift_tasks_running").set(f64::from(
            u32::try_from(self.tasks.len()).unwrap_or(u32::MAX),
        ));
        let wait = match backends.tasks.next_due().await? {
            None => POLL,
            Some(at) if at > now => at.since(now).min(POLL),
            // What is due belongs to owners at their limit; what falls due after it is not known.
            Some(_) => POLL_BLOCKED,
        };
        Ok(Instant::now() + wait)
    }

    fn enter(&mut self, key: Key) {
        self.owners
            .entry(key.owner.clone())
            .or_default()
            .insert(key.clone());
        let (runtime, claimed) = (self.runtime.clone(), key.clone());
        let task = self.tasks.spawn(async move {
            if let Err(error) = runtime.deliver(&claimed).await {
                tracing::warn!(request_id = %claimed.id, error = chain(&error), "not claimed");
                tokio::time::sleep(STORE_RETRY).await;
            }
        });
        self.keys.insert(task.id(), key);
    }

    /// Waits for a task to end; forever where none runs. Nothing is lost if it is dropped.
    async fn ended(&mut self) -> tokio::task::Id {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "a delivery panicked");
                error.id()
            }
            None => std::future::pending().await,
        }
    }

    fn leave(&mut self, ended: &tokio::task::Id) {
        let Some(key) = self.keys.remove(ended) else {
            return;
        };
        if let Some(keys) = self.owners.get_mut(&key.owner) {
            keys.remove(&key);
            if keys.is_empty() {
                self.owners.remove(&key.owner);
            }
        }
    }

    async fn purge(&self) {
        let backends = self.runtime.backends();
        match backends.tasks.purge(backends.clock.now(), PURGE_MAX).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(purged, "ended requests past their time to live removed"),
            Err(error) => tracing::warn!(error = chain(&error), "nothing purged"),
        }
    }
}
