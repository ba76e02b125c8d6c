//! In: the time. Out: ended requests past theirs are gone, with all that lies beside them.
//!
//! On AWS the tables' time to live does this; here is what the suite and a table without it need.

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::record::Key;

use super::head;
use super::{DynamoTasks, layout};
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::Reader;
use crate::dynamodb::table::Written;

/// Pages of the table, 1 MB each, that one call looks at.
const PAGES_MAX: usize = 1_000;

impl DynamoTasks {
    pub(super) async fn purge_by(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut call = Call {
            filter_expression: Some("attribute_exists(term) AND exp <= :now"),
            projection_expression: Some("pk, sk, ik"),
            expression_attribute_values: item([(":now", Some(head::moment(now)))]),
            consistent_read: Some(true),
            ..self.heads.call()
        };
        let mut purged = 0;
        for _ in 0..PAGES_MAX {
            let answer = self.heads.send("Scan", &call).await?;
            for row in &answer.items {
                if purged >= limit {
                    return Ok(purged);
                }
                if self.remove(row, now).await? {
                    purged += 1;
                }
            }
            call.exclusive_start_key = answer.last_evaluated_key;
            if call.exclusive_start_key.is_none() {
                break;
            }
        }
        Ok(purged)
    }

    /// Removes one request; its head last, so that a purge that ends half-way is done again.
    async fn remove(&self, row: &Item, now: Timestamp) -> Result<bool, StoreError> {
        let reader = Reader(row);
        let key = layout::parse(reader.text("pk")?, reader.text("sk")?);
        let key = key.ok_or_else(|| reader.wrong("sk", "is no request's"))?;
        self.results.take(&key);
        self.inputs.take(&key);
        self.bodies.remove_all(&key).await?;
        if let Some(sort) = row.get("ik") {
            self.remove_row(&key, sort.clone()).await?;
        }
        let call = Call {
            key: Some(layout::head(&key)),
            condition_expression: Some("attribute_exists(term) AND exp <= :now".to_owned()),
            expression_attribute_values: item([(":now", Some(head::moment(now)))]),
            ..self.heads.call()
        };
        let written = self.heads.write("DeleteItem", call).await?;
        Ok(matches!(written, Written::Done(_)))
    }

    /// Removes an idempotency row, unless another request has it by now.
    async fn remove_row(&self, key: &Key, sort: Value) -> Result<(), StoreError> {
        let mut row = layout::head(key);
        row.insert("sk".to_owned(), sort);
        let call = Call {
            key: Some(row),
            condition_expression: Some("req = :req".to_owned()),
            expression_attribute_values: item([(":req", Some(Value::text(key.id.to_string())))]),
            ..self.heads.call()
        };
        match self.heads.write("DeleteItem", call).await? {
            Written::Done(_) | Written::Failed(_) => Ok(()),
        }
    }
}
