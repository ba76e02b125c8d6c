//! Closing and opening again: a store comes in, and the same one comes out with its leases voided.

use std::path::Path;

use lift::json::Json;
use lift::task::record::State;
use lift::task::store::{ActivityQuery, Due, ListQuery, Put, TaskStore};
use lift::task::transition::{Applied, Refusal, Transition};
use lift_embedded::{EmbeddedTasks, Options};

use crate::steps::{done, renew, stored};
use crate::support::{at, chain, claim, finish, owner, task};

fn open(dir: &Path) -> EmbeddedTasks {
    EmbeddedTasks::open(dir, &Options::default()).unwrap_or_else(|error| panic!("{}", chain(error)))
}

async fn all(store: &EmbeddedTasks) -> Vec<lift::task::record::Record> {
    let query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    store.list(&owner(), &query).await.unwrap().records
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.report().created && store.report().is_clean());
    for n in 0..20 {
        stored(&store, n).await;
    }
    done(&store, 3, claim(), 1).await;
    done(&store, 3, finish(1, 3), 2).await;
    done(&store, 4, Transition::Cancel, 2).await;
    let before = all(&store).await;
    let due = store.due(at(100), None, 100).await.unwrap();
    drop(store);

    let store = open(dir.path());
    assert_eq!(
        (store.report().created, store.report().records),
        (false, 20)
    );
    assert!(store.report().is_clean(), "{}", store.report());
    assert_eq!(all(&store).await, before);
    assert_eq!(store.due(at(100), None, 100).await.unwrap(), due);
    assert_eq!(
        store.input(&task(7).key).await.unwrap(),
        Some(task(7).input)
    );
    let result = Some(Json::parse("{\"sum\":3}".to_owned()).unwrap());
    assert_eq!(store.result(&task(3).key).await.unwrap(), result);
    assert_eq!(
        store.put(task(5)).await.unwrap(),
        Put::Duplicate(task(5).key.id)
    );
    let full = lift::task::record::NewTask {
        queued_max: 18,
        ..task(99)
    };
    assert_eq!(store.put(full).await.unwrap(), Put::Full, "18 of 20 wait");
}

#[tokio::test]
async fn opening_voids_every_lease_and_says_who_ran_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..4 {
        stored(&store, n).await;
    }
    done(&store, 0, claim(), 1).await;
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.report().voided, 1);
    let record = store.get(&task(0).key).await.unwrap().unwrap();
    assert!(record.died_alone);
    let first = store.due(at(0), None, 1).await.unwrap();
    assert_eq!(first, [Due::of(&record).unwrap()]);
    let write = store.apply(&task(0).key, renew(1), at(2)).await.unwrap();
    assert!(
        matches!(write, Applied::Done(_)),
        "its number fences until the next claim: {write:?}"
    );
    drop(store);

    let store = open(dir.path());
    done(&store, 1, claim(), 3).await;
    done(&store, 2, claim(), 3).await;
    drop(store);

    let store = open(dir.path());
    assert_eq!(
        store.report().voided,
        2,
        "0 was voided before and not claimed since"
    );
    let lost = done(&store, 0, claim(), 4).await;
    assert_eq!((lost.claim, lost.lost, lost.died_alone), (2, 1, false));
    for n in [1, 2] {
        let record = done(&store, n, claim(), 4).await;
        assert_eq!(
            (record.claim, record.lost),
            (2, 0),
            "two ran, neither is to blame"
        );
    }
    let write = store.apply(&task(1).key, renew(1), at(5)).await.unwrap();
    assert!(
        matches!(write, Applied::Refused(Refusal::Fenced, _)),
        "{write:?}"
    );
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    stored(&store, 1).await;
    store.writable().unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(store.writable().is_err());
    let error = store.put(task(2)).await.unwrap_err();
    assert_eq!(
        chain(error),
        "the store is unavailable: the store is closed"
    );
    let state = store
        .get(&task(1).key)
        .await
        .unwrap()
        .map(|record| record.state);
    assert_eq!(state, Some(State::Queued));
}

#[tokio::test]
async fn a_purge_outlives_the_process_and_reads_no_live_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..10 {
        stored(&store, n).await;
        if n % 2 == 0 {
            done(&store, n, Transition::Cancel, 1).await;
        }
    }
    let expired = task(0).record().expires_at;
    assert_eq!(store.purge(expired, 3).await.unwrap(), 3);
    assert_eq!(store.purge(expired, 3).await.unwrap(), 2);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.report().records, 5);
    assert_eq!(store.purge(expired, 100).await.unwrap(), 0);
    assert!(
        all(&store)
            .await
            .iter()
            .all(|record| record.state == State::Queued)
    );
}

async fn accepted(store: &EmbeddedTasks) -> usize {
    let query = ActivityQuery {
        from: at(0),
        until: at(1),
        after: None,
        limit: 10_000,
    };
    let page = store.activity(&owner().tenant, &query).await.unwrap();
    assert_eq!(page.next, None);
    page.requests.len()
}

#[tokio::test]
async fn a_store_of_the_layout_without_activity_rows_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..2_500 {
        stored(&store, n).await;
    }
    drop(store);
    let format = dir.path().join("store/FORMAT");
    {
        let database = fjall::Database::builder(dir.path().join("store/db"));
        let database = database.open().unwrap();
        let rows = database.keyspace("tasks", Default::default).unwrap();
        for guard in rows.prefix(b"a") {
            rows.remove(guard.key().unwrap()).unwrap();
        }
        assert_eq!(rows.prefix(b"a").count(), 0);
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    std::fs::write(&format, "lift-embedded 1\n").unwrap();

    for _ in 0..2 {
        let store = open(dir.path());
        assert!(store.report().is_clean(), "{}", store.report());
        assert_eq!(accepted(&store).await, 2_500);
        let says = std::fs::read_to_string(&format).unwrap();
        assert_eq!(says, "lift-embedded 2\n");
    }
}
