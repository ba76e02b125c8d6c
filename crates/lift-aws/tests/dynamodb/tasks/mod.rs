//! In: requests and their transitions. Out: whether DynamoDB keeps them as the rules say, and at what cost.

mod suite;
mod clocks;
mod cost;
mod faults;
mod items;

use std::collections::BTreeMap;
use std::time::Duration;

use lift::clock::Timestamp;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Outcome, Record, ResultAt};
use lift::task::store::{Put, TaskStore as _};
use lift::task::transition::{Applied, Transition};
use lift_aws::dynamodb::tasks::DynamoTasks;
use lift_dev::dynamodb::Client;

use crate::relay::Relay;
use crate::support::relayed;
use crate::tables::table;

const LEASE: Duration = Duration::from_secs(15);
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

/// A store behind a relay, with its tables' names and a client that goes around the relay.
struct Relayed {
    relay: Relay,
    tasks: DynamoTasks,
    through: Client,
    direct: Client,
    requests: String,
    bodies: String,
}

impl Relayed {
    async fn new() -> Option<Self> {
        let (relay, through, direct) = relayed().await?;
        let requests = table(&direct, "RequestsTable").await;
        let bodies = table(&direct, "BodiesTable").await;
        Some(Self {
            tasks: DynamoTasks::new(through.clone(), &requests, &bodies),
            relay,
            through,
            direct,
            requests,
            bodies,
        })
    }

    async fn stored(&self, new: &NewTask) -> Key {
        let put = self.tasks.put(new.clone()).await.unwrap();
        assert!(matches!(put, Put::Stored(_)), "{put:?}");
        new.key.clone()
    }

    async fn done(&self, key: &Key, transition: Transition, now: Timestamp) -> Record {
        match self.tasks.apply(key, transition, now).await.unwrap() {
            Applied::Done(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    /// A request that is stored and claimed.
    async fn running(&self, n: u64) -> Key {
        let key = self.stored(&task(n)).await;
        self.done(&key, claim(), at(1)).await;
        key
    }
}

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

/// JSON of more bytes than lie in a head.
fn large() -> Json {
    json(&format!("\"{}\"", "x".repeat(5 * 1024)))
}

fn task(n: u64) -> NewTask {
    NewTask {
        key: Key {
            owner: Owner::new("acme", "ann").unwrap(),
            id: RequestId::from_parts(START, u128::from(n)),
        },
        client_id: Some(format!("c{n}")),
        action: "sum".to_owned(),
        metadata: BTreeMap::new(),
        input: json("[1,2]"),
        connection: ConnectionId::new("one="),
        idempotency: None,
        created_at: START,
        start_after: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        keep: Duration::from_secs(7 * 24 * 3600),
        queued_max: 1000,
    }
}

fn with_key(n: u64) -> NewTask {
    let (key, payload_hash) = (format!("k{n}"), "h".to_owned());
    NewTask {
        idempotency: Some(Idempotency { key, payload_hash }),
        ..task(n)
    }
}

const fn claim() -> Transition {
    Transition::Claim { lease: LEASE }
}

fn finish(claim: u64) -> Transition {
    Transition::Finish {
        claim,
        outcome: Outcome::Completed(ResultAt::Inline(json("3"))),
        n: 1,
        result: None,
    }
}

fn finish_beside(claim: u64) -> Transition {
    Transition::Finish {
        claim,
        outcome: Outcome::Completed(ResultAt::Beside),
        n: 1,
        result: Some(large()),
    }
}

fn attach(connection: &str) -> Transition {
    Transition::Attach {
        connection: ConnectionId::new(connection),
    }
}
