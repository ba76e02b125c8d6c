//! Lists, due requests and purges: records come in, the right ones come out in the right order.

use std::time::Duration;

use super::{
    KEEP, START, Store, at, claim, done, finish, json, listed, owner, put, read, stored, task,
    with_key,
};
use crate::task::record::{NewTask, Outcome, ResultAt, State};
use crate::task::store::{Due, ListQuery, Put};
use crate::task::transition::Transition;

pub(super) async fn a_list_is_newest_first_in_pages(store: Store) {
    let mut expected = Vec::new();
    for n in [3, 1, 2, 5, 4] {
        stored(&store, &task("ann", n)).await;
        expected.push(task("ann", n).record());
    }
    stored(&store, &task("bob", 6)).await;
    expected.sort_by_key(|record| std::cmp::Reverse(record.key.id));
    for limit in [1, 2, 5, 100] {
        assert_eq!(
            listed(&store, "ann", None, limit).await,
            expected,
            "in pages of {limit}"
        );
    }
    let before = expected.get(1).map(|record| record.key.id);
    let query = ListQuery {
        before,
        limit: 2,
        state: None,
    };
    let page = store.list(&owner("ann"), &query).await.expect("list");
    assert_eq!(
        Some(page.records.as_slice()),
        expected.get(2..4),
        "the cursor itself is left out"
    );
}

pub(super) async fn a_list_can_be_of_one_state(store: Store) {
    let mut cancelled = Vec::new();
    for n in 0..12 {
        let key = stored(&store, &task("ann", n)).await;
        if n % 5 == 0 {
            cancelled.push(done(&store, &key, Transition::Cancel, at(1)).await);
        }
    }
    cancelled.reverse();
    for limit in [1, 2, 100] {
        assert_eq!(
            listed(&store, "ann", Some(State::Cancelled), limit).await,
            cancelled
        );
        assert_eq!(
            listed(&store, "ann", Some(State::Queued), limit)
                .await
                .len(),
            9
        );
        assert_eq!(listed(&store, "ann", Some(State::Running), limit).await, []);
    }
}

pub(super) async fn due_requests_come_in_order_and_in_pages(store: Store) {
    assert_eq!(store.next_due().await.expect("next due"), None);
    let mut expected = Vec::new();
    for (n, wait) in [(0, 50), (1, 10), (2, 10), (3, 30), (4, 900)] {
        let start_after = Duration::from_secs(wait);
        let new = NewTask {
            start_after,
            ..task(if n % 2 == 0 { "ann" } else { "bob" }, n)
        };
        let key = stored(&store, &new).await;
        expected.push(Due {
            at: new.created_at + start_after,
            key,
            deadline_at: new.created_at + new.timeout,
        });
    }
    expected.sort();
    let earliest = expected.first().map(|due| due.at);
    assert_eq!(store.next_due().await.expect("next due"), earliest);
    expected.pop();
    for limit in [1, 2, 100] {
        let (mut found, mut after): (Vec<Due>, Option<Due>) = (Vec::new(), None);
        loop {
            let page = store.due(at(60), after.as_ref(), limit).await.expect("due");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page);
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    assert_eq!(store.due(at(5), None, 100).await.expect("due"), []);
    let key = &expected.first().expect("there are four").key;
    done(&store, key, claim(), at(60)).await;
    let due = store.due(at(74), None, 100).await.expect("due");
    assert!(
        due.iter().all(|due| due.key != *key),
        "a live lease is not due"
    );
    assert_eq!(
        store.due(at(75), None, 100).await.expect("due").len(),
        4,
        "an expired one is"
    );
    done(&store, key, finish(1), at(75)).await;
    assert_eq!(
        store.due(at(75), None, 100).await.expect("due").len(),
        3,
        "what ended never is"
    );
}

pub(super) async fn purge_removes_ended_requests_past_their_time(store: Store) {
    let mut keys = Vec::new();
    for n in 0..5 {
        let key = stored(&store, &with_key(task("ann", n), &format!("k{n}"), "h")).await;
        if n > 0 {
            done(&store, &key, claim(), at(1)).await;
            let outcome = Outcome::Completed(ResultAt::Beside);
            let result = Some(json("1"));
            let end = Transition::Finish {
                claim: 1,
                outcome,
                n: 1,
                result,
            };
            done(&store, &key, end, at(2)).await;
        }
        keys.push(key);
    }
    let expired = START + KEEP;
    assert_eq!(
        store
            .purge(expired - Duration::from_millis(1), 100)
            .await
            .expect("purge"),
        0
    );
    assert_eq!(
        store
            .purge(expired + Duration::from_millis(2), 1)
            .await
            .expect("purge"),
        1
    );
    assert_eq!(
        store
            .purge(expired + Duration::from_millis(2), 100)
            .await
            .expect("purge"),
        1
    );
    assert_eq!(
        listed(&store, "ann", None, 10).await.len(),
        3,
        "1 and 2 are gone"
    );
    let late = expired + Duration::from_secs(1);
    assert_eq!(store.purge(late, 100).await.expect("purge"), 2);
    assert_eq!(store.purge(late, 100).await.expect("purge"), 0);
    for (n, key) in keys.iter().enumerate() {
        let ended = n > 0;
        assert_eq!(read(&store, key).await.is_none(), ended, "record {n}");
        assert_eq!(
            store.input(key).await.expect("input").is_none(),
            ended,
            "input {n}"
        );
        assert_eq!(store.result(key).await.expect("result"), None, "result {n}");
    }
    stored(&store, &with_key(task("ann", 9), "k1", "h")).await;
}

pub(super) async fn a_purge_keeps_a_key_that_was_taken_anew(store: Store) {
    let key = stored(&store, &with_key(task("ann", 0), "k", "h")).await;
    done(&store, &key, Transition::Cancel, at(1)).await;
    let expired = START + KEEP;
    let anew = NewTask {
        created_at: expired,
        ..with_key(task("ann", 1), "k", "h")
    };
    stored(&store, &anew).await;
    assert_eq!(store.purge(expired, 100).await.expect("purge"), 1);
    let third = NewTask {
        created_at: expired,
        ..with_key(task("ann", 2), "k", "h")
    };
    assert_eq!(put(&store, &third).await, Put::Duplicate(anew.key.id));
}
