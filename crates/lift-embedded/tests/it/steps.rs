//! Calls that must succeed: a store and a number come in, the record goes out.

use lift::task::record::Record;
use lift::task::store::{Put, TaskStore};
use lift::task::transition::{Applied, Transition};

use crate::support::{LEASE, at, task};

pub(crate) fn renew(claim: u64) -> Transition {
    Transition::Renew {
        claim,
        lease: LEASE,
        progress: None,
        checkpoint: None,
    }
}

pub(crate) async fn stored(store: &dyn TaskStore, n: u64) -> Record {
    match store.put(task(n)).await.unwrap() {
        Put::Stored(record) => *record,
        other => panic!("task {n}: {other:?}"),
    }
}

pub(crate) async fn done(
    store: &dyn TaskStore,
    n: u64,
    transition: Transition,
    now: u64,
) -> Record {
    match store
        .apply(&task(n).key, transition, at(now))
        .await
        .unwrap()
    {
        Applied::Done(record) => *record,
        other => panic!("task {n}: {other:?}"),
    }
}
