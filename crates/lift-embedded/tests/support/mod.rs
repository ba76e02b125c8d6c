//! Requests and transitions for the tests: numbers come in, calls on a store go out.

use std::collections::BTreeMap;
use std::time::Duration;

use lift::clock::Timestamp;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Outcome, ResultAt};
use lift::task::transition::Transition;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
pub(crate) const LEASE: Duration = Duration::from_secs(15);

pub(crate) fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

pub(crate) fn owner() -> Owner {
    Owner::new("acme", "ann").unwrap()
}

/// The nth request, with an idempotency key and a payload of its own.
pub(crate) fn task(n: u64) -> NewTask {
    NewTask {
        key: Key {
            owner: owner(),
            id: RequestId::from_parts(START, u128::from(n)),
        },
        client_id: Some(format!("c{n}")),
        action: "sum".to_owned(),
        metadata: BTreeMap::new(),
        input: Json::parse(format!("{{\"n\":{n}}}")).unwrap(),
        connection: ConnectionId::new("one="),
        idempotency: Some(Idempotency {
            key: format!("k{n}"),
            payload_hash: "h".to_owned(),
        }),
        created_at: START,
        start_after: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        keep: Duration::from_secs(7 * 24 * 3600),
        queued_max: usize::MAX,
    }
}

pub(crate) fn claim() -> Transition {
    Transition::Claim { lease: LEASE }
}

/// Ends a request with a result beside the record.
pub(crate) fn finish(claim: u64, n: u64) -> Transition {
    let result = Some(Json::parse(format!("{{\"sum\":{n}}}")).unwrap());
    Transition::Finish {
        claim,
        outcome: Outcome::Completed(ResultAt::Beside),
        n: 1,
        result,
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: impl std::error::Error) -> String {
    lift::error::chain(&error)
}
