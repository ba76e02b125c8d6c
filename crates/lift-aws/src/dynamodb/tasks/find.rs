//! In: whose requests, or when they were accepted. Out: pages of them.

use lift::error::StoreError;
use lift::id::{Owner, RequestId, TenantId};
use lift::task::record::Key;
use lift::task::store::{Accepted, Activity, ActivityPage, ActivityQuery, ListQuery, Page};

use super::head;
use super::{DynamoTasks, layout};
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::{Reader, Undecodable};

/// Requests that one page of a list of one state looks at, at most, if it asks for fewer.
const LOOKED_AT_MAX: usize = 1_000;
/// Rows that one call asks for, at most.
const ROWS_MAX: usize = 1_000;

impl DynamoTasks {
    pub(super) async fn page(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        let mut page = Page {
            records: Vec::new(),
            next: None,
        };
        let mut call = self.list_call(owner, query);
        let mut looked_at = 0;
        while page.records.len() < query.limit && looked_at < LOOKED_AT_MAX.max(query.limit) {
            let asked = match query.state {
                Some(_) => ROWS_MAX.min(LOOKED_AT_MAX),
                None => (query.limit - page.records.len()).min(ROWS_MAX),
            };
            call.limit = Some(asked);
            let answer = self.heads.send("Query", &call).await?;
            looked_at += asked;
            let mut items = answer.items.iter();
            for image in items.by_ref() {
                match head::decode(image) {
                    Ok(record) => page.records.push(record),
                    Err(error) => tracing::error!(?error, "a request is left out of a list"),
                }
                if page.records.len() == query.limit {
                    break;
                }
            }
            if items.next().is_some() {
                page.next = page.records.last().map(|record| record.key.id);
                return Ok(page);
            }
            page.next = answer.last_evaluated_key.as_ref().and_then(id);
            call.exclusive_start_key = answer.last_evaluated_key;
            if call.exclusive_start_key.is_none() {
                break;
            }
        }
        Ok(page)
    }

    fn list_call(&self, owner: &Owner, query: &ListQuery) -> Call {
        let before = query.before.map(|id| id.to_string());
        let before = before.unwrap_or_else(|| layout::BEHIND_IDS.to_owned());
        Call {
            key_condition_expression: Some("pk = :pk AND sk < :before"),
            filter_expression: query.state.map(|_| "st = :st"),
            expression_attribute_values: item([
                (":pk", Some(Value::text(owner.to_string()))),
                (":before", Some(Value::S(before))),
                (":st", query.state.map(head::state)),
            ]),
            consistent_read: Some(true),
            scan_index_forward: Some(false),
            ..self.heads.call()
        }
    }

    pub(super) async fn activities(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        let mut page = ActivityPage {
            requests: Vec::new(),
            next: None,
        };
        let mut after = query.after.as_ref();
        let first = after.map_or(0, |after| layout::activity_shard(after.key.id));
        for shard in first..layout::ACTIVITY_SHARDS {
            let low = match after.take() {
                Some(after) => layout::behind(&layout::accepted(after)),
                None => layout::millis(query.from),
            };
            let of = layout::tenant_shard(tenant, shard);
            self.activities_of(&of, low, query, &mut page).await?;
            if page.requests.len() >= query.limit {
                page.next = page.requests.last().map(|last| last.accepted.clone());
                break;
            }
        }
        Ok(page)
    }

    /// Adds what one shard has, until the page is full.
    async fn activities_of(
        &self,
        shard: &str,
        low: String,
        query: &ActivityQuery,
        page: &mut ActivityPage,
    ) -> Result<(), StoreError> {
        let high = layout::millis(query.until);
        if low > high {
            return Ok(());
        }
        let mut call = Call {
            index_name: Some("activity"),
            key_condition_expression: Some("ta = :ta AND acc BETWEEN :low AND :high"),
            expression_attribute_values: item([
                (":ta", Some(Value::text(shard))),
                (":low", Some(Value::S(low))),
                (":high", Some(Value::S(high))),
            ]),
            ..self.heads.call()
        };
        while page.requests.len() < query.limit {
            call.limit = Some((query.limit - page.requests.len()).min(ROWS_MAX));
            let answer = self.heads.send("Query", &call).await?;
            for row in &answer.items {
                match activity(row) {
                    Ok(request) => page.requests.push(request),
                    Err(error) => tracing::error!(%error, "a request is left out of a report"),
                }
            }
            call.exclusive_start_key = answer.last_evaluated_key;
            if call.exclusive_start_key.is_none() {
                break;
            }
        }
        Ok(())
    }
}

fn key(row: &Item) -> Option<Key> {
    let reader = Reader(row);
    layout::parse(reader.text("pk").ok()?, reader.text("sk").ok()?)
}

fn id(row: &Item) -> Option<RequestId> {
    key(row).map(|key| key.id)
}

fn activity(row: &Item) -> Result<Activity, Undecodable> {
    let reader = Reader(row);
    let at = layout::moment(reader.text("acc")?);
    let key = key(row).ok_or_else(|| reader.wrong("sk", "is no request's"))?;
    Ok(Activity {
        accepted: Accepted {
            at: at.ok_or_else(|| reader.wrong("acc", "does not begin with a moment"))?,
            key,
        },
        action: reader.text("act")?.to_owned(),
        state: reader.state()?,
        ended_at: reader.moment_if_there("ended")?,
        failed: reader.named("failed")?,
    })
}
