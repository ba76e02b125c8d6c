//! In: connections as they open and close. Out: the same in the table of connections, and lists of its indexes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{ConnectionId, Owner, TenantId};
use lift::registry::{ConnectionPage, Kept, Registered, Registry, Room};
use lift_aws_client::dynamodb::Client;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::call::{Answer, Call, Select};
use super::item::{Item, Value, item};
use super::reader::Reader;
use super::table::Table;

/// Partitions of one tenant in the index `tenant`: a hot tenant is not one partition.
const SHARDS: u32 = 4;
/// Fewest rows that a query reads, so that rows past their time do not make pages tiny.
const ROWS_MIN: usize = 100;
/// Most rows that a query reads; the page is made of several.
const ROWS_MAX: usize = 1_000;
/// How long a put waits for those before it.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How long a count allows puts: others' puts are not in it.
const ALLOWED_FOR: Duration = Duration::from_secs(60);
/// Users and tenants whose count is remembered.
const ALLOWANCES_MAX: usize = 1_024;

/// A [`Registry`] in DynamoDB. Cheap to clone; clones share what they have counted.
#[derive(Clone, Debug)]
pub struct DynamoRegistry {
    table: Table,
    /// One lock for all puts that have a limit: a Lambda environment has one at a time.
    allowances: Arc<Mutex<Allowances>>,
}

impl DynamoRegistry {
    /// Keeps connections in a table of the shape of `ConnectionsTable` in `deploy/template.yaml`.
    pub fn new(client: Client, table: impl Into<Arc<str>>) -> Self {
        Self {
            table: Table::new(client, table, "connections"),
            allowances: Arc::default(),
        }
    }

    async fn write(&self, connection: &Registered) -> Result<Kept, StoreError> {
        let put = Call {
            item: Some(encode(connection)),
            ..self.table.call()
        };
        self.table.send("PutItem", &put).await?;
        Ok(Kept::Kept)
    }

    async fn read(&self, id: &ConnectionId) -> Result<Option<Registered>, StoreError> {
        let get = Call {
            key: Some(key(id)),
            consistent_read: Some(true),
            ..self.table.call()
        };
        let found = self.table.send("GetItem", &get).await?;
        found.item.map(|item| decode(&item)).transpose()
    }

    /// Whether there is room for one more of `of`.
    async fn has_room(
        &self,
        of: Of<'_>,
        limit: usize,
        allowances: &mut Allowances,
        connection: &Registered,
    ) -> Result<bool, StoreError> {
        let now = connection.connected_at;
        if limit == usize::MAX || allowances.spend(&of.name(), now) {
            return Ok(true);
        }
        let mut there = self.count(of, limit, now).await?;
        if there >= limit && self.replaces(of, connection).await? {
            there = there.saturating_sub(1);
        }
        let free = limit.saturating_sub(there);
        let further = free.min(limit / 10).saturating_sub(1);
        allowances.allow(of.name(), further, now);
        Ok(free > 0)
    }

    /// Whether the count of `of` has this connection in it already.
    async fn replaces(&self, of: Of<'_>, connection: &Registered) -> Result<bool, StoreError> {
        let before = self.read(&connection.id).await?;
        let before = before.filter(|before| before.expires_at > connection.connected_at);
        Ok(before.is_some_and(|before| match of {
            Of::User(owner) => before.owner == *owner,
            Of::Tenant(tenant) => before.owner.tenant == *tenant,
        }))
    }

    /// How many there are, or some number above `limit`.
    async fn count(&self, of: Of<'_>, limit: usize, now: Timestamp) -> Result<usize, StoreError> {
        let mut there = 0_usize;
        for partition in of.partitions(None) {
            let mut query = Call {
                select: Some(Select::Count),
                ..self.query_of(of, partition, None, now)
            };
            loop {
                let rows = self.query(&query).await?;
                there = there.saturating_add(rows.count);
                if there > limit {
                    return Ok(there);
                }
                let Some(last) = rows.last_evaluated_key else {
                    break;
                };
                query.exclusive_start_key = Some(last);
            }
        }
        Ok(there)
    }

