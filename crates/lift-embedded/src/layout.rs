//! The store's keys: names of records come in, bytes go out, as `docs/store-layout.md` has them.

use lift::clock::Timestamp;
use lift::id::{Owner, RequestId, TenantId};
use lift::task::record::Key;
use lift::task::store::Accepted;
use serde::{Deserialize, Serialize};

/// First byte of a record's key.
pub(crate) const HEAD: u8 = b'h';
/// First byte of a payload's or result's key.
const BODY: u8 = b'b';
/// First byte of an idempotency row's key.
pub(crate) const IDEMPOTENCY: u8 = b'k';
/// First byte of an activity row's key.
pub(crate) const ACTIVITY: u8 = b'a';
/// First byte of an expiry row's key.
const EXPIRY: u8 = b'e';

/// The row that holds the number of the last commit, eight bytes big-endian.
pub(crate) const COMMIT: &[u8] = b"mcommit";

/// The length of a request id in a key.
const ID_BYTES: usize = 16;

/// Longest action or idempotency key that fits into a row's key.
pub(crate) const NAME_BYTES_MAX: usize = 16 * 1024;

/// Which of the two bodies of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    Input,
    Result,
}

/// What an idempotency row holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) id: RequestId,
    pub(crate) payload_hash: String,
    pub(crate) expires_at: Timestamp,
}

fn of_owner(kind: u8, owner: &Owner) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(owner.tenant.as_str().as_bytes());
    key.push(b'#');
    key.extend_from_slice(owner.user.as_str().as_bytes());
    key.push(b'#');
    key
}

pub(crate) fn head(key: &Key) -> Vec<u8> {
    let mut row = of_owner(HEAD, &key.owner);
    row.extend_from_slice(&key.id.to_bytes());
    row
}

/// The keys of one owner's records, from the oldest possible to `before`, which is left out.
pub(crate) fn heads_of(owner: &Owner, before: Option<RequestId>) -> (Vec<u8>, Vec<u8>) {
    let prefix = of_owner(HEAD, owner);
    let mut end = prefix.clone();
    match before {
        Some(id) => end.extend_from_slice(&id.to_bytes()),
        // One byte longer than any id, so that even the highest id lies below.
        None => end.extend_from_slice(&[u8::MAX; ID_BYTES + 1]),
    }
    (prefix, end)
}

/// The record that a head row's key names.
pub(crate) fn parse_head(row: &[u8]) -> Option<Key> {
    let (owner, id) = row.strip_prefix(&[HEAD])?.split_last_chunk::<ID_BYTES>()?;
    let owner = std::str::from_utf8(owner).ok()?.strip_suffix('#')?;
    let (tenant, user) = owner.split_once('#')?;
    Some(Key {
        owner: Owner::new(tenant, user).ok()?,
        id: RequestId::from_bytes(*id),
    })
}

pub(crate) fn body(key: &Key, which: Body) -> Vec<u8> {
    let mut row = of_owner(BODY, &key.owner);
    row.extend_from_slice(&key.id.to_bytes());
    row.push(match which {
        Body::Input => b'i',
        Body::Result => b'o',
    });
    row
}

/// The key of an idempotency row, unless a name is longer than [`NAME_BYTES_MAX`].
pub(crate) fn idempotency(owner: &Owner, action: &str, key: &str) -> Option<Vec<u8>> {
    if action.len() > NAME_BYTES_MAX || key.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut row = of_owner(IDEMPOTENCY, owner);
    row.extend_from_slice(&u16::try_from(action.len()).ok()?.to_be_bytes());
    row.extend_from_slice(action.as_bytes());
    row.extend_from_slice(key.as_bytes());
    Some(row)
}

fn of_tenant(kind: u8, tenant: &TenantId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(tenant.as_str().as_bytes());
    key.push(b'#');
    key
}

/// The key of the row that says when a request of a tenant was accepted.
pub(crate) fn activity(accepted: &Accepted) -> Vec<u8> {
    let owner = &accepted.key.owner;
    let mut row = of_tenant(ACTIVITY, &owner.tenant);
    row.extend_from_slice(&accepted.at.as_millis().to_be_bytes());
    row.extend_from_slice(&accepted.key.id.to_bytes());
    row.extend_from_slice(owner.user.as_str().as_bytes());
    row
}

