//! In: an operation on one table. Out: its answer, or a store's error.

use std::sync::Arc;

use lift::error::StoreError;
use lift_aws_client::dynamodb::{Client, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::item::Item;

/// One table at one endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: Arc<str>,
}

impl Table {
    pub(crate) fn new(client: Client, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { client, name }
    }

    /// Calls `PutItem` and the like; `body` is all but the table's name.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<A, Error> {
        let target = format!("DynamoDB_20120810.{operation}");
        let request = Request {
            table_name: &self.name,
            body,
        };
        let answer = self.client.call(&target, &request).await?;
        serde_json::from_slice(&answer).map_err(|error| Error::malformed(&target, error))
    }
}

#[derive(Serialize)]
struct Request<'a, B> {
    #[serde(rename = "TableName")]
    table_name: &'a str,
    #[serde(flatten)]
    body: &'a B,
}

/// An answer of which nothing is read.
#[derive(serde::Deserialize)]
pub(crate) struct Done {}

/// An answer with an item, or a refusal with the one that failed a condition.
#[derive(serde::Deserialize)]
pub(crate) struct Found {
    #[serde(default, rename = "Item")]
    pub(crate) item: Option<Item>,
}

/// What DynamoDB cannot do now it may do a moment later.
pub(crate) fn unavailable(error: Error) -> StoreError {
    StoreError::unavailable(error)
}
