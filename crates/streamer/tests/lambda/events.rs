//! In: events that no role can have been sent. Out: an error for each, from an environment that serves the next.

use lift_dev::feed::Entry;
use serde_json::{Value, json};
use streamer_client::options::Terms;
use tokio::time::timeout;

use crate::asking::{aggregate, completed, rows, submitted};
use crate::world::{DEADLINE, Setup, World};

const ROLES: [&str; 6] = [
    "AuthorizerFunction",
    "ConnectFunction",
    "DisconnectFunction",
    "MessageFunction",
    "DispatchFunction",
    "ProcessorFunction",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_fails_and_the_environment_serves_the_next() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let anything = [
        "null",
        "[]",
        "{}",
        "7",
        r#""text""#,
        r#"{"requestContext": {}}"#,
        r#"{"Records": {}}"#,
    ];
    let of_roles = [
        ("DispatchFunction", r#"{"Records": [{"dynamodb": {}}]}"#),
        (
            "ProcessorFunction",
            r#"{"tenant": "acme", "user": "ada", "id": "none"}"#,
        ),
        (
            "ProcessorFunction",
            r#"{"tenant": "a/b", "user": "ada", "id": "01M8K825WEP9E93J567400CDA0"}"#,
        ),
    ];
    let of_all = ROLES
        .into_iter()
        .flat_map(|role| anything.map(|event| (role, event)));
    for (role, event) in of_all.chain(of_roles) {
        let failed = world.invoke(role, event).await;
        let failed = failed.expect_err(&format!("{role} takes {event}"));
        assert_eq!(failed["errorType"], "BadEvent", "{role}: {event}: {failed}");
    }

    let record = |sequence: &str, pk: &str, sk: &str| {
        let key = json!({"pk": {"S": pk}, "sk": {"S": sk}});
        json!({"eventName": "INSERT", "dynamodb": {"SequenceNumber": sequence, "Keys": key}})
    };
    let batch = json!({"Records": [record("1", "nobody", "1"), record("2", "acme#ada", "01M8K825WEP9E93J567400CDA0")]});
    let answer = world.invoke("DispatchFunction", &batch.to_string()).await;
    let first = json!({"batchItemFailures": [{"itemIdentifier": "1"}]});
    assert_eq!(answer, Ok(first));
    // One that is gone is nothing to run.
    let gone = json!({"tenant": "acme", "user": "ada", "id": "01M8K825WEP9E93J567400CDA0"});
    let ran = world.invoke("ProcessorFunction", &gone.to_string()).await;
    assert_eq!(ran, Ok(Value::Null));

    let client = world.client("ada").await;
    let calling = client.call("echo", &1, Terms::default());
    assert_eq!(
        timeout(DEADLINE, calling).await.unwrap().unwrap().get(),
        "1"
    );
    let (text, expected) = rows(1_000);
    world.put("sales.csv", text).await;
    completed(&mut submitted(&client, &aggregate("sales.csv", "kinds.csv")).await).await;
    assert_eq!(world.get("kinds.csv").await, expected);
    client.close().await;
    let disconnected =
        |entry: &Entry| matches!(entry, Entry::Invocation { cause, .. } if cause == "$disconnect");
    world
        .until("it is disconnected", async || {
            world.count(disconnected) == 1
        })
        .await;
    for role in &ROLES[..5] {
        let started = world.count(|entry| {
            matches!(entry, Entry::Invocation { function, cold_us: Some(_), .. } if function == role)
        });
        assert_eq!(started, 1, "{role}");
    }
    world.stop().await;
}
