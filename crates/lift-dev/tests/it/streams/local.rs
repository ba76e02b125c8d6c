//! A real stream: writes to DynamoDB Local arrive at the function as Lambda's events.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use lift_dev::dynamodb::{Client, tables};
use lift_dev::feed::{Entry, Feed};
use lift_dev::plan::{self, Bisect, Destination, Start, Table};
use lift_dev::streams::{Faults, InvokeFailed, RunError, Settings, run};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::world::mapping;
use crate::dynamodb_local::start;

const DEADLINE: Duration = Duration::from_secs(30);

fn table() -> Table {
    Table {
        logical_id: "Items".to_owned(),
        name: "items".to_owned(),
        create: json!({
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": { "StreamViewType": "NEW_AND_OLD_IMAGES" },
        }),
        ttl_attribute: None,
    }
}

async fn put(client: &Client, key: &str, value: u64) {
    let body = json!({
        "TableName": "items",
        "Item": { "pk": { "S": key }, "value": { "N": value.to_string() } },
    });
    client
        .call("DynamoDB_20120810.PutItem", &body)
        .await
        .unwrap();
}

/// A record without what is another one each time.
fn plain(record: &Value) -> Value {
    let mut record = record.clone();
    assert!(record["eventID"].as_str().is_some_and(|id| !id.is_empty()));
    record.as_object_mut().unwrap().remove("eventID");
    let change = record["dynamodb"].as_object_mut().unwrap();
    let seconds = change.remove("ApproximateCreationDateTime").unwrap();
    assert!(
        seconds.as_u64().is_some(),
        "{seconds}: Go's types take whole seconds alone"
    );
    assert!(change.remove("SizeBytes").unwrap().as_u64().is_some());
    assert!(change.remove("SequenceNumber").unwrap().as_str().is_some());
    record
}

