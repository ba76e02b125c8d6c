//! In: a batch of the requests table's stream. Out: a processor started for each request in it, and which failed.
//!
//! It touches no table and waits for no task, so that a long one keeps no shard of the stream from
//! going on.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Starts, Work};
use crate::event::Failure;

/// Invocations of processors under way at a time.
const AT_ONCE: usize = 16;

/// Starts processors.
#[derive(Clone, Debug)]
pub struct Dispatch {
    starts: Starts,
}

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Box<RawValue>>,
}

/// A stream record, as far as its place goes (Lambda developer guide, "Using AWS Lambda with Amazon
/// DynamoDB").
#[derive(Deserialize)]
struct Place {
    dynamodb: Sequence,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sequence {
    sequence_number: String,
}

#[derive(Deserialize)]
struct Record {
    dynamodb: Images,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    keys: Keys,
    #[serde(default)]
    new_image: Image,
}

#[derive(Deserialize)]
struct Keys {
    pk: Text,
    sk: Text,
}

#[derive(Default, Deserialize)]
struct Image {
    tr: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    s: String,
}

/// What Lambda reads to repeat a batch from its first failure (Lambda developer guide, "Reporting batch
/// item failures").
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl Dispatch {
    /// Starts processors by way of `starts`.
    #[must_use]
    pub const fn new(starts: Starts) -> Self {
        Self { starts }
    }

    pub(crate) async fn run(&self, event: &[u8]) -> Result<Bytes, Failure> {
        let malformed = |error: serde_json::Error| Failure::Event(error.into());
        let batch: Batch = serde_json::from_slice(event).map_err(malformed)?;
        let started = stream::iter(batch.records)
            .map(async |record| self.start(record.get()).await)
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut answer = Answer::default();
        for failed in started {
            answer.batch_item_failures.extend(failed?);
        }
        serde_json::to_vec(&answer)
            .map(Bytes::from)
            .map_err(malformed)
    }

    /// Starts the processor of one record; gives the record's number where that failed.
    async fn start(&self, record: &str) -> Result<Option<ItemFailure>, Failure> {
        let place: Place =
            serde_json::from_str(record).map_err(|error| Failure::Event(error.into()))?;
        let started = match read(record) {
            Ok(work) => self.starts.start(&work).await,
            Err(error) => Err(error),
        };
        let Err(error) = started else {
            return Ok(None);
        };
        let item_identifier = place.dynamodb.sequence_number;
        tracing::error!(
            sequence_number = item_identifier,
            error = lift::error::chain(&error),
            "a request was not handed on"
        );
        Ok(Some(ItemFailure { item_identifier }))
    }
}

fn read(record: &str) -> Result<Work, Failure> {
    let record: Record =
        serde_json::from_str(record).map_err(|error| Failure::Event(error.into()))?;
    let Images { keys, new_image } = record.dynamodb;
    let (tenant, user) = keys
        .pk
        .s
        .split_once('#')
        .ok_or_else(|| Failure::Event(format!("`{}` is no owner", keys.pk.s).into()))?;
    Ok(Work {
        tenant: tenant.to_owned(),
        user: user.to_owned(),
        id: keys.sk.s,
        trace: new_image.tr.map(|trace| trace.s),
    })
}
