//! In: requests. Out: what lies in their items for others to read: sweepers, streams, the time to live.

use std::sync::Arc;

use lift::error::StoreError;
use lift::task::record::{Key, NewTask};
use lift::task::store::{ListQuery, TaskStore as _};
use lift::task::transition::Transition;
use lift_aws::dynamodb::tasks::Waiting;
use serde_json::{Value, json};

use super::{DynamoTasks, Relayed, at, attach, claim, finish, task};
use std::error::Error as _;

/// The stored item of a request.
async fn item(store: &Relayed, key: &Key) -> Value {
    let call = json!({
        "TableName": store.requests,
        "Key": { "pk": { "S": key.owner.to_string() }, "sk": { "S": key.id.to_string() } },
        "ConsistentRead": true,
    });
    let answer = store.direct.call("DynamoDB_20120810.GetItem", &call).await;
    let mut answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    answer["Item"].take()
}

#[tokio::test]
async fn only_an_ended_request_has_a_time_to_live() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let expiry = (task(1).record().expires_at.as_millis() / 1000).to_string();
    let expiry = json!({ "N": expiry });
    let key = store.stored(&task(1)).await;
    for step in [claim(), attach("two="), Transition::Cancel] {
        assert_eq!(item(&store, &key).await["ttl"], Value::Null);
        store.done(&key, step, at(1)).await;
    }
    assert_eq!(item(&store, &key).await["ttl"], Value::Null);
    store.done(&key, finish(1), at(2)).await;
    assert_eq!(item(&store, &key).await["ttl"], expiry);
    let key = store.stored(&task(2)).await;
    store.done(&key, Transition::Cancel, at(1)).await;
    assert_eq!(item(&store, &key).await["ttl"], expiry);
}

#[tokio::test]
async fn an_end_that_its_owner_wrote_is_found_until_it_is_posted() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let live = store.stored(&task(1)).await;
    let key = store.stored(&task(2)).await;
    store.done(&key, Transition::Cancel, at(1)).await;
    let unposted = async |now| {
        let waiting = store.tasks.waiting(now, 10).await.unwrap().into_iter();
        let unposted = waiting.filter_map(|waiting| match waiting {
            Waiting::Unposted(key) => Some(key),
            Waiting::Due(due) => {
                assert_eq!(due.key, live);
                None
            }
        });
        unposted.collect::<Vec<_>>()
    };
    assert_eq!(unposted(at(15)).await, [], "its process may tell of it");
    assert_eq!(unposted(at(16)).await, std::slice::from_ref(&key));
    let due = store.tasks.due(at(99), None, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| &due.key).collect::<Vec<_>>(), [&live]);
    // So many attachments write the whole item anew, which loses nothing.
    for n in 0..40 {
        store.done(&key, attach(&format!("c{n}")), at(17)).await;
    }
    assert_eq!(unposted(at(18)).await, std::slice::from_ref(&key));
    let before = store.tasks.get(&key).await.unwrap();
    store.tasks.posted(&key).await.unwrap();
    assert_eq!(unposted(at(99)).await, []);
    assert_eq!(store.tasks.get(&key).await.unwrap(), before);
    // What lives, ended otherwise or is not there keeps as it is.
    store.tasks.posted(&live).await.unwrap();
    assert_eq!(store.tasks.due(at(99), None, 10).await.unwrap().len(), 1);
    store.done(&live, claim(), at(100)).await;
    store.done(&live, finish(1), at(101)).await;
    store.tasks.posted(&live).await.unwrap();
    store.tasks.posted(&task(9).key).await.unwrap();
    assert_eq!(store.tasks.get(&task(9).key).await.unwrap(), None);
    assert_eq!(store.tasks.waiting(at(999), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_request_keeps_the_trace_that_it_was_put_in() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let untraced = store.stored(&task(1)).await;
    assert_eq!(item(&store, &untraced).await["tr"], Value::Null);
    let tasks = DynamoTasks::new(store.direct.clone(), &store.requests, &store.bodies)
        .with_trace(Arc::new(|| Some("Root=1-2-3".to_owned())));
    let new = task(2);
    tasks.put(new.clone()).await.unwrap();
    // A cancel of one that waits writes the whole item anew.
    store.done(&new.key, Transition::Cancel, at(1)).await;
    let kept = &item(&store, &new.key).await["tr"];
    assert_eq!(*kept, json!({ "S": "Root=1-2-3" }));
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_named_and_hides_no_other() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let (fine, broken) = (task(1), task(2));
    store.stored(&fine).await;
    store.stored(&broken).await;
    let mut item = item(&store, &broken.key).await;
    item["cl"] = json!({ "S": "one" });
    let put = json!({ "TableName": store.requests, "Item": item });
    let put = store.direct.call("DynamoDB_20120810.PutItem", &put).await;
    put.unwrap();
    let error = store.tasks.get(&broken.key).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    let said = error.source().unwrap().to_string();
    for part in ["`cl`", "`acme#ann`", &broken.key.id.to_string()] {
        assert!(said.contains(part), "{said}");
    }
    let query = ListQuery {
        limit: 10,
        ..ListQuery::default()
    };
    let page = store.tasks.list(&fine.key.owner, &query).await.unwrap();
    assert_eq!(page.records, [fine.record()]);
}

#[tokio::test]
async fn what_is_put_is_what_a_later_process_reads() {
    let Some(store) = Relayed::new().await else {
        return;
    };
    let new = NewTask {
        metadata: [("a".to_owned(), "é\"".to_owned())].into(),
        client_id: None,
        ..task(1)
    };
    store.stored(&new).await;
    store.done(&new.key, claim(), at(1)).await;
    let later = DynamoTasks::new(store.direct.clone(), &store.requests, &store.bodies);
    let read = later.get(&new.key).await.unwrap();
    assert_eq!(read, store.tasks.get(&new.key).await.unwrap());
    assert_eq!(read.unwrap().metadata, new.metadata);
    assert_eq!(later.input(&new.key).await.unwrap(), Some(new.input));
}
