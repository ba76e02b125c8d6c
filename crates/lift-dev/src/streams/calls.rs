//! In: a stream's ARN, a shard, a place in it. Out: its shards, iterators and records, by DynamoDB's calls.

use serde::Deserialize;
use serde_json::{Value, json};

use super::mapping::{From, Shard, ShardState};
use super::record::{Origin, Page, Record};
use crate::clock::wall_clock;
use crate::dynamodb::{Client, Error};

async fn call<T: for<'a> Deserialize<'a>>(
    client: &Client,
    operation: &str,
    body: &Value,
) -> Result<T, Error> {
    let target = format!("DynamoDBStreams_20120810.{operation}");
    let answer = client.call(&target, body).await?;
    serde_json::from_slice(&answer).map_err(|error| Error::malformed(&target, error))
}

/// All shards of a stream.
pub(super) async fn list(client: &Client, arn: &str) -> Result<Vec<Shard>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        stream_description: Description,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Description {
        #[serde(default)]
        shards: Vec<Listed>,
        last_evaluated_shard_id: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
        shard_id: String,
        parent_shard_id: Option<String>,
        #[serde(default)]
        sequence_number_range: Range,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Range {
        ending_sequence_number: Option<String>,
    }
    let mut shards = Vec::new();
    let mut body = json!({ "StreamArn": arn });
    loop {
        let answer: Answer = call(client, "DescribeStream", &body).await?;
        let page = answer.stream_description;
        shards.extend(page.shards.into_iter().map(|listed| Shard {
            id: listed.shard_id,
            parent: listed.parent_shard_id,
            state: match listed.sequence_number_range.ending_sequence_number {
                Some(_) => ShardState::Closed,
                None => ShardState::Open,
            },
        }));
        match page.last_evaluated_shard_id {
            Some(last) => body = json!({ "StreamArn": arn, "ExclusiveStartShardId": last }),
            None => return Ok(shards),
        }
    }
}

/// An iterator of a shard.
pub(super) async fn open(
    client: &Client,
    arn: &str,
    shard: &str,
    from: &From,
) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        shard_iterator: String,
    }
    let (of, number) = match from {
        From::TrimHorizon => ("TRIM_HORIZON", None),
        From::Latest => ("LATEST", None),
        From::At(number) => ("AT_SEQUENCE_NUMBER", Some(number)),
        From::After(number) => ("AFTER_SEQUENCE_NUMBER", Some(number)),
    };
    let mut body = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": of });
    if let (Some(number), Some(body)) = (number, body.as_object_mut()) {
        body.insert("SequenceNumber".to_owned(), number.as_str().into());
    }
    let answer: Answer = call(client, "GetShardIterator", &body).await?;
    Ok(answer.shard_iterator)
}

/// A page of a shard, and where to read on.
pub(super) async fn read(
    client: &Client,
    origin: &Origin,
    iterator: &str,
) -> Result<(Vec<Record>, Option<String>), Error> {
    let target = "DynamoDBStreams_20120810.GetRecords";
    let body = client
        .call(target, &json!({ "ShardIterator": iterator }))
        .await?;
    let malformed = |error| Error::malformed(target, error);
    let page: Page<'_> = serde_json::from_slice(&body).map_err(malformed)?;
    let now = wall_clock();
    let records = page
        .records
        .iter()
        .map(|raw| Record::parse(raw, origin, now));
    let records = records.collect::<Result<_, _>>().map_err(malformed)?;
    Ok((records, page.next))
}
