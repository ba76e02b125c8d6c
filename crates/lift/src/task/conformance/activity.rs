//! What a tenant did: records come in, those of a time go out, each once.

use std::time::Duration;

use super::{KEEP, START, Store, at, claim, done, stored, task};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{Owner, TenantId};
use crate::task::record::{NewTask, Outcome, State};
use crate::task::store::{Activity, ActivityQuery};
use crate::task::transition::Transition;

/// All of a tenant's requests of a time, page by page, in the order of their places.
pub(super) async fn of(
    store: &Store,
    tenant: &str,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Vec<Activity> {
    let tenant: TenantId = tenant.parse().expect("the suite's ids are valid");
    let mut query = ActivityQuery {
        from,
        until,
        after: None,
        limit,
    };
    let mut requests = Vec::new();
    loop {
        let page = store.activity(&tenant, &query).await.expect("activity");
        assert!(
            page.requests.len() <= limit,
            "a page is longer than asked for"
        );
        requests.extend(page.requests);
        assert!(
            page.next.is_none() || page.next != query.after,
            "a page that leads nowhere"
        );
        query.after = page.next;
        if query.after.is_none() {
            requests.sort_by(|a: &Activity, b| a.accepted.cmp(&b.accepted));
            return requests;
        }
    }
}

fn of_tenant(tenant: &str, user: &str, n: u64) -> NewTask {
    let mut new = task(user, n);
    new.key.owner = Owner::new(tenant, user).expect("the suite's ids are valid");
    new
}

pub(super) async fn a_tenants_requests_are_read_by_time_in_pages(store: Store) {
    let mut expected = Vec::new();
    for n in 0..24 {
        let user = if n % 3 == 0 { "ann" } else { "bob" };
        let mut new = of_tenant("acme", user, n);
        // Several at one moment, and an id that was made before its request was accepted.
        new.created_at = at(n / 4);
        stored(&store, &new).await;
        expected.push(Activity::of(&new.record()));
        for other in ["acm", "acme2", "acme|", "zzz"] {
            stored(&store, &of_tenant(other, user, n)).await;
        }
    }
    expected.sort_by(|a, b| a.accepted.cmp(&b.accepted));
    for (from, until) in [(0, 6), (0, 1), (2, 4), (5, 900), (3, 3), (6, 900)] {
        let expected: Vec<Activity> = expected
            .iter()
            .filter(|request| (at(from)..at(until)).contains(&request.accepted.at))
            .cloned()
            .collect();
        for limit in [1, 5, 1_000] {
            let found = of(&store, "acme", at(from), at(until), limit).await;
            assert_eq!(
                found, expected,
                "from {from} until {until} in pages of {limit}"
            );
        }
    }
}

pub(super) async fn a_request_is_told_as_it_stands(store: Store) {
    let key = stored(&store, &task("ann", 1)).await;
    let told = async || {
        let mut found = of(&store, "acme", START, at(1), 10).await;
        let one = found.pop().expect("it is there");
        assert_eq!(found, [], "and nothing else");
        (one.state, one.ended_at, one.failed)
    };
    assert_eq!(told().await, (State::Queued, None, None));
    done(&store, &key, claim(), at(2)).await;
    assert_eq!(told().await, (State::Running, None, None));
    let error = Error::invalid("/payload", "is wrong").into_body();
    let failed = Some(error.code);
    let end = Transition::Finish {
        claim: 1,
        outcome: Outcome::Failed(error),
        n: 1,
        result: None,
    };
    done(&store, &key, end, at(3)).await;
    assert_eq!(told().await, (State::Failed, Some(at(3)), failed));
}

pub(super) async fn what_is_purged_is_read_no_more(store: Store) {
    for n in 0..6 {
        let key = stored(&store, &task("ann", n)).await;
        if n % 2 == 0 {
            done(&store, &key, Transition::Cancel, at(1)).await;
        }
    }
    let late = START + KEEP + Duration::from_secs(1);
    assert_eq!(store.purge(late, 100).await.expect("purge"), 3);
    let left = of(&store, "acme", START, at(1), 2).await;
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.iter().all(|request| request.state == State::Queued));
    let again = of_tenant("acme", "ann", 0);
    stored(&store, &again).await;
    assert_eq!(of(&store, "acme", START, at(1), 2).await.len(), 4);
}
