//! In: records that are given up. Out: the record of them that Lambda sends to an on-failure destination.

use lift_gateway::Timestamp;
use serde_json::{Value, json};

use super::record::Record;

/// Why records are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The function failed once too often.
    RetryAttemptsExhausted,
    /// They are older than `MaximumRecordAgeInSeconds`, or than the stream keeps.
    RecordAgeExceeded,
}

/// What the function said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responded {
    /// It was never called, or never answered.
    Never,
    /// An answer, which named records that failed.
    Well,
    /// An error.
    Error,
}

/// Records that are given up: where they are, not what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The shard.
    pub shard: String,
    /// Why.
    pub condition: Condition,
    /// How often the function was called with them.
    pub invokes: u32,
    /// What it said last.
    pub responded: Responded,
    /// How many records.
    pub records: usize,
    /// The first one's sequence number and arrival; none where a window's last call failed.
    pub first: Option<(String, Timestamp)>,
    /// The last one's.
    pub last: Option<(String, Timestamp)>,
}

/// What a [`Failure`] does not know about itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// A UUID.
    pub request_id: &'a str,
    /// The function's ARN.
    pub function_arn: &'a str,
    /// The stream's ARN.
    pub stream_arn: &'a str,
    /// When.
    pub now: Timestamp,
}

impl Condition {
    /// As `requestContext.condition` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}

impl Failure {
    pub(super) fn new(
        shard: &str,
        condition: Condition,
        records: &[Record],
        invokes: u32,
        responded: Responded,
    ) -> Self {
        let place = |record: &Record| (record.sequence.clone(), record.arrived);
        Self {
            shard: shard.to_owned(),
            condition,
            invokes,
            responded,
            records: records.len(),
            first: records.first().map(place),
            last: records.last().map(place),
        }
    }

    /// The record that goes to SQS or SNS (Lambda Developer Guide, "Retaining discarded batches of
    /// records for a DynamoDB event source").
    #[must_use]
    pub fn to_json(&self, context: Context<'_>) -> Value {
        let iso = |at: Timestamp| lift_apigw::time::iso8601(at.epoch_ms());
        let sequence =
            |of: &Option<(String, Timestamp)>| of.as_ref().map(|(number, _)| number.clone());
        let arrival = |of: &Option<(String, Timestamp)>| of.as_ref().map(|(_, at)| iso(*at));
        let mut json = json!({
            "requestContext": {
                "requestId": context.request_id,
                "functionArn": context.function_arn,
                "condition": self.condition.as_str(),
                "approximateInvokeCount": self.invokes,
            },
            "version": "1.0",
            "timestamp": iso(context.now),
            "DDBStreamBatchInfo": {
                "shardId": self.shard,
                "startSequenceNumber": sequence(&self.first),
                "endSequenceNumber": sequence(&self.last),
                "approximateArrivalOfFirstRecord": arrival(&self.first),
                "approximateArrivalOfLastRecord": arrival(&self.last),
                "batchSize": self.records,
                "streamArn": context.stream_arn,
            },
        });
        let mut response = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
        match self.responded {
            Responded::Never => return json,
            Responded::Well => {}
            Responded::Error => set(&mut response, "functionError", "Unhandled".into()),
        }
        set(&mut json, "responseContext", response);
        json
    }
}

fn set(of: &mut Value, name: &str, value: Value) {
    if let Some(of) = of.as_object_mut() {
        of.insert(name.to_owned(), value);
    }
}
