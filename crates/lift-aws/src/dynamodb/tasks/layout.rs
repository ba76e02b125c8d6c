//! In: requests. Out: the keys under which they, their bodies and their indexes lie.
//!
//! `#` is in no tenant, user or action and sorts before every character that is, so that texts of several
//! parts sort as their parts do. `docs/dynamodb-layout.md` has them all.

use lift::clock::Timestamp;
use lift::id::{Owner, RequestId, TenantId};
use lift::task::record::{Idempotency, Key};
use lift::task::store::Accepted;

use crate::dynamodb::item::{Item, Value, item};

/// Shards of the index of due requests.
pub(super) const DUE_SHARDS: u8 = 16;
/// Shards of a tenant in the index of what it did.
pub(super) const ACTIVITY_SHARDS: u8 = 4;
/// The last moment that 13 digits can say, in the year 2286.
const MILLIS_MAX: u64 = 9_999_999_999_999;
const DIGITS: usize = 13;
/// Sorts behind `#`, before whatever may follow a complete key.
const BEHIND: char = '$';
/// The sort key of a request's payload.
pub(super) const INPUT: &str = "in";
/// Sort keys between these are results.
pub(super) const RESULTS: (&str, &str) = ("out#", "out$");

/// Sorts behind all ids and before all idempotency rows.
pub(super) const BEHIND_IDS: &str = "8";

/// The key of a request's head.
pub(super) fn head(key: &Key) -> Item {
    item([
        ("pk", Some(Value::text(key.owner.to_string()))),
        ("sk", Some(Value::text(key.id.to_string()))),
    ])
}

/// The key of an idempotency row; an action has no `#`.
pub(super) fn idempotency(owner: &Owner, action: &str, idempotency: &Idempotency) -> Item {
    item([
        ("pk", Some(Value::text(owner.to_string()))),
        (
            "sk",
            Some(Value::text(format!("I#{action}#{}", idempotency.key))),
        ),
    ])
}

/// The key of a body.
pub(super) fn body(id: RequestId, sort: &str) -> Item {
    item([
        ("pk", Some(Value::text(id.to_string()))),
        ("sk", Some(Value::text(sort))),
    ])
}

/// The sort key of what a claim resulted in; a later claim's sorts later.
pub(super) fn result(claim: u64) -> String {
    format!("{}{claim:020}", RESULTS.0)
}

/// A moment, so that texts sort by time.
pub(super) fn millis(at: Timestamp) -> String {
    format!("{:013}", at.as_millis().min(MILLIS_MAX))
}

/// The end of a range that has all of a moment's requests, or all after one request's key.
pub(super) fn behind(text: &str) -> String {
    format!("{text}{BEHIND}")
}

/// A time to live, which DynamoDB has in seconds: not before the moment.
pub(super) fn seconds(at: Timestamp) -> Value {
    Value::number(at.as_millis().div_ceil(1000))
}

/// The sort key in the index of due requests: its order is that of `Due`.
pub(super) fn due(at: Timestamp, key: &Key) -> String {
    format!("{}#{}#{}", millis(at), key.owner, key.id)
}

/// The shard of the index of due requests: the id's last bits are random.
pub(super) fn due_shard(id: RequestId) -> String {
    shard_name(last(id) % DUE_SHARDS)
}

/// A shard by its number.
pub(super) fn shard_name(shard: u8) -> String {
    format!("{shard:x}")
}

/// The partition of the index of what tenants did.
pub(super) fn tenant_shard(tenant: &TenantId, shard: u8) -> String {
    format!("{tenant}#{shard}")
}

/// Its shard for a request.
pub(super) fn activity_shard(id: RequestId) -> u8 {
    last(id) % ACTIVITY_SHARDS
}

/// The sort key in the index of what tenants did.
pub(super) fn accepted(accepted: &Accepted) -> String {
    let Accepted { at, key } = accepted;
    format!("{}#{}#{}", millis(*at), key.owner.user, key.id)
}

/// The moment at the head of a sort key.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let digits = text.get(..DIGITS)?;
    digits.parse().ok().map(Timestamp::from_millis)
}

/// The request of a head's key.
pub(super) fn parse(pk: &str, sk: &str) -> Option<Key> {
    let (tenant, user) = pk.split_once('#')?;
    Some(Key {
        owner: Owner::new(tenant, user).ok()?,
        id: sk.parse().ok()?,
    })
}

fn last(id: RequestId) -> u8 {
    let [.., last] = id.to_bytes();
    last
}
