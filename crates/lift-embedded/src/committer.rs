//! The one thread that writes: calls come in through a bounded queue, answers go out once their group is kept.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use fjall::{Database, Keyspace, PersistMode};
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::record::{Key, NewTask};
use lift::task::store::Put;
use lift::task::transition::{Applied, Transition};
use metrics::{counter, gauge, histogram};
use tokio::sync::{mpsc, oneshot};

use crate::files::Lock;
use crate::group::{Group, Reach, Written};
use crate::index::Index;
use crate::layout;
use crate::recent::Recent;
use crate::witness::Witness;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A write on its way to the disk.
#[derive(Debug)]
pub(crate) enum Op {
    Put(Box<NewTask>, Answer<Put>),
    Apply(Box<(Key, Transition)>, Timestamp, Answer<Applied>),
    Purge(Timestamp, usize, Answer<usize>),
}

/// An answer that waits for its group.
enum Settled {
    Put(Answer<Put>, Put),
    Apply(Answer<Applied>, Applied),
    Purge(Answer<usize>, usize),
}

/// What the writing thread and the readers share. The lock comes last: it outlives the files.
pub(crate) struct Shared {
    pub(crate) rows: Keyspace,
    pub(crate) database: Database,
    pub(crate) index: Mutex<Index>,
    pub(crate) failure: OnceLock<Failed>,
    /// Held for every commit, and by a backup while it takes hold of all files.
    pub(crate) gate: Mutex<()>,
    pub(crate) _lock: Lock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Why the store takes no more writes until it is opened again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no write is taken since one failed; open the store again: {0}")]
pub(crate) struct Failed(Arc<str>);

impl Failed {
    fn refused(&self) -> StoreError {
        StoreError::unavailable(self.clone())
    }
}

#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) witness: Witness,
    /// The number of the last commit.
    pub(crate) commit: u64,
    pub(crate) recent: Recent,
    pub(crate) group_max: usize,
}

impl Committer {
    /// Runs until every sender of the queue is gone and the queue is empty.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Op>) {
        let mut group = Vec::with_capacity(self.group_max);
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < self.group_max
                && let Ok(op) = queue.try_recv()
            {
                group.push(op);
            }
            gauge!("lift_store_queue_depth").set(count(queue.len()));
            histogram!("lift_store_group_ops").record(count(group.len()));
            self.settle(group.drain(..));
        }
        if self.shared.failure.get().is_none()
            && let Err(error) = self.shared.database.persist(PersistMode::SyncAll)
        {
            self.fail(&error);
        }
    }

    fn settle(&mut self, ops: impl Iterator<Item = Op>) {
        if let Some(failed) = self.shared.failure.get() {
            return ops.for_each(|op| op.refuse(failed));
        }
        let shared = Arc::clone(&self.shared);
        let mut group = Group::new(&shared.rows, &shared.index, &self.recent);
        let settled: Vec<Settled> = ops.filter_map(|op| op.enter(&mut group)).collect();
        let written = group.into_written();
        match self.commit(written) {
            Ok(()) => settled.into_iter().for_each(Settled::answer),
            Err(failed) => settled
                .into_iter()
                .for_each(|settled| settled.refuse(&failed)),
        }
    }

    /// Makes a group durable, then visible.
    fn commit(&mut self, written: Written) -> Result<(), Failed> {
        if written.rows.is_empty() {
            return Ok(());
        }
        let _open = self
            .shared
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let number = self.commit + 1;
        if let Err(error) = self.shared.write(written.rows, number, written.reach) {
            return Err(self.fail(&error));
        }
        self.commit = number;
        if written.reach == Reach::Disk
            && let Err(error) = self.witness.write(number)
        {
            tracing::warn!(%error, "the witness of the store's commits was not written");
        }
        self.recent.keep(written.records);
        let mut index = self
            .shared
            .index
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        written
            .changes
            .into_iter()
            .for_each(|change| index.apply(change));
        drop(index);
        counter!("lift_store_commits_total").increment(1);
        histogram!("lift_store_commit_seconds").record(started.elapsed().as_secs_f64());
        Ok(())
    }

    fn fail(&self, error: &fjall::Error) -> Failed {
        let failed = Failed(lift::error::chain(error).into());
        tracing::error!(error = %failed, "the store stopped writing");
        counter!("lift_store_failures_total").increment(1);
        self.shared.failure.get_or_init(|| failed).clone()
    }
}

impl Shared {
    /// Writes rows and the commit's number as one batch, on the disk before any reader sees it.
    pub(crate) fn write(
        &self,
        rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        number: u64,
        reach: Reach,
    ) -> fjall::Result<()> {
        let mode = match reach {
            Reach::Os => PersistMode::Buffer,
            Reach::Disk => PersistMode::SyncData,
        };
        let mut batch = self.database.batch().durability(Some(mode));
        for (row, value) in rows {
            match value {
                Some(value) => batch.insert(&self.rows, row, value),
                None => batch.remove(&self.rows, row),
            }
        }
        batch.insert(&self.rows, layout::COMMIT, number.to_be_bytes());
        batch.commit()
    }
}

impl Op {
    /// Works the call into the group; one that cannot be worked in is answered at once.
    fn enter(self, group: &mut Group<'_>) -> Option<Settled> {
        match self {
            Self::Put(new, answer) => match group.put(*new) {
                Ok(put) => Some(Settled::Put(answer, put)),
                Err(error) => tell(answer, Err(error)),
            },
            Self::Apply(call, now, answer) => {
                let (key, transition) = *call;
                match group.apply(&key, &transition, now) {
                    Ok(applied) => Some(Settled::Apply(answer, applied)),
                    Err(error) => tell(answer, Err(error)),
                }
            }
            Self::Purge(now, limit, answer) => match group.purge(now, limit) {
                Ok(purged) => Some(Settled::Purge(answer, purged)),
                Err(error) => tell(answer, Err(error)),
            },
        }
    }

    fn refuse(self, failed: &Failed) {
        match self {
            Self::Put(_, answer) => _ = answer.send(Err(failed.refused())),
            Self::Apply(.., answer) => _ = answer.send(Err(failed.refused())),
            Self::Purge(.., answer) => _ = answer.send(Err(failed.refused())),
        }
    }
}

/// Answers a caller, who may have stopped waiting.
fn tell<T>(answer: Answer<T>, result: Result<T, StoreError>) -> Option<Settled> {
    let _ = answer.send(result);
    None
}

impl Settled {
    fn answer(self) {
        match self {
            Self::Put(answer, put) => _ = answer.send(Ok(put)),
            Self::Apply(answer, applied) => _ = answer.send(Ok(applied)),
            Self::Purge(answer, purged) => _ = answer.send(Ok(purged)),
        }
    }

    fn refuse(self, failed: &Failed) {
        match self {
            Self::Put(answer, _) => _ = answer.send(Err(failed.refused())),
            Self::Apply(answer, _) => _ = answer.send(Err(failed.refused())),
            Self::Purge(answer, _) => _ = answer.send(Err(failed.refused())),
        }
    }
}

fn count(of: usize) -> f64 {
    u32::try_from(of).map_or(f64::INFINITY, f64::from)
}
