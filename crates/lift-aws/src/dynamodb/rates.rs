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
use tokio::time::timeout;

use super::call::Call;
use super::item::{Value, item};
use super::reader::Reader;
use super::table::{Table, Written};

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

/// What is known of a scope without its row.
#[derive(Debug, Default)]
enum Lease {
    /// Nothing.
    #[default]
    Unknown,
    /// Tokens that were taken from the row and are not spent.
    Tokens { left: u32, taken_at: Timestamp },
    /// The row had none, and only time brings any.
    Empty { until: Timestamp },
}

impl Lease {
    /// Takes one without the row, or knows how long to wait, or knows nothing.
    fn take(&mut self, rate: Rate, now: Timestamp) -> Option<Result<(), Duration>> {
        match self {
            Self::Tokens { left, taken_at } if is_valid(*left, *taken_at, now) => {
                *left -= 1;
                Some(Ok(()))
            }
            Self::Empty { until } => {
                let wait = until.since(now);
                // A longer one is of a clock that was set back, or of another rate.
                let interval = Duration::from_nanos(rate.interval_ns());
                (!wait.is_zero() && wait <= interval).then_some(Err(wait))
            }
            Self::Unknown | Self::Tokens { .. } => None,
        }
    }

    fn is_worth_keeping(&self, now: Timestamp) -> bool {
        match self {
            Self::Unknown => false,
            Self::Tokens { left, taken_at } => is_valid(*left, *taken_at, now),
            Self::Empty { until } => *until > now,
        }
    }
}

fn is_valid(left: u32, taken_at: Timestamp, now: Timestamp) -> bool {
    // Takes that meet here have read their clocks in any order.
    let apart = now.since(taken_at).max(taken_at.since(now));
    left > 0 && apart < LEASED_FOR
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
            table: Table::new(client, table, "rates"),
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
        if let Some(known) = lease.take(rate, now) {
            return Ok(known);
        }
        let taken = self.take_from_row(&key_of(scope), most, rate, now).await?;
        *lease = match taken {
            Ok(tokens) => Lease::Tokens {
                left: tokens.get() - 1,
                taken_at: now,
            },
            Err(wait) => Lease::Empty { until: now + wait },
        };
        Ok(taken.map(|_tokens| ()))
    }

    /// The scope's lease, or none where too many others have one.
    fn lease_of(&self, scope: &Scope, now: Timestamp) -> Option<Leased> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leased) = leases.get(scope) {
            return Some(Arc::clone(leased));
        }
        if leases.len() >= LEASES_MAX {
            // One that is locked is in use.
            leases.retain(|_, leased| {
                let lease = leased.try_lock();
                lease.map_or(true, |lease| lease.is_worth_keeping(now))
            });
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
        let moment = self.table.moment(now);
        for _ in 0..ROUNDS_MAX {
            let now = moment.get();
            let Err(seen) = self.write(key, &change, rate, now).await? else {
                let (Change::Add(tokens) | Change::Set { tokens, .. }) = change;
                return Ok(Ok(tokens));
            };
            let now = moment.get();
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
        let update = update(self.table.call(), key, change, rate, now);
        match self.table.write("UpdateItem", update).await? {
            Written::Done(_) => Ok(Ok(())),
            Written::Failed(item) => {
                let seen = item.map(|item| Reader(&item).number("f")).transpose()?;
                Ok(Err(seen.map(FullAt)))
            }
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

fn update(call: Call, key: &str, change: &Change, rate: Rate, now: Timestamp) -> Call {
    let FullAt(now) = nanos(now);
    let empty = now.saturating_add(rate.depth_ns());
    let ttl = empty.div_ceil(1_000_000_000) + ROW_SLACK_SECONDS;
    let (update_expression, condition_expression, values) = match change {
        Change::Add(tokens) => {
            let taken = rate.interval_ns().saturating_mul(u64::from(tokens.get()));
            let values = item([
                (":taken", Value::number(taken)),
                (":now", Value::number(now)),
                (":latest", Value::number(empty.saturating_sub(taken))),
                (":ttl", Value::number(ttl)),
            ]);
            let update = "SET f = f + :taken, #ttl = :ttl";
            (update, "f >= :now AND f <= :latest", values)
        }
        Change::Set { seen, next, .. } => {
            let mut values = item([
                (":next", Value::number(next.0)),
                (":ttl", Value::number(ttl)),
            ]);
            let condition = match seen {
                Some(seen) => {
                    values.insert(":seen".to_owned(), Value::number(seen.0));
                    "f = :seen"
                }
                None => "attribute_not_exists(f)",
            };
            ("SET f = :next, #ttl = :ttl", condition, values)
        }
    };
    Call {
        key: Some(item([("pk", Value::text(key))])),
        update_expression: Some(update_expression.to_owned()),
        condition_expression: Some(condition_expression.to_owned()),
        // `ttl` is a reserved word.
        expression_attribute_names: BTreeMap::from([("#ttl".to_owned(), "ttl".to_owned())]),
        expression_attribute_values: values,
        ..call
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

#[cfg(test)]
mod tests {
    use lift::id::ConnectionId;
    use lift_aws_client::sigv4::Credentials;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

    #[test]
    fn scopes_are_remembered_up_to_a_limit_and_while_they_matter() {
        let credentials = Credentials {
            access_key: String::new(),
            secret_key: String::new(),
            session_token: None,
        };
        let client = Client::new("http://127.0.0.1:1", "eu-west-1", credentials).unwrap();
        let rates = DynamoRates::new(client, "rates");
        let lease_of = |n: usize, now| {
            let scope = Scope::Connection(ConnectionId::new(format!("c{n}=")));
            rates.lease_of(&scope, now)
        };
        let remembered = || rates.leases.lock().unwrap().len();
        for n in 0..LEASES_MAX {
            let leased = lease_of(n, START).unwrap();
            *leased.try_lock().unwrap() = match n % 2 {
                0 => Lease::Tokens {
                    left: 1,
                    taken_at: START,
                },
                _ => Lease::Empty {
                    until: START + LEASED_FOR,
                },
            };
        }
        assert!(lease_of(LEASES_MAX, START).is_none());
        assert!(lease_of(0, START).is_some());
        assert_eq!(remembered(), LEASES_MAX);
        let used = lease_of(0, START).unwrap();
        let _use = used.try_lock().unwrap();
        assert!(lease_of(LEASES_MAX, START + LEASED_FOR).is_some());
        assert_eq!(remembered(), 2, "the one in use, and the new one");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting_for_longer_than_the_rate_does() {
        let rate: Rate = "10/s:5".parse().unwrap();
        let mut lease = Lease::Empty {
            until: START + Duration::from_millis(100),
        };
        for (back, expected) in [(0, Some(Err(Duration::from_millis(100)))), (1, None)] {
            let now = START - Duration::from_millis(back);
            assert_eq!(lease.take(rate, now), expected);
        }
    }
}
