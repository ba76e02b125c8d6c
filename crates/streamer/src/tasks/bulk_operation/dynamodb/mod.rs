//! Changes of a request come in; records, outcomes and the request's place go out to a DynamoDB table in one transaction.
//!
//! `docs/dynamodb-layout.md` names every row. Whatever a batch has read is in its transaction under the version that was
//! read, also what it does not write: of a transaction that ends meanwhile, one row may be read as it was and another as it is.

mod pages;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lift_aws_client::dynamodb::Client;
use serde_json::{Value, json};

use self::pages::{Summary, TablePages};
use self::table::{Committed, Row, Table, pause};
use super::batch::{Applied, Batch, Effects, Position, Target, Write};
use super::engine::Options;
use super::store::{BatchMax, Collections, Pages, Store};
use crate::objects::WorkId;
use crate::tasks::failure::Failure;

/// A transaction has at most 100 items (API Reference, "TransactWriteItems"): beside the records the place, the outcomes,
/// the collection and the tenant. An outcome has at most 2 KiB, so that a row of them has half of DynamoDB's 400 KB.
const BATCH_ITEMS: usize = 96;
/// A transaction has at most 4 MB; a shorter one meets fewer others.
const BATCH_BYTES: usize = 1 << 20;
/// Tries of a batch whose collection others are changing: some 20 s.
const TRIES_MAX: u32 = 50;
/// Tries to take a request that an older claim goes on with.
const TAKES_MAX: u32 = 10;

/// The sort key of the row that counts a tenant's collections: no collection's name.
const COUNT: &str = "#";
const NOTHING_THERE: &str = "attribute_not_exists(pk)";

/// The records of every tenant in one table.
#[derive(Debug)]
struct Dynamo {
    table: Table,
    /// How long a row of a request lasts that nobody forgets.
    kept: Duration,
}

/// What a batch meets.
struct Found<'a> {
    summary: Summary,
    /// The keys of its records.
    keys: BTreeSet<&'a str>,
    /// The tenant's collections that have begun.
    begun: u64,
    versions: HashMap<&'a str, u64>,
}

