//! One suite for every [`TaskStore`]: a way to make empty stores comes in, the names of broken promises go out.
//!
//! ```no_run
//! # async fn suite() {
//! use std::sync::Arc;
//! use lift::task::{conformance, memory::MemoryTasks};
//!
//! conformance::run_all(async || Arc::new(MemoryTasks::default()) as _).await;
//! # }
//! ```

mod accept;
mod activity;
mod find;
mod lease;
mod end;
mod together;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::record::{Idempotency, Key, NewTask, Outcome, Record, ResultAt, State};
use super::store::{ListQuery, Put, TaskStore};
use super::transition::{Applied, Refusal, Transition};
use crate::clock::Timestamp;
use crate::id::{ConnectionId, Owner, RequestId};
use crate::json::Json;

type Store = Arc<dyn TaskStore>;
type Case = fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const LEASE: Duration = Duration::from_secs(15);
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

macro_rules! cases {
    ($($file:ident::$name:ident),* $(,)?) => {
        /// Every case by its name; each wants a store of its own, empty.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($name), |store| Box::pin($file::$name(store)))),*];
    };
}

cases! {
    accept::a_stored_request_reads_back_whole,
    accept::another_owner_finds_nothing,
    accept::a_repeated_put_finds_the_first,
    accept::a_key_is_found_as_a_put_would_find_it,
    accept::an_idempotency_key_lives_as_long_as_its_record,
    accept::the_same_request_is_stored_once,
    accept::a_full_owner_is_refused,
    find::a_list_is_newest_first_in_pages,
    find::a_list_can_be_of_one_state,
    activity::a_tenants_requests_are_read_by_time_in_pages,
    activity::a_request_is_told_as_it_stands,
    activity::what_is_purged_is_read_no_more,
    lease::a_claim_waits_until_the_request_is_due,
    lease::an_expired_lease_can_be_claimed_again,
    lease::a_renewal_keeps_what_it_brings,
    lease::an_old_claim_is_fenced_from_every_write,
    end::a_request_ends_once,
    end::a_large_result_lies_beside_the_record,
    end::a_cancel_ends_what_does_not_run,
    end::a_cancel_asks_what_runs,
    end::a_commit_and_a_cancel_exclude_each_other,
    end::attached_connections_are_compacted,
    lease::a_retry_is_due_after_its_wait,
    lease::a_request_given_back_is_due_and_unharmed,
    lease::a_lost_claim_counts_after_thirty_seconds,
    find::due_requests_come_in_order_and_in_pages,
    find::purge_removes_ended_requests_past_their_time,
    find::a_purge_keeps_a_key_that_was_taken_anew,
    together::one_of_many_claims_wins,
    together::one_of_many_puts_is_stored,
    together::a_full_owner_is_full_for_many_at_once,
    together::a_random_walk_agrees_with_memory,
}

/// Runs every case on a store of its own from `make`.
///
/// # Panics
/// When a case fails, naming all that did.
pub async fn run_all(make: impl AsyncFn() -> Store) {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let mut running = JoinSet::new();
        running.spawn(case(make().await));
        if let Some(Err(error)) = running.join_next().await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases failed: {failed:#?}",
        failed.len(),
        CASES.len()
    );
}

