//! In: scopes, their rates and the time. Out: room or a wait, from one row a scope and leases of it.
//!
//! A row has when the scope's bucket is full again. Tokens are taken by adding to it while it lies
//! between now and the bucket's depth, so that many at once do not undo each other.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::rate::{FullAt, Rate, Rates, Scope, take_up_to};
use lift_aws_client::dynamodb::Client;
use serde::Serialize;
use tokio::time::timeout;

use super::item::{Item, Value, item, number};
use super::table::{Done, Found, Table, unavailable};

/// How long leased tokens may be spent.
const LEASED_FOR: Duration = Duration::from_secs(1);
/// This part of a burst is leased at once.
const LEASE_OF_BURST: u32 = 8;
/// Scopes whose leases are kept here; one beyond them takes single tokens.
const LEASES_MAX: usize = 4_096;
/// How often a write that others overtook is tried again.
const ROUNDS_MAX: u32 = 16;
/// How long it may take to take from all scopes.
const TAKE_MAX: Duration = Duration::from_secs(5);
/// How long a row that says nothing any more is kept.
const ROW_SLACK_SECONDS: u64 = 60;

/// [`Rates`] in DynamoDB. Cheap to clone; clones share their leases.
#[derive(Clone, Debug)]
pub struct DynamoRates {
    table: Table,
    leases: Arc<Mutex<HashMap<Scope, Leased>>>,
}

/// A scope's lease; who waits for it waits for the one call that renews it.
type Leased = Arc<tokio::sync::Mutex<Lease>>;

/// Tokens that were taken from the row and are not spent.
#[derive(Debug, Default)]
struct Lease {
    left: u32,
    taken_at: Timestamp,
}

impl Lease {
    fn holds(&self, now: Timestamp) -> bool {
        // Takes that meet here have read their clocks in any order.
        let apart = now.since(self.taken_at).max(self.taken_at.since(now));
        self.left > 0 && apart < LEASED_FOR
    }
}

/// Others took from the scope in each of so many rounds.
#[derive(Debug, thiserror::Error)]
#[error("others took from the scope in each of {ROUNDS_MAX} rounds")]
struct Overtaken;

/// What is written to a scope's row, and under which condition.
enum Change {
    /// The bucket has room for them, whatever others take before.
    Add(NonZeroU32),
    /// The row is absent or of the past: it must still be so.
    Set {
        seen: Option<FullAt>,
        next: FullAt,
        tokens: NonZeroU32,
    },
}

impl DynamoRates {
    /// Keeps buckets in a table of the shape of `RatesTable` in `deploy/template.yaml`.
    pub fn new(client: Client, table: impl Into<Arc<str>>) -> Self {
        Self {
            table: Table::new(client, table),
            leases: Arc::default(),
        }
    }

    async fn take_one(
        &self,
        scope: &Scope,
        rate: Rate,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, StoreError> {
        let (leased, most) = match self.lease_of(scope, now) {
            Some(leased) => (leased, lease_size(rate)),
            None => (Leased::default(), NonZeroU32::MIN),
        };
        let mut lease = leased.lock().await;
        if lease.holds(now) {
            lease.left -= 1;
            return Ok(Ok(()));
        }
        let taken = self.take_from_row(&key_of(scope), most, rate, now).await?;
        Ok(taken.map(|taken| {
            *lease = Lease {
                left: taken.get() - 1,
                taken_at: now,
            };
        }))
    }

    /// The scope's lease, or none where too many others have one.
    fn lease_of(&self, scope: &Scope, now: Timestamp) -> Option<Leased> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leased) = leases.get(scope) {
            return Some(Arc::clone(leased));
        }
        if leases.len() >= LEASES_MAX {
            // One that is locked is in use.
            leases.retain(|_, leased| leased.try_lock().map_or(true, |lease| lease.holds(now)));
        }
        if leases.len() >= LEASES_MAX {
            return None;
        }
        let leased = Leased::default();
        leases.insert(scope.clone(), Arc::clone(&leased));
        Some(leased)
    }

    /// Takes up to `most` tokens from the scope's row.
    async fn take_from_row(
        &self,
        key: &str,
        most: NonZeroU32,
        rate: Rate,
        now: Timestamp,
    ) -> Result<Result<NonZeroU32, Duration>, StoreError> {
        let mut change = Change::Add(most);
        for _ in 0..ROUNDS_MAX {
            let Err(seen) = self.write(key, &change, rate, now).await? else {
                let (Change::Add(tokens) | Change::Set { tokens, .. }) = change;
                return Ok(Ok(tokens));
            };
            let full_at = seen.unwrap_or_default();
            let (next, tokens) = match take_up_to(most, full_at, rate, now) {
                Ok(taken) => taken,
                Err(wait) => return Ok(Err(wait)),
            };
            change = match seen.filter(|seen| *seen >= nanos(now)) {
                Some(_) => Change::Add(tokens),
                None => Change::Set { seen, next, tokens },
            };
        }
        Err(StoreError::unavailable(Overtaken))
    }

    /// Changes the row, or gives what it has where the condition fails.
    async fn write(
        &self,
        key: &str,
        change: &Change,
        rate: Rate,
        now: Timestamp,
    ) -> Result<Result<(), Option<FullAt>>, StoreError> {
        let update = Update::new(key, change, rate, now);
        match self.table.call("UpdateItem", &update).await {
            Ok(Done {}) => Ok(Ok(())),
            Err(error) => match error.refusal() {
                Some(refusal) if error.is("ConditionalCheckFailedException") => {
                    let found = serde_json::from_slice(&refusal.body);
                    let Found { item } = found.map_err(StoreError::unavailable)?;
                    let seen = item.map(|item| number(&item, "f")).transpose();
                    let seen = seen.map_err(StoreError::corrupt)?;
                    Ok(Err(seen.map(FullAt)))
                }
                _ => Err(unavailable(error)),
            },
        }
    }
}

