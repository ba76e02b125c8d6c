//! In: seconds a row. Out: conditional writes a second that DynamoDB Local does by itself, to a table with a stream; and moto's S3.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use lift_dev::dynamodb::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Result, dynamodb_local, moto};

const CLIENTS: usize = 32;
/// Java compiles what it does often.
const WARM: Duration = Duration::from_secs(3);
const TABLE: &str = "ceiling";

pub(crate) async fn measure(seconds: u64) -> Result<()> {
    let local = dynamodb_local::start().await;
    let local = local.ok_or("it needs DynamoDB Local")?;
    let client = local.client("us-east-1")?;
    let table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
    });
    client.call("DynamoDB_20120810.CreateTable", &table).await?;
    let row = Duration::from_secs(seconds);
    run(&client, Write::Put("warm"), WARM).await?;
    println!("DynamoDB Local by itself, {CLIENTS} clients, conditional, a table with a stream:");
    for (name, write) in [
        ("PutItem", Write::Put("put")),
        ("UpdateItem", Write::Update("warm")),
    ] {
        println!("  {name:10} {:>6.0}/s", run(&client, write, row).await?);
    }
    local.stop().await?;
    objects(row).await
}

/// Tasks keep their output in S3, with some 23 calls each.
async fn objects(time: Duration) -> Result<()> {
    let s3 = moto::start().await.ok_or("it needs moto")?;
    let client = moto::aws("us-east-1").endpoint("s3", &s3.endpoint)?;
    let mut writing = JoinSet::new();
    let started = Instant::now();
    for number in 0..CLIENTS {
        let client = client.clone();
        writing.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < time {
                let put = Request::put(format!("/{}/{number}-{done}", moto::BUCKET));
                let answer = client.send(put.body(Bytes::from_static(b"text"))?).await?;
                if !answer.status().is_success() {
                    return Err(format!("moto answers {}", answer.status()).into());
                }
                done += 1;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(done)
        });
    }
    let mut all = 0.0;
    while let Some(done) = writing.join_next().await {
        all += f64::from(done??);
    }
    println!("moto's S3 by itself, {CLIENTS} clients:");
    println!(
        "  {:10} {:>6.0}/s",
        "PutObject",
        all / started.elapsed().as_secs_f64()
    );
    Ok(())
}

#[derive(Clone, Copy)]
enum Write {
    /// Items of this name, each new.
    Put(&'static str),
    /// The first of these, again and again.
    Update(&'static str),
}

impl Write {
    fn call(self, key: &str) -> (&'static str, Value) {
        let text = "x".repeat(400);
        match self {
            Self::Put(_) => (
                "DynamoDB_20120810.PutItem",
                json!({
                    "TableName": TABLE,
                    "Item": { "pk": { "S": key }, "v": { "N": "0" }, "text": { "S": text } },
                    "ConditionExpression": "attribute_not_exists(pk)",
                }),
            ),
            Self::Update(_) => (
                "DynamoDB_20120810.UpdateItem",
                json!({
                    "TableName": TABLE,
                    "Key": { "pk": { "S": key } },
                    "UpdateExpression": "SET v = v + :one",
                    "ConditionExpression": "v >= :none",
                    "ExpressionAttributeValues": { ":one": { "N": "1" }, ":none": { "N": "0" } },
                }),
            ),
        }
    }
}

/// Writes a second; each client writes again once its last write is done.
async fn run(client: &Client, write: Write, time: Duration) -> Result<f64> {
    let mut writing = JoinSet::new();
    let started = Instant::now();
    for number in 0..CLIENTS {
        let client = client.clone();
        writing.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < time {
                let key = match write {
                    Write::Put(name) => format!("{name}-{number}-{done}"),
                    Write::Update(name) => format!("{name}-{number}-0"),
                };
                let (target, body) = write.call(&key);
                client.call(target, &body).await?;
                done += 1;
            }
            Ok::<_, lift_dev::dynamodb::Error>(done)
        });
    }
    let mut all = 0.0;
    while let Some(done) = writing.join_next().await {
        all += f64::from(done??);
    }
    Ok(all / started.elapsed().as_secs_f64())
}
