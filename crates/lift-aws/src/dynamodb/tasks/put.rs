//! In: new requests. Out: that they are durable, or which one was there before.

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::Owner;
use lift::task::record::{INLINE_BYTES_MAX, Idempotency, NewTask, Record};
use lift::task::store::Put;

use super::head;
use super::{DynamoTasks, layout};
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::Reader;
use crate::dynamodb::table::{Committed, Written};

impl DynamoTasks {
    pub(super) async fn put_new(&self, new: &NewTask) -> Result<Put, StoreError> {
        let asked = self
            .quota
            .ask(&self.heads, &new.key.owner, new.queued_max)
            .await?;
        let Some(_leave) = asked else {
            return self.refused(new).await;
        };
        let record = new.record();
        let (token, mut item) = (self.tokens.next(), head::of_new(new, &record)?);
        item.insert("w".to_owned(), Value::text(&token));
        let trace = self.trace.as_ref().and_then(|trace| trace());
        item.extend(trace.map(|trace| ("tr".to_owned(), Value::S(trace))));
        if new.input.len_bytes() <= INLINE_BYTES_MAX {
            item.insert("in".to_owned(), Value::text(new.input.get()));
        } else {
            // It outlives its request, which may end after its own time.
            let until = record.expires_at + new.timeout;
            self.bodies.put_input(&new.key, &new.input, until).await?;
        }
        match &new.idempotency {
            None => self.put_head(record, item, &token).await,
            Some(idempotency) => {
                let row = row(new, &record, idempotency);
                item.extend(row.get("sk").cloned().map(|sort| ("ik".to_owned(), sort)));
                self.put_pair(record, item, (row, idempotency), &token)
                    .await
            }
        }
    }

    pub(super) async fn found(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        let call = Call {
            key: Some(layout::idempotency(owner, action, idempotency)),
            consistent_read: Some(true),
            ..self.heads.call()
        };
        let Some(row) = self.heads.send("GetItem", &call).await?.item else {
            return Ok(None);
        };
        if Reader(&row).moment("exp")? <= now {
            return Ok(None);
        }
        met(&row, idempotency).map(Some)
    }

    /// What is said to one for whom there is no room: what is stored already needs none.
    async fn refused(&self, new: &NewTask) -> Result<Put, StoreError> {
        if let Some(idempotency) = &new.idempotency {
            let owner = &new.key.owner;
            let found = self.found(owner, &new.action, idempotency, new.created_at);
            if let Some(found) = found.await? {
                return Ok(found);
            }
        }
        match self.image(&new.key, None).await? {
            Some(_) => Ok(Put::Duplicate(new.key.id)),
            None => Ok(Put::Full),
        }
    }

    async fn put_head(&self, record: Record, head: Item, token: &str) -> Result<Put, StoreError> {
        let call = Call {
            item: Some(head),
            condition_expression: Some("attribute_not_exists(pk)".to_owned()),
            ..self.heads.call()
        };
        match self.heads.write("PutItem", call).await? {
            Written::Done(_) => Ok(Put::Stored(Box::new(record))),
            Written::Failed(image) if is_ours(image.as_ref(), token) => {
                Ok(Put::Stored(Box::new(record)))
            }
            Written::Failed(_) => Ok(Put::Duplicate(record.key.id)),
        }
    }

    async fn put_pair(
        &self,
        record: Record,
        head: Item,
        (row, idempotency): (Item, &Idempotency),
        token: &str,
    ) -> Result<Put, StoreError> {
        let puts = vec![
            Call {
                item: Some(head),
                condition_expression: Some("attribute_not_exists(pk)".to_owned()),
                ..self.heads.call()
            },
            Call {
                item: Some(row),
                condition_expression: Some("attribute_not_exists(pk) OR exp <= :now".to_owned()),
                expression_attribute_values: item([(
                    ":now",
                    Some(head::moment(record.created_at)),
                )]),
                ..self.heads.call()
            },
        ];
        let mut reasons = match self.heads.put_all(puts).await? {
            Committed::Done => return Ok(Put::Stored(Box::new(record))),
            Committed::Cancelled(reasons) => reasons.into_iter().map(|reason| reason.item),
        };
        let (head, row) = (reasons.next().flatten(), reasons.next().flatten());
        if is_ours(head.as_ref(), token) {
            return Ok(Put::Stored(Box::new(record)));
        }
        match row {
            Some(row) => met(&row, idempotency),
            None => Ok(Put::Duplicate(record.key.id)),
        }
    }
}

/// Whether an image is what this call wrote, in a try whose answer was lost.
pub(super) fn is_ours(image: Option<&Item>, token: &str) -> bool {
    let wrote = image.and_then(|image| image.get("w"));
    matches!(wrote, Some(Value::S(wrote)) if wrote == token)
}

fn met(row: &Item, idempotency: &Idempotency) -> Result<Put, StoreError> {
    let row = Reader(row);
    if row.text("ph")? != idempotency.payload_hash {
        return Ok(Put::Mismatch);
    }
    let id = row.text("req")?.parse();
    Ok(Put::Duplicate(id.map_err(StoreError::corrupt)?))
}

fn row(new: &NewTask, record: &Record, idempotency: &Idempotency) -> Item {
    let mut row = layout::idempotency(&new.key.owner, &new.action, idempotency);
    row.extend(item([
        ("req", Some(Value::text(new.key.id.to_string()))),
        ("ph", Some(Value::text(&idempotency.payload_hash))),
        ("exp", Some(head::moment(record.expires_at))),
        ("ttl", Some(layout::seconds(record.expires_at))),
    ]));
    row
}
