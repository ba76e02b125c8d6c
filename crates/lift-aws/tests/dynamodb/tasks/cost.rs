//! In: what happens to a request. Out: which calls it costs.

use lift::task::record::{Idempotency, NewTask};
use lift::task::store::{ListQuery, Put, TaskStore as _};
use lift::task::transition::{Applied, Transition};

use super::{
    DynamoTasks, LEASE, Relayed, at, attach, claim, finish, finish_beside, json, large, task,
    with_key,
};
use std::time::Duration;

#[tokio::test]
async fn a_request_costs_three_calls_and_a_large_one_three_more() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let key = store.stored(&task(1)).await;
    store.done(&key, claim(), at(1)).await;
    let input = store.tasks.input(&key).await.unwrap();
    assert_eq!(input, Some(task(1).input));
    store.done(&key, finish(1), at(2)).await;
    let seen = store.relay.seen();
    let operations: Vec<&str> = seen.iter().map(|seen| &*seen.operation).collect();
    assert_eq!(operations, ["PutItem", "UpdateItem", "UpdateItem"]);
    println!("a small request: {seen:?}");

    let new = NewTask {
        input: large(),
        ..task(2)
    };
    let key = store.stored(&new).await;
    store.done(&key, claim(), at(1)).await;
    assert_eq!(store.tasks.input(&key).await.unwrap(), Some(large()));
    store.done(&key, finish_beside(1), at(2)).await;
    // Whoever ended it tells of it.
    assert_eq!(store.tasks.result(&key).await.unwrap(), Some(large()));
    let seen = store.relay.seen();
    let operations: Vec<&str> = seen.iter().map(|seen| &*seen.operation).collect();
    let input = ["PutItem", "PutItem", "UpdateItem", "GetItem"];
    assert_eq!(
        operations,
        [&input[..], &["PutItem", "UpdateItem"]].concat()
    );
    println!("a large request: {seen:?}");

    assert_eq!(store.tasks.result(&key).await.unwrap(), Some(large()));
    assert_eq!(store.relay.operations(), ["Query"], "kept for one reader");
}

#[tokio::test]
async fn each_usual_transition_is_one_call_and_so_is_its_refusal() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let (claim_1, wait) = (1, Duration::from_secs(60));
    let lease = LEASE;
    let key = store.stored(&with_key(1)).await;
    assert_eq!(store.relay.operations(), ["TransactWriteItems"]);
    let steps = [
        claim(),
        Transition::Renew {
            claim: claim_1,
            lease,
            progress: None,
            checkpoint: Some(json("7")),
        },
        attach("two="),
        Transition::Cancel,
        Transition::GiveBack { claim: claim_1 },
    ];
    for step in steps {
        store.done(&key, step.clone(), at(1)).await;
        assert_eq!(store.relay.operations(), ["UpdateItem"], "{step:?}");
    }
    let key = store.running(2).await;
    store.relay.seen();
    let steps = [
        Transition::Commit {
            claim: claim_1,
            lease,
        },
        Transition::Retry {
            claim: claim_1,
            wait,
        },
        attach("three="),
    ];
    for step in steps {
        store.done(&key, step.clone(), at(2)).await;
        assert_eq!(store.relay.operations(), ["UpdateItem"], "{step:?}");
    }
    for step in [claim(), finish(1), Transition::GiveBack { claim: 1 }] {
        let applied = store.tasks.apply(&key, step.clone(), at(3)).await.unwrap();
        assert!(matches!(applied, Applied::Refused(..)), "{applied:?}");
        assert_eq!(store.relay.operations(), ["UpdateItem"], "{step:?}");
    }
    let missing = task(9).key;
    let applied = store.tasks.apply(&missing, claim(), at(3)).await.unwrap();
    assert_eq!(applied, Applied::Missing);
    assert_eq!(store.relay.operations(), ["UpdateItem"]);
}

#[tokio::test]
async fn reads_are_one_call_and_a_look_at_what_is_due_one_for_each_shard() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let key = store.stored(&with_key(1)).await;
    store.relay.seen();
    let owner = &key.owner;
    assert!(store.tasks.get(&key).await.unwrap().is_some());
    assert_eq!(store.relay.operations(), ["GetItem"]);
    let query = ListQuery {
        limit: 10,
        ..ListQuery::default()
    };
    let page = store.tasks.list(owner, &query).await.unwrap();
    assert_eq!((page.records.len(), page.next), (1, None));
    assert_eq!(store.relay.operations(), ["Query"]);
    let idempotency = with_key(1).idempotency.unwrap();
    let found = store.tasks.find(owner, "sum", &idempotency, at(1)).await;
    assert_eq!(found.unwrap(), Some(Put::Duplicate(key.id)));
    assert_eq!(store.relay.operations(), ["GetItem"]);
    assert_eq!(store.tasks.due(at(1), None, 100).await.unwrap().len(), 1);
    assert_eq!(store.relay.operations(), ["Query"; 16]);
    assert_eq!(store.tasks.next_due().await.unwrap(), Some(at(0)));
    assert_eq!(store.relay.operations(), ["Query"; 16]);
    // A repeated put is refused and needs nothing else to say so.
    let again = NewTask {
        idempotency: Some(Idempotency {
            key: "k1".to_owned(),
            payload_hash: "h".to_owned(),
        }),
        ..task(2)
    };
    let put = store.tasks.put(again).await.unwrap();
    assert_eq!(put, Put::Duplicate(key.id));
    assert_eq!(store.relay.operations(), ["TransactWriteItems"]);
}

#[tokio::test]
async fn an_owners_waiting_requests_are_counted_once_for_a_tenth_of_what_may_wait() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let limited = |n| NewTask {
        queued_max: 30,
        ..task(n)
    };
    for n in 0..30 {
        store.stored(&limited(n)).await;
    }
    let counts =
        |operations: Vec<String>| operations.iter().filter(|name| *name == "Query").count();
    // Three without a count, then a count before each third.
    assert_eq!(counts(store.relay.operations()), 9);
    assert_eq!(store.tasks.put(limited(30)).await.unwrap(), Put::Full);
    // Another process has not counted yet and may put a tenth before it does.
    let (through, requests, bodies) = (&store.through, &store.requests, &store.bodies);
    let other = DynamoTasks::new(through.clone(), requests, bodies);
    for n in 31..34 {
        let put = other.put(limited(n)).await.unwrap();
        assert!(matches!(put, Put::Stored(_)), "{put:?}");
    }
    assert_eq!(other.put(limited(34)).await.unwrap(), Put::Full);
}