    async fn page(
        &self,
        of: Of<'_>,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError> {
        // One more tells whether something follows.
        let wanted = limit.saturating_add(1);
        let mut connections: Vec<Registered> = Vec::new();
        let mut after = after;
        'partitions: for partition in of.partitions(after) {
            let mut query = self.query_of(of, partition, after.take(), now);
            loop {
                let missing = wanted.saturating_sub(connections.len());
                query.limit = Some(missing.clamp(ROWS_MIN, ROWS_MAX));
                let rows = self.query(&query).await?;
                for row in &rows.items {
                    connections.push(decode(row)?);
                }
                if connections.len() >= wanted {
                    break 'partitions;
                }
                let Some(last) = rows.last_evaluated_key else {
                    break;
                };
                query.exclusive_start_key = Some(last);
            }
        }
        let more = connections.len() > limit;
        connections.truncate(limit);
        let last = connections.last().filter(|_| more);
        let next = last.map(|last| last.id.clone());
        Ok(ConnectionPage { connections, next })
    }

    async fn query(&self, query: &Call) -> Result<Answer, StoreError> {
        self.table.send("Query", query).await
    }

    /// What of a partition is not past its time at `now`, and comes after a connection, which may be gone.
    fn query_of(
        &self,
        of: Of<'_>,
        partition: String,
        after: Option<&ConnectionId>,
        now: Timestamp,
    ) -> Call {
        let (index_name, all, rest) = match of {
            Of::User(_) => ("user", "us = :of", "us = :of AND pk > :after"),
            Of::Tenant(_) => ("tenant", "ts = :of", "ts = :of AND pk > :after"),
        };
        Call {
            index_name: Some(index_name),
            key_condition_expression: Some(if after.is_some() { rest } else { all }),
            filter_expression: Some("expires > :now"),
            expression_attribute_values: item([
                (":of", Some(Value::S(partition))),
                (":now", Some(Value::number(now.as_millis()))),
                (":after", after.map(|after| Value::text(after.as_str()))),
            ]),
            ..self.table.call()
        }
    }
}

#[async_trait]
impl Registry for DynamoRegistry {
    async fn put(&self, connection: Registered, room: Room) -> Result<Kept, StoreError> {
        if room == Room::ENDLESS {
            return self.write(&connection).await;
        }
        let turn = timeout(TURN_MAX, self.allowances.lock()).await;
        let mut allowances = turn.map_err(StoreError::unavailable)?;
        let user = Of::User(&connection.owner);
        let tenant = Of::Tenant(&connection.owner.tenant);
        for (of, limit, full) in [
            (user, room.per_user, Kept::UserFull),
            (tenant, room.per_tenant, Kept::TenantFull),
        ] {
            let has_room = self.has_room(of, limit, &mut allowances, &connection);
            if !has_room.await? {
                return Ok(full);
            }
        }
        self.write(&connection).await
    }

    async fn get(
        &self,
        id: &ConnectionId,
        now: Timestamp,
    ) -> Result<Option<Registered>, StoreError> {
        let found = self.read(id).await?;
        Ok(found.filter(|connection| connection.expires_at > now))
    }

    async fn delete(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let delete = Call {
            key: Some(key(id)),
            ..self.table.call()
        };
        self.table.send("DeleteItem", &delete).await?;
        Ok(())
    }

