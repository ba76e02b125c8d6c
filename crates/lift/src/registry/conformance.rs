//! One suite for every [`Registry`](super::Registry): a way to make empty registries comes in, the names of broken promises go out.
//!
//! ```no_run
//! # async fn suite() {
//! use lift::registry::{Connections, conformance, memory::MemoryRegistry};
//!
//! conformance::run_all(async || Connections::new(MemoryRegistry::default())).await;
//! # }
//! ```

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{ConnectionPage, Connections, Kept, Registered, Room};
use crate::clock::Timestamp;
use crate::id::{ConnectionId, Owner, TenantId};

type Case = fn(Connections) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
const LIVES_FOR: Duration = Duration::from_secs(4 * 3600);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case by its name; each wants a registry of its own, empty.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($name), |registry| Box::pin($name(registry)))),*];
    };
}

cases! {
    a_connection_reads_back_whole_until_it_is_deleted,
    a_second_put_replaces_the_first,
    a_connection_past_its_time_to_live_counts_as_gone,
    a_user_finds_their_own_connections_alone,
    a_tenant_finds_the_connections_of_its_users_alone,
    pages_together_are_the_whole_list,
    pages_go_on_after_a_connection_that_is_gone,
    many_at_once_all_arrive,
    a_user_and_a_tenant_have_so_many_and_no_more,
    no_more_than_there_is_room_for_at_once,
}

/// Runs every case on a registry of its own from `make`.
///
/// # Panics
/// When a promise is broken; the text names the case.
pub async fn run_all(make: impl AsyncFn() -> Connections) {
    for (name, case) in CASES {
        let mut running = JoinSet::new();
        running.spawn(case(make().await));
        if let Some(Err(broken)) = running.join_next().await {
            panic!("`{name}`: {broken}");
        }
    }
}

fn owner(tenant: &str, user: &str) -> Owner {
    Owner::new(tenant, user).expect("both are well-shaped ids")
}

fn tenant(name: &str) -> TenantId {
    name.parse().expect("a well-shaped id")
}

fn connection(id: &str, tenant: &str, user: &str) -> Registered {
    Registered {
        id: ConnectionId::new(id),
        owner: owner(tenant, user),
        connected_at: START,
        expires_at: START + LIVES_FOR,
    }
}

async fn put(registry: &Connections, connection: &Registered) {
    let kept = registry.put(connection.clone(), Room::ENDLESS).await;
    assert_eq!(kept.expect("put"), Kept::Kept);
}

async fn get(registry: &Connections, id: &str, now: Timestamp) -> Option<Registered> {
    registry
        .get(&ConnectionId::new(id), now)
        .await
        .expect("get")
}

/// Whose connections a list is of.
#[derive(Clone, Copy)]
enum Of<'a> {
    User(&'a str, &'a str),
    Tenant(&'a str),
}

async fn page(
    registry: &Connections,
    of: Of<'_>,
    after: Option<&ConnectionId>,
    limit: usize,
    now: Timestamp,
) -> ConnectionPage {
    let page = match of {
        Of::User(of_tenant, user) => {
            let owner = owner(of_tenant, user);
            registry.by_user(&owner, after, limit, now).await
        }
        Of::Tenant(name) => registry.by_tenant(&tenant(name), after, limit, now).await,
    };
    page.expect("list")
}

/// The ids of a whole list, read in pages of `limit`.
async fn ids(registry: &Connections, of: Of<'_>, limit: usize, now: Timestamp) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = page(registry, of, after.as_ref(), limit, now).await;
        assert!(page.connections.len() <= limit, "a page of at most {limit}");
        ids.extend(
            page.connections
                .iter()
                .map(|found| found.id.as_str().to_owned()),
        );
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// The same in any order: a backend chooses its own, as long as its pages keep it.
async fn check(registry: &Connections, of: Of<'_>, now: Timestamp, expected: &[&str]) {
    let mut found = ids(registry, of, 100, now).await;
    found.sort_unstable();
    assert_eq!(found, expected);
}

async fn a_connection_reads_back_whole_until_it_is_deleted(registry: Connections) {
    let one = connection("a=", "acme", "ann");
    assert_eq!(get(&registry, "a=", START).await, None);
    put(&registry, &one).await;
    put(&registry, &connection("b=", "acme", "ann")).await;
    assert_eq!(get(&registry, "a=", START).await, Some(one.clone()));
    for _ in 0..2 {
        registry.delete(&one.id).await.expect("delete");
        assert_eq!(get(&registry, "a=", START).await, None);
    }
    check(&registry, Of::User("acme", "ann"), START, &["b="]).await;
    check(&registry, Of::Tenant("acme"), START, &["b="]).await;
}

async fn a_second_put_replaces_the_first(registry: Connections) {
    put(&registry, &connection("a=", "acme", "ann")).await;
    let second = connection("a=", "other", "bob");
    put(&registry, &second).await;
    assert_eq!(get(&registry, "a=", START).await, Some(second));
    check(&registry, Of::User("acme", "ann"), START, &[]).await;
    check(&registry, Of::Tenant("acme"), START, &[]).await;
    check(&registry, Of::User("other", "bob"), START, &["a="]).await;
    check(&registry, Of::Tenant("other"), START, &["a="]).await;
}

async fn a_connection_past_its_time_to_live_counts_as_gone(registry: Connections) {
    let mut short = connection("a=", "acme", "ann");
    short.expires_at = START + Duration::from_secs(60);
    put(&registry, &short).await;
    put(&registry, &connection("b=", "acme", "ann")).await;
    let alive = START + Duration::from_millis(59_999);
    assert_eq!(get(&registry, "a=", alive).await, Some(short));
    check(&registry, Of::User("acme", "ann"), alive, &["a=", "b="]).await;
    let late = START + Duration::from_secs(60);
    assert_eq!(get(&registry, "a=", late).await, None);
    check(&registry, Of::User("acme", "ann"), late, &["b="]).await;
    check(&registry, Of::Tenant("acme"), late, &["b="]).await;
}

/// Tenants and users whose names run into each other where they are only put side by side.
async fn neighbours(registry: &Connections) {
    for (id, of_tenant, user) in [
        ("a=", "acme", "ann"),
        ("b=", "acme", "annie"),
        ("c=", "acmea", "nn"),
        ("d=", "acme", "ann"),
        ("e=", "ann", "acme"),
        ("f=", "ac", "meann"),
    ] {
        put(registry, &connection(id, of_tenant, user)).await;
    }
}

async fn a_user_finds_their_own_connections_alone(registry: Connections) {
    neighbours(&registry).await;
    check(&registry, Of::User("acme", "ann"), START, &["a=", "d="]).await;
    check(&registry, Of::User("acme", "annie"), START, &["b="]).await;
    check(&registry, Of::User("acmea", "nn"), START, &["c="]).await;
    check(&registry, Of::User("ann", "ann"), START, &[]).await;
}

async fn a_tenant_finds_the_connections_of_its_users_alone(registry: Connections) {
    neighbours(&registry).await;
    check(&registry, Of::Tenant("acme"), START, &["a=", "b=", "d="]).await;
    check(&registry, Of::Tenant("acmea"), START, &["c="]).await;
    check(&registry, Of::Tenant("ac"), START, &["f="]).await;
    check(&registry, Of::Tenant("nobody"), START, &[]).await;
}

async fn many(registry: &Connections, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let id = format!("c{n:04}=");
        put(registry, &connection(&id, "acme", "ann")).await;
        put(registry, &connection(&format!("o{n:04}="), "acme", "bob")).await;
        ids.push(id);
    }
    ids
}

