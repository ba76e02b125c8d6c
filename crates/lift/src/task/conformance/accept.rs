//! Putting and getting: what is stored, what is found again, and what is refused.

use std::time::Duration;

use super::{Store, apply, at, claim, done, json, owner, put, read, stored, task, with_key};
use crate::clock::Timestamp;
use crate::id::Owner;
use crate::task::record::{Idempotency, Key, NewTask, Outcome, ResultAt};
use crate::task::store::{ListQuery, Put};
use crate::task::transition::{Applied, Transition};

pub(super) async fn a_stored_request_reads_back_whole(store: Store) {
    let new = task("ann", 1);
    let record = new.record();
    assert_eq!(
        put(&store, &new).await,
        Put::Stored(Box::new(record.clone()))
    );
    assert_eq!(read(&store, &new.key).await, Some(record));
    assert_eq!(store.input(&new.key).await.expect("input"), Some(new.input));
    assert_eq!(store.result(&new.key).await.expect("result"), None);
}

pub(super) async fn another_owner_finds_nothing(store: Store) {
    let new = with_key(task("ann", 1), "k", "h");
    let key = stored(&store, &new).await;
    let result = Some(json("\"secret\""));
    done(&store, &key, claim(), at(1)).await;
    let outcome = Outcome::Completed(ResultAt::Beside);
    done(
        &store,
        &key,
        Transition::Finish {
            claim: 1,
            outcome,
            n: 1,
            result,
        },
        at(2),
    )
    .await;
    let elsewhere = Owner::new("other", "ann").expect("valid");
    for owner in [owner("bob"), owner("an"), owner("anna"), elsewhere] {
        let key = Key { owner, id: key.id };
        assert_eq!(read(&store, &key).await, None, "{key:?}");
        assert_eq!(store.input(&key).await.expect("input"), None, "{key:?}");
        assert_eq!(store.result(&key).await.expect("result"), None, "{key:?}");
        assert_eq!(
            apply(&store, &key, Transition::Cancel, at(3)).await,
            Applied::Missing
        );
        let page = store
            .list(
                &key.owner,
                &ListQuery {
                    limit: 10,
                    ..ListQuery::default()
                },
            )
            .await;
        assert!(page.expect("list").records.is_empty(), "{key:?}");
    }
    assert!(matches!(
        put(&store, &with_key(task("bob", 2), "k", "h")).await,
        Put::Stored(_)
    ));
}

pub(super) async fn a_repeated_put_finds_the_first(store: Store) {
    let first = with_key(task("ann", 1), "k", "h");
    stored(&store, &first).await;
    let again = with_key(task("ann", 2), "k", "h");
    assert_eq!(put(&store, &again).await, Put::Duplicate(first.key.id));
    assert_eq!(
        put(&store, &with_key(task("ann", 3), "k", "other")).await,
        Put::Mismatch
    );
    assert_eq!(
        read(&store, &again.key).await,
        None,
        "a duplicate is not stored"
    );
    let mut other_action = with_key(task("ann", 4), "k", "h");
    other_action.action = "mean".to_owned();
    stored(&store, &other_action).await;
    stored(&store, &with_key(task("ann", 5), "k2", "h")).await;
    stored(&store, &task("ann", 6)).await;
    let mut full = with_key(task("ann", 7), "k", "h");
    full.queued_max = 0;
    assert_eq!(
        put(&store, &full).await,
        Put::Duplicate(first.key.id),
        "full or not"
    );
}

pub(super) async fn a_key_is_found_as_a_put_would_find_it(store: Store) {
    let first = with_key(task("ann", 1), "k", "h");
    let find = async |user: &str, action: &str, key: &str, hash: &str, now: Timestamp| {
        let idempotency = Idempotency {
            key: key.to_owned(),
            payload_hash: hash.to_owned(),
        };
        store
            .find(&owner(user), action, &idempotency, now)
            .await
            .expect("the store finds")
    };
    assert_eq!(find("ann", "sum", "k", "h", at(1)).await, None);
    stored(&store, &first).await;
    let duplicate = Some(Put::Duplicate(first.key.id));
    assert_eq!(find("ann", "sum", "k", "h", at(1)).await, duplicate);
    assert_eq!(
        find("ann", "sum", "k", "other", at(1)).await,
        Some(Put::Mismatch)
    );
    assert_eq!(find("bob", "sum", "k", "h", at(1)).await, None);
    assert_eq!(find("ann", "mean", "k", "h", at(1)).await, None);
    assert_eq!(find("ann", "sum", "k2", "h", at(1)).await, None);
    assert_eq!(
        find("ann", "sum", "k", "h", first.record().expires_at).await,
        None
    );
}

pub(super) async fn an_idempotency_key_lives_as_long_as_its_record(store: Store) {
    let first = with_key(task("ann", 1), "k", "h");
    let key = stored(&store, &first).await;
    done(&store, &key, Transition::Cancel, at(1)).await;
    let expires_at = first.record().expires_at;
    let mut again = with_key(task("ann", 2), "k", "h");
    again.created_at = expires_at - Duration::from_millis(1);
    assert_eq!(put(&store, &again).await, Put::Duplicate(first.key.id));
    again.created_at = expires_at;
    stored(&store, &again).await;
    let mut third = with_key(task("ann", 3), "k", "h");
    third.created_at = expires_at + Duration::from_secs(1);
    assert_eq!(put(&store, &third).await, Put::Duplicate(again.key.id));
}

pub(super) async fn the_same_request_is_stored_once(store: Store) {
    let new = task("ann", 1);
    let key = stored(&store, &new).await;
    let claimed = done(&store, &key, claim(), at(1)).await;
    assert_eq!(put(&store, &new).await, Put::Duplicate(key.id));
    assert_eq!(
        read(&store, &key).await,
        Some(claimed),
        "a put that comes late takes nothing back"
    );
}

pub(super) async fn a_full_owner_is_refused(store: Store) {
    let limited = |n| NewTask {
        queued_max: 2,
        ..task("ann", n)
    };
    let key = stored(&store, &limited(1)).await;
    stored(&store, &limited(2)).await;
    let third = with_key(limited(3), "k", "h");
    assert_eq!(put(&store, &third).await, Put::Full);
    assert_eq!(read(&store, &third.key).await, None);
    stored(
        &store,
        &NewTask {
            queued_max: 2,
            ..task("bob", 4)
        },
    )
    .await;
    done(&store, &key, claim(), at(1)).await;
    stored(&store, &third).await;
    assert_eq!(
        put(&store, &limited(5)).await,
        Put::Full,
        "what runs makes room for one"
    );
    let wait = Duration::from_secs(1);
    done(&store, &key, Transition::Retry { claim: 1, wait }, at(2)).await;
    done(&store, &third.key, Transition::Cancel, at(2)).await;
    assert_eq!(
        put(&store, &limited(5)).await,
        Put::Full,
        "what waits for a retry waits"
    );
    done(&store, &key, Transition::Cancel, at(3)).await;
    stored(&store, &limited(5)).await;
}