#[async_trait]
impl Rates for DynamoRates {
    async fn take(
        &self,
        scopes: &[(Scope, Rate)],
        now: Timestamp,
    ) -> Result<Result<(), Duration>, StoreError> {
        let all = async {
            for (scope, rate) in scopes {
                if let Err(wait) = self.take_one(scope, *rate, now).await? {
                    return Ok(Err(wait));
                }
            }
            Ok(Ok(()))
        };
        timeout(TAKE_MAX, all)
            .await
            .map_err(StoreError::unavailable)?
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    key: Item,
    update_expression: &'static str,
    condition_expression: &'static str,
    /// `ttl` is a reserved word.
    expression_attribute_names: BTreeMap<&'static str, &'static str>,
    expression_attribute_values: Item,
    return_values_on_condition_check_failure: &'static str,
}

impl Update {
    fn new(key: &str, change: &Change, rate: Rate, now: Timestamp) -> Self {
        let FullAt(now) = nanos(now);
        let empty = now.saturating_add(rate.depth_ns());
        let ttl = empty.div_ceil(1_000_000_000) + ROW_SLACK_SECONDS;
        let (update_expression, condition_expression, values) = match change {
            Change::Add(tokens) => {
                let taken = rate.interval_ns().saturating_mul(u64::from(tokens.get()));
                let values = item([
                    (":taken", Value::n(taken)),
                    (":now", Value::n(now)),
                    (":latest", Value::n(empty.saturating_sub(taken))),
                    (":ttl", Value::n(ttl)),
                ]);
                let update = "SET f = f + :taken, #ttl = :ttl";
                (update, "f >= :now AND f <= :latest", values)
            }
            Change::Set { seen, next, .. } => {
                let mut values = item([(":next", Value::n(next.0)), (":ttl", Value::n(ttl))]);
                let condition = match seen {
                    Some(seen) => {
                        values.insert(":seen".to_owned(), Value::n(seen.0));
                        "f = :seen"
                    }
                    None => "attribute_not_exists(f)",
                };
                ("SET f = :next, #ttl = :ttl", condition, values)
            }
        };
        Self {
            key: item([("pk", Value::S(key.to_owned()))]),
            update_expression,
            condition_expression,
            expression_attribute_names: BTreeMap::from([("#ttl", "ttl")]),
            expression_attribute_values: values,
            return_values_on_condition_check_failure: "ALL_OLD",
        }
    }
}

fn lease_size(rate: Rate) -> NonZeroU32 {
    NonZeroU32::new(rate.burst.get() / LEASE_OF_BURST).unwrap_or(NonZeroU32::MIN)
}

fn nanos(now: Timestamp) -> FullAt {
    FullAt(now.as_millis().saturating_mul(1_000_000))
}

/// Kinds differ up to the first `#`, tenant and user at the second, which neither has.
fn key_of(scope: &Scope) -> String {
    match scope {
        Scope::Connection(id) => format!("connection#{}", id.as_str()),
        Scope::User(owner) => format!("user#{owner}"),
        Scope::Tenant(tenant) => format!("tenant#{tenant}"),
        Scope::UserConnects(owner) => format!("user-connects#{owner}"),
        Scope::TenantConnects(tenant) => format!("tenant-connects#{tenant}"),
    }
}