async fn pages_together_are_the_whole_list(registry: Connections) {
    let expected = many(&registry, 23).await;
    for limit in [1, 5, 22, 23, 24] {
        let mut found = ids(&registry, Of::User("acme", "ann"), limit, START).await;
        found.sort_unstable();
        assert_eq!(found, expected, "in pages of {limit}");
        let all = ids(&registry, Of::Tenant("acme"), limit, START).await;
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (46, 46), "in pages of {limit}");
    }
}

async fn pages_go_on_after_a_connection_that_is_gone(registry: Connections) {
    let expected = many(&registry, 9).await;
    for of in [Of::User("acme", "ann"), Of::Tenant("acme")] {
        let first = page(&registry, of, None, 3, START).await;
        let next = first.next.expect("there are more than three");
        registry.delete(&next).await.expect("delete");
        let rest = page(&registry, of, Some(&next), 100, START).await;
        assert_eq!(rest.next, None);
        let all = match of {
            Of::User(..) => expected.len(),
            Of::Tenant(_) => expected.len() * 2 - 1,
        };
        assert_eq!(first.connections.len() + rest.connections.len(), all);
    }
}

async fn a_user_and_a_tenant_have_so_many_and_no_more(registry: Connections) {
    let room = Room {
        per_user: 2,
        per_tenant: 3,
    };
    for (id, of_tenant, user, expected) in [
        ("a=", "acme", "ann", Kept::Kept),
        ("b=", "acme", "ann", Kept::Kept),
        ("c=", "acme", "ann", Kept::UserFull),
        ("a=", "acme", "ann", Kept::Kept),
        ("d=", "acme", "bob", Kept::Kept),
        ("e=", "acme", "bob", Kept::TenantFull),
        ("f=", "other", "ann", Kept::Kept),
    ] {
        let one = connection(id, of_tenant, user);
        let kept = registry.put(one, room).await.expect("put");
        assert_eq!(kept, expected, "{id}");
    }
    check(&registry, Of::Tenant("acme"), START, &["a=", "b=", "d="]).await;
    registry
        .delete(&ConnectionId::new("a="))
        .await
        .expect("delete");
    let kept = registry.put(connection("c=", "acme", "ann"), room).await;
    assert_eq!(kept.expect("put"), Kept::Kept);
}

async fn no_more_than_there_is_room_for_at_once(registry: Connections) {
    let room = Room {
        per_user: 5,
        per_tenant: 100,
    };
    let mut putting = JoinSet::new();
    for n in 0..40 {
        let registry = registry.clone();
        putting.spawn(async move {
            let one = connection(&format!("c{n:02}="), "acme", "ann");
            registry.put(one, room).await.expect("put")
        });
    }
    let kept = putting.join_all().await;
    assert_eq!(kept.iter().filter(|kept| **kept == Kept::Kept).count(), 5);
}

async fn many_at_once_all_arrive(registry: Connections) {
    let mut putting = JoinSet::new();
    for n in 0..64 {
        let registry = registry.clone();
        putting.spawn(async move {
            let one = connection(&format!("c{n:02}="), "acme", &format!("user{}", n % 4));
            put(&registry, &one).await;
            if n % 2 == 1 {
                registry.delete(&one.id).await.expect("delete");
            }
        });
    }
    putting.join_all().await;
    let found = ids(&registry, Of::Tenant("acme"), 10, START).await;
    let even: Vec<String> = (0..64).step_by(2).map(|n| format!("c{n:02}=")).collect();
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(even));
}
