//! In: records as `GetRecords` answers them. Out: the same as a Lambda event has them, with what the rules need to know.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use lift_gateway::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// DynamoDB Local stamps records with the minute alone.
const MINUTE_MS: u64 = 60_000;

/// One change of an item.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number, which grows within a shard.
    pub sequence: String,
    /// The same for the same item.
    pub key: u64,
    /// When it was written.
    pub arrived: Timestamp,
    /// The element of a Lambda event's `Records`.
    pub json: Box<str>,
}

/// An answer of `GetRecords`.
#[derive(Debug, Deserialize)]
pub struct Page<'a> {
    /// The records, each as its JSON.
    #[serde(borrow, default, rename = "Records")]
    pub records: Vec<&'a RawValue>,
    /// Where to read on; none where the shard ends.
    #[serde(default, rename = "NextShardIterator")]
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: String,
    event_version: Option<String>,
    #[serde(borrow)]
    dynamodb: Change<'a>,
    user_identity: Option<Principal>,
}

#[derive(Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"))]
struct Principal {
    #[serde(alias = "type")]
    r#type: String,
    #[serde(alias = "principalId")]
    principal_id: String,
}

/// Images stay as they came: they are most of the bytes.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    #[serde(skip_serializing)]
    approximate_creation_date_time: f64,
    #[serde(borrow)]
    keys: &'a RawValue,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    new_image: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    old_image: Option<&'a RawValue>,
    sequence_number: String,
    size_bytes: u64,
    stream_view_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "eventID")]
    event_id: &'a str,
    event_name: &'a str,
    event_version: &'a str,
    event_source: &'a str,
    aws_region: &'a str,
    dynamodb: Stamped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_identity: Option<Value>,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

/// Lambda has whole seconds, which Go's types insist on; `GetRecords` has a fraction.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stamped<'a> {
    approximate_creation_date_time: u64,
    #[serde(flatten)]
    change: Change<'a>,
}

/// Where records come from, as the event names it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `eu-west-1`.
    pub region: String,
    /// The stream's ARN.
    pub arn: String,
}

impl Record {
    /// A record of `GetRecords`, read at `now`.
    ///
    /// # Errors
    /// If it is not of the form that DynamoDB documents.
    pub fn parse(raw: &RawValue, origin: &Origin, now: Timestamp) -> serde_json::Result<Self> {
        let wire: Wire<'_> = serde_json::from_str(raw.get())?;
        let created = wire.dynamodb.approximate_creation_date_time.max(0.0);
        let created = Duration::try_from_secs_f64(created).unwrap_or_default();
        let created = Timestamp::default() + created;
        let key = key_hash(wire.dynamodb.keys)?;
        let sequence = wire.dynamodb.sequence_number.clone();
        let event = Event {
            event_id: &wire.event_id,
            event_name: &wire.event_name,
            event_version: wire.event_version.as_deref().unwrap_or("1.1"),
            event_source: "aws:dynamodb",
            aws_region: &origin.region,
            dynamodb: Stamped {
                approximate_creation_date_time: created.epoch_ms() / 1000,
                change: wire.dynamodb,
            },
            user_identity: wire.user_identity.map(|principal| {
                serde_json::json!({ "type": principal.r#type, "principalId": principal.principal_id })
            }),
            event_source_arn: &origin.arn,
        };
        Ok(Self {
            sequence,
            key,
            arrived: arrival(created, now),
            json: serde_json::to_string(&event)?.into_boxed_str(),
        })
    }
}

/// A stamp of a whole minute, seen within that minute, is DynamoDB Local's: the record is new.
fn arrival(created: Timestamp, read: Timestamp) -> Timestamp {
    let rounded = created.epoch_ms().is_multiple_of(MINUTE_MS);
    if rounded && read.since(created) < Duration::from_millis(MINUTE_MS) {
        read
    } else {
        created
    }
}

/// The same for the same item: attributes by name, numbers by value (`1.50` is `1.5`).
fn key_hash(keys: &RawValue) -> serde_json::Result<u64> {
    let keys: Map<String, Value> = serde_json::from_str(keys.get())?;
    let mut sorted: Vec<(&String, &Value)> = keys.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = DefaultHasher::new();
    for (name, value) in sorted {
        name.hash(&mut hasher);
        let number = value.get("N").and_then(Value::as_str);
        match number.and_then(|number| number.parse::<f64>().ok()) {
            // Plus zero: -0 is 0.
            Some(number) => (number + 0.0).to_bits().hash(&mut hasher),
            None => value.to_string().hash(&mut hasher),
        }
    }
    Ok(hasher.finish())
}
