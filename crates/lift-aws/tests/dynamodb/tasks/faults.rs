//! In: answers that are lost, throttled calls, tables that are not there. Out: what holds then.

use std::error::Error as _;
use std::fmt::Write as _;

use lift::error::StoreError;
use lift::id::ConnectionId;
use lift::task::record::{NewTask, State};
use lift::task::store::{Put, TaskStore as _};
use lift::task::transition::{Applied, Transition};
use lift_dev::dynamodb::tables::make;
use lift_dev::plan::Table;
use serde_json::json as value;

use super::{
    DynamoTasks, LEASE, Relayed, at, attach, claim, finish, finish_beside, large, task, with_key,
};
use crate::relay::Fault;
use crate::support::client;
use crate::tables::{local, table};
use std::time::Duration;

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_stored_and_says_so() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    for (operation, new) in [("PutItem", task(1)), ("TransactWriteItems", with_key(2))] {
        store.relay.next(operation, Fault::AnswerLost);
        let put = store.tasks.put(new.clone()).await.unwrap();
        assert_eq!(put, Put::Stored(Box::new(new.record())), "{operation}");
        assert_eq!(store.relay.operations(), [operation; 2]);
        assert!(store.relay.all_met());
        let put = store.tasks.put(new.clone()).await.unwrap();
        assert_eq!(put, Put::Duplicate(new.key.id), "{operation}");
        store.relay.seen();
    }
    let large = NewTask {
        input: large(),
        ..task(3)
    };
    store.relay.next("PutItem", Fault::AnswerLost);
    store.relay.next("PutItem", Fault::AnswerLost);
    store.stored(&large).await;
    assert_eq!(store.relay.operations(), ["PutItem"; 4]);
    let input = store.tasks.input(&large.key).await.unwrap();
    assert_eq!(input, Some(large.input));
}

#[tokio::test]
async fn a_transition_whose_answer_is_lost_happens_once_and_says_so() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let lease = LEASE;
    let lost = async |key: &_, transition: Transition, now| {
        store.relay.next("UpdateItem", Fault::AnswerLost);
        let record = store.done(key, transition, now).await;
        assert!(store.relay.all_met());
        assert_eq!(store.tasks.get(key).await.unwrap(), Some(record.clone()));
        record
    };
    let key = store.stored(&task(1)).await;
    let record = lost(&key, claim(), at(1)).await;
    assert_eq!((record.claim, record.state), (1, State::Running));
    let record = lost(&key, attach("two="), at(1)).await;
    let attached = ["one=", "two="].map(ConnectionId::new);
    assert_eq!(record.attached, attached);
    let renew = Transition::Renew {
        claim: 1,
        lease,
        progress: None,
        checkpoint: None,
    };
    assert_eq!(lost(&key, renew, at(2)).await.due_at, Some(at(17)));
    let wait = Duration::from_secs(5);
    let record = lost(&key, Transition::Retry { claim: 1, wait }, at(3)).await;
    assert_eq!((record.failures, record.state), (1, State::Retrying));
    let record = lost(&key, claim(), at(8)).await;
    assert_eq!((record.claim, record.lost), (2, 0));
    lost(&key, Transition::Commit { claim: 2, lease }, at(9)).await;
    let record = lost(&key, Transition::GiveBack { claim: 2 }, at(9)).await;
    assert_eq!(record.state, State::Queued);
    lost(&key, claim(), at(9)).await;
    assert_eq!(lost(&key, finish(3), at(10)).await.state, State::Completed);

    let key = store.running(2).await;
    let record = lost(&key, finish_beside(1), at(2)).await;
    assert_eq!(record.state, State::Completed);
    let other = DynamoTasks::new(store.direct.clone(), &store.requests, &store.bodies);
    assert_eq!(other.result(&key).await.unwrap(), Some(large()));
}

#[tokio::test]
async fn a_cancel_whose_answer_is_lost_ends_what_waits_and_says_so() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let key = store.stored(&task(1)).await;
    store.relay.seen();
    store.relay.next("PutItem", Fault::AnswerLost);
    let record = store.done(&key, Transition::Cancel, at(1)).await;
    assert_eq!(record.state, State::Cancelled);
    assert_eq!(
        store.relay.operations(),
        ["UpdateItem", "PutItem", "PutItem"]
    );
    assert_eq!(store.tasks.get(&key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn an_end_that_is_told_late_leaves_the_result_of_the_first() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let key = store.running(1).await;
    store.done(&key, finish_beside(1), at(2)).await;
    // The worker heard nothing, in no try, and ends it again.
    let again = store.tasks.apply(&key, finish_beside(1), at(3)).await;
    assert!(matches!(again.unwrap(), Applied::Refused(..)));
    assert_eq!(store.tasks.result(&key).await.unwrap(), Some(large()));
    let other = DynamoTasks::new(store.direct.clone(), &store.requests, &store.bodies);
    assert_eq!(other.result(&key).await.unwrap(), Some(large()));
}

#[tokio::test]
async fn throttled_calls_are_made_again() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    store.relay.next("PutItem", Fault::Throttled);
    store.relay.next("PutItem", Fault::Throttled);
    let key = store.stored(&task(1)).await;
    assert_eq!(store.relay.operations(), ["PutItem"; 3]);
    store.relay.next("UpdateItem", Fault::Throttled);
    assert_eq!(store.done(&key, claim(), at(1)).await.claim, 1);
    assert_eq!(store.relay.operations(), ["UpdateItem"; 2]);
    for _ in 0..16 {
        store.relay.next("Query", Fault::Throttled);
    }
    assert_eq!(store.tasks.due(at(60), None, 10).await.unwrap().len(), 1);
    assert_eq!(store.relay.operations().len(), 32);
    for _ in 0..6 {
        store.relay.next("GetItem", Fault::Throttled);
    }
    let error = store.tasks.get(&key).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(store.tasks.get(&key).await.unwrap().is_some());
}

/// An error with all its causes.
fn chain(error: &StoreError) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        write!(text, ": {cause}").unwrap();
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_table_that_is_missing_or_another_is_named() {
    let Some(local) = local().await else { return };
    let client = client(local.endpoint());
    let other = Table {
        logical_id: "Other".to_owned(),
        name: "OtherKeys".to_owned(),
        create: value!({
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        }),
        ttl_attribute: None,
    };
    make(&client, &other).await.unwrap();
    let bodies = table(&client, "BodiesTable").await;
    let requests = table(&client, "RequestsTable").await;
    for (requests, bodies, wrong, why) in [
        ("Nowhere", &*bodies, "Nowhere", "is missing"),
        ("OtherKeys", &*bodies, "OtherKeys", "keys and indexes"),
        // The keys are right, the indexes are not there.
        (&*bodies, &*bodies, &*bodies, "index"),
        (&*requests, "Nowhere", "Nowhere", "is missing"),
    ] {
        let tasks = DynamoTasks::new(client.clone(), requests, bodies);
        let new = NewTask {
            input: large(),
            ..task(1)
        };
        let put = tasks.put(new).await;
        let error = match put {
            Err(error) => error,
            Ok(_) => tasks.due(at(1), None, 1).await.unwrap_err(),
        };
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        let text = chain(&error);
        let (named, said) = (text.contains(&format!("`{wrong}`")), text.contains(why));
        assert!(named && said, "{text}");
    }
}
