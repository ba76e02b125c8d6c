//! Calls of one DynamoDB table come in; rows, refusals, or faults that name the table go out.

use std::collections::HashMap;
use std::sync::Arc;

use lift_aws_client::dynamodb::{Client, Error};
use lift_aws_client::retry;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::tasks::failure::Failure;

/// Calls for what a batch of reads left out.
const READS_MAX: u32 = 20;
/// After so many of them the wait before the next one grows no more.
const LONGEST_WAIT_AT: u32 = 5;

/// The table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    name: Arc<str>,
}

/// An item, in DynamoDB's JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Row(Value);

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Committed {
    Done,
    /// Nothing of it was written; why not, for each of its items.
    Refused(Vec<Reason>),
}

/// Why an item of a transaction was not written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reason {
    code: String,
    /// What is there, if anything is.
    pub(super) item: Option<Row>,
}

/// Some rows of a partition, and the key after which there are more.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Queried {
    pub(super) items: Vec<Row>,
    pub(super) last_evaluated_key: Option<Value>,
}

/// A call that brought nothing.
#[derive(Debug, thiserror::Error)]
#[error("the table of collections, `{table}`")]
struct Unusable {
    table: Arc<str>,
    #[source]
    source: Error,
}

/// A row that is not of its form.
#[derive(Debug, thiserror::Error)]
#[error("the attribute `{0}` of a row cannot be read")]
struct Misshapen(&'static str);

/// The table answered a part of what was asked, each time.
#[derive(Debug, thiserror::Error)]
#[error("the table of collections left rows out of {READS_MAX} answers")]
struct LeftOut;

impl Row {
    fn attribute(&self, name: &'static str, kind: &str) -> Result<&str, Failure> {
        let value = self.0.get(name).and_then(|value| value.get(kind));
        let text = value.and_then(Value::as_str);
        text.ok_or_else(|| Failure::storage(Misshapen(name)))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&str, Failure> {
        self.attribute(name, "S")
    }

    pub(super) fn number(&self, name: &'static str) -> Result<u64, Failure> {
        let digits = self.attribute(name, "N")?;
        let number = digits.parse();
        number.map_err(|_misshapen| Failure::storage(Misshapen(name)))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, Failure> {
        serde_json::from_str(self.text(name)?).map_err(Failure::storage)
    }
}

impl Reason {
    pub(super) fn is_failed_condition(&self) -> bool {
        self.code == "ConditionalCheckFailed"
    }

    /// Whether the same transaction, made anew, may be written.
    fn is_others(&self) -> bool {
        [
            "None",
            "ConditionalCheckFailed",
            "TransactionConflict",
            "ProvisionedThroughputExceeded",
            "ThrottlingError",
        ]
        .contains(&self.code.as_str())
    }
}

impl Table {
    pub(super) fn new(client: Client, name: Arc<str>) -> Self {
        Self { client, name }
    }

    /// A row as it is now.
    pub(super) async fn get(&self, key: &Value) -> Result<Option<Row>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Got {
            item: Option<Row>,
        }
        let call = json!({ "TableName": self.name, "Key": key, "ConsistentRead": true });
        let got: Got = self.call("GetItem", &call).await?;
        Ok(got.item)
    }

    /// Those of at most 100 rows that are there, each as it is when it is read: keys, and the attributes that are named.
    pub(super) async fn get_all(
        &self,
        keys: Vec<Value>,
        attributes: &str,
    ) -> Result<Vec<Row>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Got {
            responses: HashMap<String, Vec<Row>>,
            #[serde(default)]
            unprocessed_keys: Map<String, Value>,
        }
        let mut rows = Vec::new();
        let one =
            json!({ "Keys": keys, "ProjectionExpression": attributes, "ConsistentRead": true });
        let mut asked = Map::from_iter([(self.name.to_string(), one)]);
        for failed in 1..=READS_MAX {
            let got: Got = self
                .call("BatchGetItem", &json!({ "RequestItems": asked }))
                .await?;
            rows.extend(got.responses.into_values().flatten());
            if got.unprocessed_keys.is_empty() {
                return Ok(rows);
            }
            asked = got.unprocessed_keys;
            pause(failed).await;
        }
        Err(Failure::storage(LeftOut))
    }

    /// Rows of a partition in the order of their sort keys, after the key `after` if given.
    pub(super) async fn query(
        &self,
        partition: &str,
        after: Option<&Value>,
        most: usize,
    ) -> Result<Queried, Failure> {
        let mut call = json!({
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": { ":pk": { "S": partition } },
            "ConsistentRead": true,
            "Limit": most,
        });
        if let (Some(after), Some(fields)) = (after, call.as_object_mut()) {
            fields.insert("ExclusiveStartKey".to_owned(), after.clone());
        }
        self.call("Query", &call).await
    }

    pub(super) async fn delete(&self, key: &Value) -> Result<(), Failure> {
        let call = json!({ "TableName": self.name, "Key": key });
        self.call::<Value>("DeleteItem", &call).await.map(drop)
    }

    /// Writes all or nothing: each item is `Put`, `Delete` or `ConditionCheck` and what it says beside the table's name.
    pub(super) async fn transact(
        &self,
        items: Vec<(&'static str, Value)>,
    ) -> Result<Committed, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Cancelled {
            cancellation_reasons: Vec<Reason>,
        }
        let items = items.into_iter().map(|(kind, mut item)| {
            if let Some(fields) = item.as_object_mut() {
                fields.insert("TableName".to_owned(), json!(self.name));
            }
            json!({ kind: item })
        });
        let call = json!({ "TransactItems": items.collect::<Vec<_>>() });
        let target = "DynamoDB_20120810.TransactWriteItems";
        let Err(error) = self.client.call(target, &call).await else {
            return Ok(Committed::Done);
        };
        let refusal = error.refusal();
        let refusal = refusal.filter(|said| said.kind == "TransactionCanceledException");
        let said = refusal.and_then(|said| serde_json::from_slice::<Cancelled>(&said.body).ok());
        match said.map(|said| said.cancellation_reasons) {
            Some(reasons) if reasons.iter().all(Reason::is_others) => {
                Ok(Committed::Refused(reasons))
            }
            _ => Err(self.fault(error)),
        }
    }

    async fn call<T: DeserializeOwned>(&self, operation: &str, call: &Value) -> Result<T, Failure> {
        let target = format!("DynamoDB_20120810.{operation}");
        let answer = self.client.call(&target, call).await;
        let answer = answer.map_err(|error| self.fault(error))?;
        let parsed = serde_json::from_slice(&answer);
        parsed.map_err(|error| self.fault(Error::malformed(&target, error)))
    }

    fn fault(&self, source: Error) -> Failure {
        Failure::storage(Unusable {
            table: Arc::clone(&self.name),
            source,
        })
    }
}

/// Waits before the next try of what has failed so many times, at most 800 ms.
pub(super) async fn pause(failed: u32) {
    let random = getrandom::u32().unwrap_or_default();
    let wait = retry::delay(failed.min(LONGEST_WAIT_AT), random);
    sleep(wait.unwrap_or_default()).await;
}