fn owner(user: &str) -> Owner {
    Owner::new("acme", user).expect("the suite's ids are valid")
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("the suite's texts are JSON")
}

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// The nth request of a user, accepted at the nth millisecond.
fn task(user: &str, n: u64) -> NewTask {
    let created_at = START + Duration::from_millis(n);
    NewTask {
        key: Key {
            owner: owner(user),
            id: RequestId::from_parts(created_at, u128::from(n)),
        },
        client_id: Some(format!("c{n}")),
        action: "sum".to_owned(),
        metadata: BTreeMap::from([("trace".to_owned(), "t".to_owned())]),
        input: json(r#"{"rows": [1, 2.50]}"#),
        connection: ConnectionId::new("one="),
        idempotency: None,
        created_at,
        start_after: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        keep: KEEP,
        queued_max: 1000,
    }
}

fn with_key(mut new: NewTask, key: &str, payload_hash: &str) -> NewTask {
    let (key, payload_hash) = (key.to_owned(), payload_hash.to_owned());
    new.idempotency = Some(Idempotency { key, payload_hash });
    new
}

async fn put(store: &Store, new: &NewTask) -> Put {
    store
        .put(new.clone())
        .await
        .expect("the store takes a request")
}

async fn stored(store: &Store, new: &NewTask) -> Key {
    assert!(
        matches!(put(store, new).await, Put::Stored(_)),
        "{:?} is not stored",
        new.key
    );
    new.key.clone()
}

async fn apply(store: &Store, key: &Key, transition: Transition, now: Timestamp) -> Applied {
    let named = format!("{transition:?}");
    let applied = store.apply(key, transition, now).await;
    applied.unwrap_or_else(|error| panic!("{named} of {key:?}: {error}"))
}

async fn done(store: &Store, key: &Key, transition: Transition, now: Timestamp) -> Record {
    let named = format!("{transition:?}");
    match apply(store, key, transition, now).await {
        Applied::Done(record) => {
            assert_eq!(
                read(store, key).await.as_ref(),
                Some(&*record),
                "the image after {named}"
            );
            *record
        }
        other => panic!("{named} at {now:?}: {other:?}"),
    }
}

async fn refused(store: &Store, key: &Key, transition: Transition, now: Timestamp) -> Refusal {
    let (named, before) = (format!("{transition:?}"), read(store, key).await);
    match apply(store, key, transition, now).await {
        Applied::Refused(refusal, record) => {
            assert_eq!(Some(*record), before, "the image that refused {named}");
            assert_eq!(
                read(store, key).await,
                before,
                "a refused {named} changes nothing"
            );
            refusal
        }
        other => panic!("{named} at {now:?}: {other:?}"),
    }
}

async fn read(store: &Store, key: &Key) -> Option<Record> {
    store.get(key).await.expect("the store reads a record")
}

const fn claim() -> Transition {
    Transition::Claim { lease: LEASE }
}

const fn renew(claim: u64) -> Transition {
    Transition::Renew {
        claim,
        lease: LEASE,
        progress: None,
        checkpoint: None,
    }
}

fn checkpoint(claim: u64) -> Transition {
    let checkpoint = Some(json(r#"{"offset":7}"#));
    Transition::Renew {
        claim,
        lease: LEASE,
        progress: None,
        checkpoint,
    }
}

fn finish(claim: u64) -> Transition {
    let outcome = Outcome::Completed(ResultAt::Inline(json("[1,2]")));
    Transition::Finish {
        claim,
        outcome,
        n: 3,
        result: None,
    }
}

fn attach(connection: &str) -> Transition {
    Transition::Attach {
        connection: ConnectionId::new(connection),
    }
}

/// All records of a list, page by page.
async fn listed(store: &Store, user: &str, state: Option<State>, limit: usize) -> Vec<Record> {
    let mut query = ListQuery {
        state,
        before: None,
        limit,
    };
    let mut records = Vec::new();
    loop {
        let page = store
            .list(&owner(user), &query)
            .await
            .expect("the store lists");
        assert!(
            page.records.len() <= limit,
            "a page is longer than asked for"
        );
        records.extend(page.records);
        assert!(
            page.next.is_none() || page.next != query.before,
            "a page that leads nowhere"
        );
        query.before = page.next;
        if query.before.is_none() {
            return records;
        }
    }
}

fn every_fenced_write(claim: u64) -> [Transition; 4] {
    let wait = Duration::ZERO;
    [
        renew(claim),
        Transition::GiveBack { claim },
        Transition::Retry { claim, wait },
        finish(claim),
    ]
}