/// The keys of a tenant's activity rows from `from` on and before `until`.
pub(crate) fn activities(
    tenant: &TenantId,
    from: Timestamp,
    until: Timestamp,
) -> (Vec<u8>, Vec<u8>) {
    let at = |time: Timestamp| {
        let mut row = of_tenant(ACTIVITY, tenant);
        row.extend_from_slice(&time.as_millis().to_be_bytes());
        row
    };
    (at(from), at(until))
}

/// The place that an activity row's key names.
pub(crate) fn parse_activity(row: &[u8]) -> Option<Accepted> {
    let row = row.strip_prefix(&[ACTIVITY])?;
    let end = row.iter().position(|byte| *byte == b'#')?;
    let (tenant, rest) = row.split_at_checked(end)?;
    let (at, rest) = rest.get(1..)?.split_first_chunk::<8>()?;
    let (id, user) = rest.split_first_chunk::<ID_BYTES>()?;
    let (tenant, user) = (
        std::str::from_utf8(tenant).ok()?,
        std::str::from_utf8(user).ok()?,
    );
    Some(Accepted {
        at: Timestamp::from_millis(u64::from_be_bytes(*at)),
        key: Key {
            owner: Owner::new(tenant, user).ok()?,
            id: RequestId::from_bytes(*id),
        },
    })
}

/// The key of the row that says when the row `target` may go.
pub(crate) fn expiry(at: Timestamp, target: &[u8]) -> Vec<u8> {
    let mut row = vec![EXPIRY];
    row.extend_from_slice(&at.as_millis().to_be_bytes());
    row.extend_from_slice(target);
    row
}

/// All expiry rows, the earliest first.
pub(crate) const fn expiries() -> [u8; 1] {
    [EXPIRY]
}

/// The time and the target of an expiry row's key.
pub(crate) fn parse_expiry(row: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (at, target) = row.strip_prefix(&[EXPIRY])?.split_first_chunk::<8>()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(*at)), target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, user: &str, id: [u8; 16]) -> Key {
        Key {
            owner: Owner::new(tenant, user).unwrap(),
            id: RequestId::from_bytes(id),
        }
    }

    #[test]
    fn a_head_key_is_what_the_layout_page_says_and_reads_back() {
        let key = key("acme", "ann", [7; 16]);
        let row = head(&key);
        assert_eq!(row, [b"hacme#ann#".as_slice(), &[7; 16]].concat());
        assert_eq!(parse_head(&row), Some(key));
        assert_eq!(parse_head(b"hacme#ann"), None);
    }

    #[test]
    fn one_owners_range_holds_every_id_and_no_other_owner() {
        let (low, high) = heads_of(&Owner::new("a", "b").unwrap(), None);
        let inside = |key: &Key| (low.as_slice()..high.as_slice()).contains(&head(key).as_slice());
        assert!(inside(&key("a", "b", [0; 16])) && inside(&key("a", "b", [255; 16])));
        for other in [
            key("a", "bb", [0; 16]),
            key("aa", "b", [1; 16]),
            key("a", "a", [255; 16]),
        ] {
            assert!(!inside(&other), "{other:?}");
        }
    }

    #[test]
    fn action_and_key_of_an_idempotency_row_cannot_run_into_each_other() {
        let owner = Owner::new("a", "b").unwrap();
        assert_ne!(
            idempotency(&owner, "x", "yz"),
            idempotency(&owner, "xy", "z")
        );
        assert_eq!(
            idempotency(&owner, "x", &"y".repeat(NAME_BYTES_MAX + 1)),
            None
        );
    }

    #[test]
    fn an_activity_key_is_what_the_layout_page_says_and_reads_back() {
        let at = Timestamp::from_millis(258);
        let key = key("acme", "ann", [b'#'; 16]);
        let accepted = Accepted { at, key };
        let row = activity(&accepted);
        let expected = [
            b"aacme#".as_slice(),
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[b'#'; 16],
            b"ann",
        ];
        assert_eq!(row, expected.concat());
        assert_eq!(parse_activity(&row), Some(accepted));
        assert_eq!(parse_activity(b"aacme#ann"), None);
    }

    #[test]
    fn expiry_rows_sort_by_time() {
        let early = expiry(Timestamp::from_millis(255), b"hz");
        let late = expiry(Timestamp::from_millis(256), b"ha");
        assert!(early < late);
        assert_eq!(
            parse_expiry(&late),
            Some((Timestamp::from_millis(256), b"ha".as_slice()))
        );
    }
}
