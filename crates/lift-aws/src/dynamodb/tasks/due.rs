//! In: the time. Out: what a worker or the sweeper should look at, from all shards of the index.

use futures_util::future::try_join_all;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::record::Key;
use lift::task::store::Due;

use super::{DynamoTasks, change, layout};
use crate::dynamodb::call::Call;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::{Reader, Undecodable};
use crate::dynamodb::table::{Table, Written};

/// Rows that one page of a shard asks for at least and at most.
const PAGE: (usize, usize) = (8, 1_000);
/// Pages of one shard that are read for one answer.
const PAGES_MAX: usize = 16;

/// A request that the index of due requests holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// A worker should look at it.
    Due(Due),
    /// It was cancelled before it ran, and perhaps nobody was told: to tell it is to post its terminal
    /// message and then call [`DynamoTasks::posted`].
    Unposted(Key),
}

impl DynamoTasks {
    /// What the index of due requests holds up to `now`, the longest due first in each of its 16 shards,
    /// at most `limit_per_shard` of each: what a sweeper reads.
    ///
    /// # Errors
    /// When DynamoDB is away or the table is not as it should be.
    pub async fn waiting(
        &self,
        now: Timestamp,
        limit_per_shard: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        let until = layout::behind(&layout::millis(now));
        self.shards(String::new(), until, limit_per_shard, Some)
            .await
    }

    /// Notes that the end of a request was posted, so that the sweeper does not post it again.
    ///
    /// # Errors
    /// When DynamoDB is away or the table is not as it should be.
    pub async fn posted(&self, key: &Key) -> Result<(), StoreError> {
        let call = change::posted().call(Call {
            key: Some(layout::head(key)),
            ..self.heads.call()
        });
        match self.heads.write("UpdateItem", call).await? {
            // It lives, or it is gone: there is nothing to note.
            Written::Done(_) | Written::Failed(_) => Ok(()),
        }
    }

    pub(super) async fn due_by(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let from = after.map(|after| layout::behind(&layout::due(after.at, &after.key)));
        let until = layout::behind(&layout::millis(now));
        let shards = self.shards(from.unwrap_or_default(), until, limit, due);
        let mut found = shards.await?;
        found.sort();
        found.truncate(limit);
        Ok(found)
    }

    pub(super) async fn first_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let ever = layout::behind(&layout::millis(Timestamp::from_millis(u64::MAX)));
        let firsts = self.shards(String::new(), ever, 1, due).await?;
        Ok(firsts.iter().map(|due| due.at).min())
    }

    async fn shards<T>(
        &self,
        from: String,
        until: String,
        limit: usize,
        wanted: fn(Waiting) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        // A range has a first key, which may not be empty.
        let from = if from.is_empty() {
            "0".to_owned()
        } else {
            from
        };
        if limit == 0 || from > until {
            return Ok(Vec::new());
        }
        let shards = (0..layout::DUE_SHARDS).map(|shard| {
            let call = Call {
                index_name: Some("due"),
                key_condition_expression: Some("sh = :sh AND due BETWEEN :from AND :until"),
                expression_attribute_values: item([
                    (":sh", Some(Value::S(layout::shard_name(shard)))),
                    (":from", Some(Value::text(&from))),
                    (":until", Some(Value::text(&until))),
                ]),
                limit: Some(limit.clamp(PAGE.0, PAGE.1)),
                ..self.heads.call()
            };
            read(&self.heads, call, limit, wanted)
        });
        let found = try_join_all(shards).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

fn due(waiting: Waiting) -> Option<Due> {
    match waiting {
        Waiting::Due(due) => Some(due),
        Waiting::Unposted(_) => None,
    }
}

async fn read<T>(
    heads: &Table,
    mut call: Call,
    limit: usize,
    wanted: fn(Waiting) -> Option<T>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let answer = heads.send("Query", &call).await?;
        for row in &answer.items {
            match waiting(row) {
                Ok(waiting) => found.extend(wanted(waiting)),
                Err(error) => tracing::error!(%error, "a due request is left out"),
            }
        }
        call.exclusive_start_key = answer.last_evaluated_key;
        if found.len() >= limit || call.exclusive_start_key.is_none() {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

fn waiting(row: &Item) -> Result<Waiting, Undecodable> {
    let reader = Reader(row);
    let key = layout::parse(reader.text("pk")?, reader.text("sk")?);
    let key = key.ok_or_else(|| reader.wrong("sk", "is no request's"))?;
    if reader.state()?.is_terminal() {
        return Ok(Waiting::Unposted(key));
    }
    let at = layout::moment(reader.text("due")?);
    let at = at.ok_or_else(|| reader.wrong("due", "does not begin with a moment"))?;
    let deadline_at = match reader.flag("committed")? {
        true => Timestamp::from_millis(u64::MAX),
        false => reader.moment("deadline")?,
    };
    Ok(Waiting::Due(Due {
        at,
        key,
        deadline_at,
    }))
}
