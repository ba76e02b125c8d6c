//! In: the plan's tables. Out: the same on a DynamoDB endpoint, or what is different there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::{Client, Error};
use crate::plan::Table;

/// How long a table may take to become active.
const ACTIVE_DEADLINE: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What became of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was created.
    New,
    /// It was there, and fits.
    There,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A table of this name is there and differs.
    #[error("table `{table}` exists with {difference}; delete it, or rename the template's")]
    Different {
        /// The table's name.
        table: String,
        /// What differs, both values named.
        difference: String,
    },
    /// It did not become active in time.
    #[error("table `{table}` is `{status}` for {} s", ACTIVE_DEADLINE.as_secs())]
    NotActive {
        /// The table's name.
        table: String,
        /// `CREATING`, `UPDATING`, …
        status: String,
    },
    /// A call failed.
    #[error("table `{table}` cannot be made")]
    Call {
        /// The table's name.
        table: String,
        /// Why.
        #[source]
        source: Error,
    },
}

/// Creates a table where there is none of its name, sets its TTL and waits until it is active.
///
/// # Errors
/// If a table of this name differs in keys, indexes or stream, or a call fails.
pub async fn make(client: &Client, table: &Table) -> Result<Made, TableError> {
    let failed = |source| TableError::Call {
        table: table.name.clone(),
        source,
    };
    let mut wanted = table.create.clone();
    if let Some(body) = wanted.as_object_mut() {
        body.insert("TableName".to_owned(), table.name.clone().into());
        // CloudFormation has no `StreamEnabled`; DynamoDB insists on it.
        if let Some(stream) = body
            .get_mut("StreamSpecification")
            .and_then(Value::as_object_mut)
        {
            stream.insert("StreamEnabled".to_owned(), true.into());
        }
    }
    let made = match describe(client, &table.name).await {
        Ok(_) => Made::There,
        Err(error) if error.is("ResourceNotFoundException") => {
            match client.call("DynamoDB_20120810.CreateTable", &wanted).await {
                Ok(_) => Made::New,
                // Somebody else was faster.
                Err(error) if error.is("ResourceInUseException") => Made::There,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(error) => return Err(failed(error)),
    };
    let found = active(client, &table.name).await?;
    if let Some(difference) = difference(&wanted, &found) {
        return Err(TableError::Different {
            table: table.name.clone(),
            difference,
        });
    }
    if found.get("LatestStreamArn").is_none() && wanted.get("StreamSpecification").is_some() {
        let body = json!({
            "TableName": table.name,
            "StreamSpecification": wanted.get("StreamSpecification"),
        });
        let enabled = client.call("DynamoDB_20120810.UpdateTable", &body).await;
        enabled.map_err(failed)?;
        active(client, &table.name).await?;
    }
    if let Some(attribute) = &table.ttl_attribute {
        set_ttl(client, &table.name, attribute)
            .await
            .map_err(failed)?;
    }
    Ok(made)
}

/// The ARN of a table's newest stream, if it has one.
///
/// # Errors
/// If the table is not there, or the call fails.
pub async fn stream_arn(client: &Client, table: &str) -> Result<Option<String>, Error> {
    let found = describe(client, table).await?;
    let arn = found.get("LatestStreamArn").and_then(Value::as_str);
    Ok(arn.map(str::to_owned))
}

async fn describe(client: &Client, table: &str) -> Result<Value, Error> {
    let target = "DynamoDB_20120810.DescribeTable";
    let body = client.call(target, &json!({ "TableName": table })).await?;
    let mut answer: Value =
        serde_json::from_slice(&body).map_err(|error| Error::malformed(target, error))?;
    Ok(answer.get_mut("Table").map(Value::take).unwrap_or_default())
}

async fn active(client: &Client, table: &str) -> Result<Value, TableError> {
    let until = Instant::now() + ACTIVE_DEADLINE;
    let mut ticks = interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        let found = describe(client, table).await;
        let found = found.map_err(|source| TableError::Call {
            table: table.to_owned(),
            source,
        })?;
        let status = found.get("TableStatus").and_then(Value::as_str);
        match status.unwrap_or("unknown") {
            "ACTIVE" => return Ok(found),
            status if Instant::now() > until => {
                return Err(TableError::NotActive {
                    table: table.to_owned(),
                    status: status.to_owned(),
                });
            }
            _ => {}
        }
    }
}

async fn set_ttl(client: &Client, table: &str, attribute: &str) -> Result<(), Error> {
    let body = json!({ "TableName": table });
    let target = "DynamoDB_20120810.DescribeTimeToLive";
    let answer = client.call(target, &body).await?;
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|error| Error::malformed(target, error))?;
    let now = answer.pointer("/TimeToLiveDescription/AttributeName");
    // Setting what is set is an error of DynamoDB's.
    if now.and_then(Value::as_str) == Some(attribute) {
        return Ok(());
    }
    let body = json!({
        "TableName": table,
        "TimeToLiveSpecification": { "Enabled": true, "AttributeName": attribute },
    });
    let set = client.call("DynamoDB_20120810.UpdateTimeToLive", &body);
    set.await.map(drop)
}

/// The first thing in which a table is not what is wanted, both values named.
fn difference(wanted: &Value, found: &Value) -> Option<String> {
    let keys = (keys(wanted), keys(found));
    if keys.0 != keys.1 {
        return Some(format!("keys `{}` instead of `{}`", keys.1, keys.0));
    }
    for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        let (ours, theirs) = (indexes(wanted, kind), indexes(found, kind));
        for (name, keys) in ours {
            match theirs.get(name) {
                None => return Some(format!("no index `{name}`")),
                Some(other) if *other != keys => {
                    return Some(format!(
                        "index `{name}` with keys `{other}` instead of `{keys}`"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    let view = |table: &Value| {
        let view = table.pointer("/StreamSpecification/StreamViewType");
        view.and_then(Value::as_str).map(str::to_owned)
    };
    match (view(wanted), view(found)) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Some(format!("stream view `{theirs}` instead of `{ours}`"))
        }
        _ => None,
    }
}

/// `pk HASH S, sk RANGE N`.
fn keys(table: &Value) -> String {
    key_schema(table, table.get("AttributeDefinitions"))
}

fn key_schema(of: &Value, definitions: Option<&Value>) -> String {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let rows = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let types: BTreeMap<String, String> = rows(definitions)
        .iter()
        .map(|row| (text(row, "AttributeName"), text(row, "AttributeType")))
        .collect();
    let keys: BTreeSet<String> = rows(of.get("KeySchema"))
        .iter()
        .map(|row| {
            let name = text(row, "AttributeName");
            let kind = types.get(&name).map_or("?", String::as_str);
            // `HASH` sorts before `RANGE`.
            format!("{} {name} {kind}", text(row, "KeyType"))
        })
        .collect();
    keys.into_iter().collect::<Vec<_>>().join(", ")
}

fn indexes<'a>(table: &'a Value, kind: &str) -> BTreeMap<&'a str, String> {
    let definitions = table.get("AttributeDefinitions");
    let all = table.get(kind).and_then(Value::as_array);
    let named = all.into_iter().flatten().filter_map(|index| {
        let name = index.get("IndexName")?.as_str()?;
        Some((name, key_schema(index, definitions)))
    });
    named.collect()
}