    async fn by_user(
        &self,
        owner: &Owner,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError> {
        self.page(Of::User(owner), after, limit, now).await
    }

    async fn by_tenant(
        &self,
        tenant: &TenantId,
        after: Option<&ConnectionId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ConnectionPage, StoreError> {
        self.page(Of::Tenant(tenant), after, limit, now).await
    }
}

/// Whose connections are meant.
#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    User(&'a Owner),
    Tenant(&'a TenantId),
}

impl Of<'_> {
    /// A tenant's id has no `#`, a user's name here has one.
    fn name(self) -> String {
        match self {
            Self::User(owner) => owner.to_string(),
            Self::Tenant(tenant) => tenant.to_string(),
        }
    }

    /// The index's partitions with what follows `after`, in their order.
    fn partitions(self, after: Option<&ConnectionId>) -> Vec<String> {
        match self {
            Self::User(owner) => vec![owner.to_string()],
            Self::Tenant(tenant) => {
                let first = after.map_or(0, shard);
                let shards = first..SHARDS;
                shards
                    .map(|shard| tenant_partition(tenant, shard))
                    .collect()
            }
        }
    }
}

fn key(id: &ConnectionId) -> Item {
    item([("pk", Value::S(id.as_str().to_owned()))])
}

fn encode(connection: &Registered) -> Item {
    let Registered {
        id,
        owner,
        connected_at,
        expires_at,
    } = connection;
    let partition = tenant_partition(&owner.tenant, shard(id));
    item([
        ("pk", Value::S(id.as_str().to_owned())),
        ("us", Value::S(owner.to_string())),
        ("ts", Value::S(partition)),
        ("connected", Value::number(connected_at.as_millis())),
        ("expires", Value::number(expires_at.as_millis())),
        ("ttl", Value::number(expires_at.as_millis().div_ceil(1_000))),
    ])
}

fn decode(item: &Item) -> Result<Registered, StoreError> {
    let reader = Reader(item);
    let owner = reader.text("us")?.split_once('#');
    let owner = owner.and_then(|(tenant, user)| Owner::new(tenant, user).ok());
    Ok(Registered {
        id: ConnectionId::new(reader.text("pk")?),
        owner: owner.ok_or_else(|| reader.wrong("us", "names no owner"))?,
        connected_at: reader.moment("connected")?,
        expires_at: reader.moment("expires")?,
    })
}

fn tenant_partition(tenant: &TenantId, shard: u32) -> String {
    format!("{tenant}#{shard}")
}

/// A connection's shard, by FNV-1a of its id: stored rows depend on it.
fn shard(id: &ConnectionId) -> u32 {
    let hash = id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % SHARDS
}

/// How many may be put without another count, by user and by tenant.
#[derive(Debug, Default)]
struct Allowances(HashMap<String, Allowance>);

#[derive(Debug)]
struct Allowance {
    left: usize,
    counted_at: Timestamp,
}

impl Allowance {
    fn holds(&self, now: Timestamp) -> bool {
        self.left > 0 && now.since(self.counted_at) < ALLOWED_FOR
    }
}

impl Allowances {
    fn spend(&mut self, of: &str, now: Timestamp) -> bool {
        let found = self.0.get_mut(of);
        let Some(allowance) = found.filter(|allowance| allowance.holds(now)) else {
            return false;
        };
        allowance.left -= 1;
        true
    }

    fn allow(&mut self, of: String, left: usize, now: Timestamp) {
        if left == 0 {
            self.0.remove(&of);
            return;
        }
        if self.0.len() >= ALLOWANCES_MAX {
            self.0.retain(|_, allowance| allowance.holds(now));
        }
        // Who is not remembered is counted again.
        if self.0.len() < ALLOWANCES_MAX || self.0.contains_key(&of) {
            let counted_at = now;
            self.0.insert(of, Allowance { left, counted_at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_ends() {
        let start = Timestamp::from_millis(1_750_000_000_000);
        let mut allowances = Allowances::default();
        for n in 0..10_000 {
            allowances.allow(format!("acme#user{n}"), 1, start);
        }
        assert_eq!(allowances.0.len(), ALLOWANCES_MAX);
        assert!(!allowances.spend("acme#user0", start + ALLOWED_FOR));
        assert!(allowances.spend("acme#user0", start));
        assert!(!allowances.spend("acme#user0", start));
        allowances.allow("acme#late".to_owned(), 1, start + ALLOWED_FOR);
        assert_eq!(allowances.0.len(), 1);
    }

    #[test]
    fn connections_of_a_tenant_lie_in_all_shards_alike() {
        let mut found = [0_u32; 4];
        for n in 0..4_000 {
            let id = ConnectionId::new(format!(
                "c{n:04}=@abc.execute-api.eu-west-1.amazonaws.com/prod"
            ));
            found[shard(&id) as usize] += 1;
        }
        assert!(found.iter().all(|n| (800..1_200).contains(n)), "{found:?}");
    }
}