#[tokio::test]
async fn writes_after_the_latest_arrive_in_order_and_poison_goes_to_the_file() {
    let Some(local) = start().await else {
        return;
    };
    let client = local.client("eu-west-1").unwrap();
    tables::make(&client, &table()).await.unwrap();
    let arn = tables::stream_arn(&client, "items").await.unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mapping = plan::Mapping {
        table: "items".to_owned(),
        start: Start::Latest,
        bisect: Bisect::On,
        parallelization: 2,
        filters: vec![
            json!({ "dynamodb": { "Keys": { "pk": { "S": [{ "anything-but": "ignored" }] } } } }),
        ],
        on_failure: Some(Destination {
            arn: "arn:aws:sqs:eu-west-1:123456789012:failed".to_owned(),
        }),
        ..mapping()
    };
    let (iterator_age, mut age) = watch::channel(Duration::MAX);
    let (opened, mut reading) = watch::channel(0);
    put(&client, "old", 1).await;
    let settings = Settings {
        endpoint: client.clone(),
        account: "123456789012".to_owned(),
        failures: directory.path().join("failures"),
        places: directory.path().join("streams"),
        speed: NonZeroU32::MIN,
        faults: Faults::default(),
        iterator_age,
        opened,
    };
    let (feed, mut entries) = Feed::new();
    let (seen, mut records) = mpsc::channel(100);
    let invoke = move |event: Bytes| {
        let seen = seen.clone();
        async move {
            let event: Value = serde_json::from_slice(&event).unwrap();
            let all = event["Records"].as_array().unwrap().clone();
            if all
                .iter()
                .any(|record| record["dynamodb"]["Keys"]["pk"]["S"] == "poison")
            {
                let error = "boom".to_owned();
                return Err(InvokeFailed::Function { error });
            }
            for record in all {
                seen.send(record).await.unwrap();
            }
            Ok(Bytes::from_static(b"null"))
        }
    };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (mapping, shutdown) = (mapping.clone(), shutdown.clone());
        async move { run(&mapping, settings, feed, invoke, shutdown).await }
    });

    timeout(DEADLINE, reading.wait_for(|opened| *opened > 0))
        .await
        .unwrap()
        .unwrap();
    put(&client, "a", 1).await;
    put(&client, "ignored", 1).await;
    put(&client, "poison", 1).await;
    put(&client, "a", 2).await;
    let key = json!({ "TableName": "items", "Key": { "pk": { "S": "a" } } });
    client
        .call("DynamoDB_20120810.DeleteItem", &key)
        .await
        .unwrap();

    let image = |value: &str| json!({ "pk": { "S": "a" }, "value": { "N": value } });
    let record = |name: &str, images: &[(&str, &str)]| {
        let mut change =
            json!({ "Keys": { "pk": { "S": "a" } }, "StreamViewType": "NEW_AND_OLD_IMAGES" });
        for (which, value) in images {
            change[*which] = image(value);
        }
        json!({
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "dynamodb": change,
            "eventSourceARN": arn,
        })
    };
    let wanted = [
        record("INSERT", &[("NewImage", "1")]),
        record("MODIFY", &[("NewImage", "2"), ("OldImage", "1")]),
        record("REMOVE", &[("OldImage", "2")]),
    ];
    for wanted in wanted {
        let record = timeout(DEADLINE, records.recv()).await.unwrap().unwrap();
        assert_eq!(plain(&record), wanted);
    }
    let given_up = async {
        loop {
            let entry = entries.recv().await.unwrap().entry;
            if matches!(&entry, Entry::Batch { outcome, .. } if outcome.starts_with("given up")) {
                return entry;
            }
        }
    };
    let wanted = Entry::Batch {
        mapping: "Mapping".to_owned(),
        records: 1,
        outcome: "given up: RetryAttemptsExhausted".to_owned(),
    };
    assert_eq!(timeout(DEADLINE, given_up).await.unwrap(), wanted);
    timeout(DEADLINE, age.wait_for(|age| *age < DEADLINE))
        .await
        .unwrap()
        .unwrap();

    let path = directory.path().join("failures/failed.jsonl");
    let line = timeout(DEADLINE, async {
        loop {
            match tokio::fs::read_to_string(&path).await {
                Ok(line) if line.ends_with('\n') => return line,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    let failure: Value = serde_json::from_str(&line.await.unwrap()).unwrap();
    assert_eq!(
        failure["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    assert_eq!(
        failure["requestContext"]["functionArn"],
        "arn:aws:lambda:eu-west-1:123456789012:function:function"
    );
    assert_eq!(failure["responseContext"]["functionError"], "Unhandled");
    let batch = &failure["DDBStreamBatchInfo"];
    assert_eq!(
        (&batch["batchSize"], &batch["streamArn"]),
        (&json!(1), &json!(arn))
    );
    assert_eq!(batch["startSequenceNumber"], batch["endSequenceNumber"]);

    shutdown.cancel();
    timeout(DEADLINE, running).await.unwrap().unwrap().unwrap();
    // Whoever forgets it does not leave it running.
    let authority = local.endpoint().strip_prefix("http://").unwrap().to_owned();
    drop(local);
    let ended = async {
        while TcpStream::connect(&authority).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
}

#[tokio::test]
async fn a_wrong_pattern_ends_the_mapping_before_anything_is_read() {
    let credentials = lift_aws_client::sigv4::Credentials {
        access_key: "local".to_owned(),
        secret_key: "local".to_owned(),
        session_token: None,
    };
    let wrong = plan::Mapping {
        filters: vec![json!({ "eventName": "INSERT" })],
        ..mapping()
    };
    let settings = Settings {
        // Nothing answers at the discard port.
        endpoint: Client::new("http://127.0.0.1:9", "eu-west-1", credentials).unwrap(),
        account: "123456789012".to_owned(),
        failures: std::path::PathBuf::new(),
        places: std::path::PathBuf::new(),
        speed: NonZeroU32::MIN,
        faults: Faults::default(),
        iterator_age: watch::channel(Duration::ZERO).0,
        opened: watch::channel(0).0,
    };
    let invoke = async |_: Bytes| Ok(Bytes::new());
    let result = run(
        &wrong,
        settings,
        Feed::new().0,
        invoke,
        CancellationToken::new(),
    )
    .await;
    assert!(
        matches!(result, Err(RunError::Pattern { .. })),
        "{result:?}"
    );
}

/// How a process ends.
#[derive(Clone, Copy)]
enum End {
    Shutdown,
    /// Once it has written down where it is.
    Kill,
}

/// Runs a mapping until the items that are wanted came, in their order, and are dealt with.
async fn items(local: &Client, state: &Path, wanted: &[&str], end: End) {
    let path = state.join("streams/Mapping.json");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let settings = Settings {
        endpoint: local.clone(),
        account: "123456789012".to_owned(),
        failures: state.join("failures"),
        places: state.join("streams"),
        speed: NonZeroU32::MIN,
        faults: Faults::default(),
        iterator_age: watch::Sender::default(),
        opened: watch::Sender::default(),
    };
    let mapping = plan::Mapping {
        table: "items".to_owned(),
        ..mapping()
    };
    let (feed, mut entries) = Feed::new();
    let (seen, mut items) = mpsc::channel(100);
    let invoke = move |event: Bytes| {
        let seen = seen.clone();
        async move {
            let event: Value = serde_json::from_slice(&event).unwrap();
            for record in event["Records"].as_array().unwrap() {
                let key = record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap();
                seen.send(key.to_owned()).await.unwrap();
            }
            Ok(Bytes::from_static(b"null"))
        }
    };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { run(&mapping, settings, feed, invoke, shutdown).await }
    });
    for wanted in wanted {
        let item = timeout(DEADLINE, items.recv()).await.unwrap().unwrap();
        assert_eq!(item, *wanted);
    }
    let mut dealt = 0;
    while dealt < wanted.len() {
        let entry = timeout(DEADLINE, entries.recv()).await.unwrap().unwrap();
        if let Entry::Batch { records, .. } = entry.entry {
            dealt += usize::try_from(records).unwrap();
        }
    }
    match end {
        End::Shutdown => {
            shutdown.cancel();
            timeout(DEADLINE, running).await.unwrap().unwrap().unwrap();
        }
        End::Kill => {
            // Behind the last record, not at it.
            let is_kept = |places: &str| *places != before && places.contains("After");
            let kept = async {
                while !is_kept(&std::fs::read_to_string(&path).unwrap_or_default()) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, kept).await.unwrap();
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
        }
    }
}

#[tokio::test]
async fn a_stream_is_read_on_where_it_was_when_the_process_ended() {
    let Some(local) = start().await else {
        return;
    };
    let client = local.client("eu-west-1").unwrap();
    tables::make(&client, &table()).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    put(&client, "a", 1).await;
    put(&client, "b", 1).await;
    items(&client, state.path(), &["a", "b"], End::Shutdown).await;
    put(&client, "c", 1).await;
    items(&client, state.path(), &["c"], End::Kill).await;
    put(&client, "d", 1).await;
    items(&client, state.path(), &["d"], End::Shutdown).await;

    // A place that the stream does not have, and what is no file of places: from the start.
    let path = state.path().join("streams/Mapping.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut places: Value = serde_json::from_str(&kept).unwrap();
    for place in places["shards"].as_object_mut().unwrap().values_mut() {
        *place = json!({ "At": "not a number" });
    }
    for odd in [places.to_string(), "{".to_owned()] {
        std::fs::write(&path, odd).unwrap();
        items(&client, state.path(), &["a", "b", "c", "d"], End::Shutdown).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
    }
}