/// Others wrote each time.
#[derive(Debug, thiserror::Error)]
#[error("others wrote {0} at each of {1} tries")]
struct Contended(&'static str, u32);

impl Collections {
    /// Those in a table of DynamoDB, which `deploy/template.yaml` describes. What is kept of a request goes `kept` after it was
    /// written, unless it went when the request ended: longer than any request runs.
    #[must_use]
    pub fn in_table(client: Client, name: impl Into<Arc<str>>, kept: Duration) -> Self {
        let table = Table::new(client, name.into());
        Self {
            store: Arc::new(Dynamo { table, kept }),
        }
    }
}

#[async_trait]
impl Store for Dynamo {
    fn batch_max(&self) -> BatchMax {
        BatchMax {
            items: BATCH_ITEMS,
            bytes: BATCH_BYTES,
        }
    }

    async fn position(&self, id: &WorkId) -> Result<Option<Position>, Failure> {
        place(self.table.get(&key(&of_request(id), "p")).await?.as_ref())
    }

    async fn take(&self, id: &WorkId, begin: Position) -> Result<Option<Position>, Failure> {
        let claim = begin.claim;
        let mut found = self.position(id).await?;
        for _ in 0..TAKES_MAX {
            let taken = match &found {
                None => begin.clone(),
                Some(there) if there.claim > claim => return Ok(None),
                // Its own write, whose answer was lost.
                Some(there) if there.claim == claim => return Ok(found),
                Some(there) => Position {
                    claim,
                    ..there.clone()
                },
            };
            let put = self.put_place(id, found.as_ref(), &taken)?;
            match self.table.transact(vec![put]).await? {
                Committed::Done => return Ok(Some(taken)),
                Committed::Refused(_) => found = self.position(id).await?,
            }
        }
        let contended = Contended("the place of a request", TAKES_MAX);
        Err(Failure::storage(contended))
    }

    async fn apply(
        &self,
        target: &Target,
        id: &WorkId,
        from: &Position,
        batch: Batch,
        options: &Options,
    ) -> Result<Applied, Failure> {
        for failed in 1..=TRIES_MAX {
            let found = self.found(target, &batch).await?;
            let collection = found.summary.collection;
            collection.check_room(found.begun, options)?;
            let effects = batch.effects(from, collection, &found.versions, options);
            let writes = self.writes(target, id, (from, &found), &effects)?;
            let reasons = match self.table.transact(writes).await? {
                Committed::Done => return Ok(Applied::Done(effects.position)),
                Committed::Refused(reasons) => reasons,
            };
            if let Some(reason) = reasons.first().filter(|first| first.is_failed_condition()) {
                return Ok(match place(reason.item.as_ref())? {
                    // This batch was written, and the answer that said so was lost.
                    Some(there) if there.claim == from.claim => Applied::Done(there),
                    _ => Applied::Fenced,
                });
            }
            pause(failed).await;
        }
        let contended = Contended("to a collection", TRIES_MAX);
        Err(Failure::storage(contended))
    }

    async fn outcomes(&self, id: &WorkId, n: u32) -> Result<Vec<u8>, Failure> {
        let row = self.table.get(&key(&of_request(id), &outcomes(n))).await?;
        let gone = || Failure::storage(std::io::Error::other("a row of outcomes is gone"));
        let row = row.ok_or_else(gone)?;
        Ok(row.text("j")?.as_bytes().to_vec())
    }

    async fn forget(&self, id: &WorkId) -> Result<(), Failure> {
        // Nobody asks for the outcomes of a request without a place; their time removes them, which costs nothing.
        self.table.delete(&key(&of_request(id), "p")).await
    }

    async fn view(&self, target: Target) -> Result<Box<dyn Pages>, Failure> {
        let row = key(&of_tenant(&target), &target.collection);
        let summary = Summary::read(self.table.get(&row).await?.as_ref())?;
        let partition = of_records(&target);
        Ok(Box::new(TablePages::new(
            self.table.clone(),
            partition,
            summary,
        )))
    }
}

impl Dynamo {
    /// Reads what a batch meets.
    async fn found<'a>(&self, target: &Target, batch: &'a Batch) -> Result<Found<'a>, Failure> {
        let (tenant, records) = (of_tenant(target), of_records(target));
        let keys = batch.keys();
        let mut asked = vec![key(&tenant, &target.collection), key(&tenant, COUNT)];
        asked.extend(keys.iter().map(|sort| key(&records, sort)));
        let rows = self.table.get_all(asked, "pk, sk, v, n, m").await?;
        let mut found = Found {
            summary: Summary::default(),
            begun: 0,
            versions: HashMap::new(),
            keys,
        };
        for row in &rows {
            match (row.text("pk")?, row.text("sk")?) {
                (partition, sort) if partition == records => {
                    if let Some(sort) = found.keys.get(sort) {
                        found.versions.insert(sort, row.number("v")?);
                    }
                }
                (_, COUNT) => found.begun = row.number("n")?,
                _ => found.summary = Summary::read(Some(row))?,
            }
        }
        Ok(found)
    }

    /// The transaction of a batch: its place first.
    fn writes(
        &self,
        target: &Target,
        id: &WorkId,
        (from, found): (&Position, &Found<'_>),
        effects: &Effects<'_>,
    ) -> Result<Vec<(&'static str, Value)>, Failure> {
        let (tenant, records) = (of_tenant(target), of_records(target));
        let outcomes = json!({
            "pk": { "S": of_request(id) }, "sk": { "S": outcomes(from.chunks) },
            "j": { "S": String::from_utf8_lossy(&effects.outcomes) }, "ttl": self.ttl(),
        });
        let mut writes = vec![
            self.put_place(id, Some(from), &effects.position)?,
            ("Put", json!({ "Item": outcomes })),
        ];
        let was = found.summary.collection.version;
        let was = (was > 0).then_some(was);
        let row = key(&tenant, &target.collection);
        writes.push(if effects.written.is_empty() {
            ("ConditionCheck", unchanged(json!({ "Key": row }), "v", was))
        } else {
            let summary = found.summary.after(effects, &found.versions);
            let put = json!({ "Item": summary.row(row) });
            ("Put", unchanged(put, "v", was))
        });
        if was.is_none() && !effects.written.is_empty() {
            let begun = (found.begun > 0).then_some(found.begun);
            let mut row = key(&tenant, COUNT);
            set(&mut row, "n", number(found.begun + 1));
            writes.push(("Put", unchanged(json!({ "Item": row }), "n", begun)));
        }
        for sort in &found.keys {
            let (mut row, was) = (key(&records, sort), found.versions.get(sort).copied());
            writes.push(match effects.written.get(sort) {
                Some(Write::Put { version, text }) => {
                    set(&mut row, "v", number(*version));
                    set(&mut row, "j", json!({ "S": text }));
                    ("Put", unchanged(json!({ "Item": row }), "v", was))
                }
                Some(Write::Remove) => ("Delete", unchanged(json!({ "Key": row }), "v", was)),
                None => ("ConditionCheck", unchanged(json!({ "Key": row }), "v", was)),
            });
        }
        Ok(writes)
    }

    /// A request's place goes from what it was to what it is.
    fn put_place(
        &self,
        id: &WorkId,
        was: Option<&Position>,
        is: &Position,
    ) -> Result<(&'static str, Value), Failure> {
        let json = serde_json::to_string(is).map_err(Failure::storage)?;
        let item = json!({
            "pk": { "S": of_request(id) }, "sk": { "S": "p" }, "cl": number(is.claim), "ch": number(is.chunks.into()),
            "j": { "S": json }, "ttl": self.ttl(),
        });
        let put = match was {
            None => json!({ "Item": item, "ConditionExpression": NOTHING_THERE }),
            // A claim applies its batches one after another: their number says which place it is.
            Some(was) => json!({
                "Item": item, "ConditionExpression": "cl = :cl AND ch = :ch",
                "ExpressionAttributeValues": { ":cl": number(was.claim), ":ch": number(was.chunks.into()) },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }),
        };
        Ok(("Put", put))
    }

    fn ttl(&self) -> Value {
        number(self.table.client.clock().now_ms() / 1000 + self.kept.as_secs())
    }
}

