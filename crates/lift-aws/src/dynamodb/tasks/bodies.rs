//! In: payloads and results that are too large for a head. Out: the same, for their owner alone.

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::json::Json;
use lift::task::record::Key;
use std::collections::BTreeMap;

use super::layout;
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::Reader;
use crate::dynamodb::table::{Table, Written};

/// Keeps bodies beside their requests.
#[derive(Debug)]
pub(super) struct Bodies(pub(super) Table);

impl Bodies {
    /// Writes a payload, which must be there before its request is.
    pub(super) async fn put_input(
        &self,
        key: &Key,
        input: &Json,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.put(key, layout::INPUT, input, until).await
    }

    /// Writes a result, which must be there before its request has ended.
    pub(super) async fn put_result(
        &self,
        key: &Key,
        claim: u64,
        result: &Json,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let sort = layout::result(claim);
        self.put(key, &sort, result, until).await
    }

    /// Reads a payload.
    pub(super) async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        let call = Call {
            key: Some(layout::body(key.id, layout::INPUT)),
            consistent_read: Some(true),
            ..self.0.call()
        };
        let answer = self.0.send("GetItem", &call).await?;
        of_owner(key, answer.item.as_ref())
    }

    /// Reads the result of the request's last claim that left one.
    pub(super) async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        let call = Call {
            key_condition_expression: Some("pk = :pk AND sk BETWEEN :low AND :high"),
            expression_attribute_values: item([
                (":pk", Some(Value::text(key.id.to_string()))),
                (":low", Some(Value::text(layout::RESULTS.0))),
                (":high", Some(Value::text(layout::RESULTS.1))),
            ]),
            consistent_read: Some(true),
            scan_index_forward: Some(false),
            limit: Some(1),
            ..self.0.call()
        };
        let answer = self.0.send("Query", &call).await?;
        of_owner(key, answer.items.first())
    }

    /// Removes a result that no end refers to.
    pub(super) async fn remove_result(&self, key: &Key, claim: u64) -> Result<(), StoreError> {
        let row = layout::body(key.id, &layout::result(claim));
        self.remove(key, row).await
    }

    /// Removes all that lies beside a request.
    pub(super) async fn remove_all(&self, key: &Key) -> Result<(), StoreError> {
        let call = Call {
            key_condition_expression: Some("pk = :pk"),
            projection_expression: Some("pk, sk"),
            expression_attribute_values: item([(":pk", Some(Value::text(key.id.to_string())))]),
            consistent_read: Some(true),
            ..self.0.call()
        };
        // One page of 1 MB: what it leaves, time removes.
        for row in self.0.send("Query", &call).await?.items {
            self.remove(key, row).await?;
        }
        Ok(())
    }

    async fn put(
        &self,
        key: &Key,
        sort: &str,
        body: &Json,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut row = layout::body(key.id, sort);
        row.extend(item([
            ("o", Some(Value::text(key.owner.to_string()))),
            ("b", Some(Value::text(body.get()))),
            ("ttl", Some(layout::seconds(until))),
        ]));
        let call = Call {
            item: Some(row),
            ..self.0.call()
        };
        self.0.send("PutItem", &call).await.map(drop)
    }

    async fn remove(&self, key: &Key, row: Item) -> Result<(), StoreError> {
        let call = Call {
            key: Some(row),
            condition_expression: Some("o = :o".to_owned()),
            expression_attribute_names: BTreeMap::new(),
            expression_attribute_values: item([(":o", Some(Value::text(key.owner.to_string())))]),
            ..self.0.call()
        };
        match self.0.write("DeleteItem", call).await? {
            // It is gone, or another's.
            Written::Done(_) | Written::Failed(_) => Ok(()),
        }
    }
}

fn of_owner(key: &Key, row: Option<&Item>) -> Result<Option<Json>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let reader = Reader(row);
    if reader.text("o")? != key.owner.to_string() {
        return Ok(None);
    }
    Ok(reader.raw("b")?)
}