fn place(row: Option<&Row>) -> Result<Option<Position>, Failure> {
    row.map(|row| row.json("j")).transpose()
}

/// The same write on the condition that an attribute is as it was read, or that its row was absent.
fn unchanged(mut write: Value, attribute: &str, was: Option<u64>) -> Value {
    match was {
        None => set(&mut write, "ConditionExpression", json!(NOTHING_THERE)),
        Some(was) => {
            let condition = json!(format!("{attribute} = :was"));
            set(&mut write, "ConditionExpression", condition);
            let values = json!({ ":was": number(was) });
            set(&mut write, "ExpressionAttributeValues", values);
        }
    }
    write
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn number(number: u64) -> Value {
    json!({ "N": number.to_string() })
}

fn key(partition: &str, sort: &str) -> Value {
    json!({ "pk": { "S": partition }, "sk": { "S": sort } })
}

fn of_tenant(Target { tenant, .. }: &Target) -> String {
    format!("c#{}", tenant.as_str())
}

fn of_records(Target { tenant, collection }: &Target) -> String {
    format!("r#{}#{collection}", tenant.as_str())
}

fn of_request(id: &WorkId) -> String {
    format!("w#{}", id.as_str())
}

fn outcomes(n: u32) -> String {
    format!("o{n:010}")
}
