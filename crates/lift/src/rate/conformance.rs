//! One suite for every [`Rates`]: a way to make empty ones comes in, the names of broken promises go out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Rate, Rates, Scope};
use crate::clock::Timestamp;
use crate::id::{ConnectionId, Owner};

type Backend = Arc<dyn Rates>;
type Case = fn(Backend) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case by its name; each wants a backend of its own, empty.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($name), |rates| Box::pin($name(rates)))),*];
    };
}

cases! {
    a_burst_passes_and_then_the_rate,
    scopes_do_not_share,
    all_scopes_must_have_room,
    no_more_pass_at_once_than_the_burst,
}

/// Runs every case on a backend of its own from `make`.
///
/// # Panics
/// When a promise is broken; the text names the case.
pub async fn run_all(make: impl AsyncFn() -> Backend) {
    for (name, case) in CASES {
        let mut running = JoinSet::new();
        running.spawn(case(make().await));
        if let Some(Err(broken)) = running.join_next().await {
            panic!("`{name}`: {broken}");
        }
    }
}

fn rate(text: &str) -> Rate {
    text.parse().expect("the suite's rates are rates")
}

fn owner(user: &str) -> Owner {
    Owner::new("acme", user).expect("the suite's ids are valid")
}

async fn passes(rates: &Backend, scopes: &[(Scope, Rate)], millis: u64) -> bool {
    let now = START + Duration::from_millis(millis);
    rates.take(scopes, now).await.expect("take").is_ok()
}

async fn a_burst_passes_and_then_the_rate(rates: Backend) {
    let scopes = [(Scope::User(owner("ann")), rate("1/s:2"))];
    for (millis, expected) in [
        (0, true),
        (0, true),
        (0, false),
        (999, false),
        (1_000, true),
    ] {
        assert_eq!(passes(&rates, &scopes, millis).await, expected, "{millis}");
    }
    let now = START + Duration::from_millis(1_000);
    let wait = rates.take(&scopes, now).await.expect("take");
    assert_eq!(wait, Err(Duration::from_secs(1)));
}

async fn scopes_do_not_share(rates: Backend) {
    let ann = owner("ann");
    for scope in [
        Scope::User(ann.clone()),
        Scope::User(owner("annie")),
        Scope::UserConnects(ann.clone()),
        Scope::Tenant(ann.tenant.clone()),
        Scope::TenantConnects(ann.tenant.clone()),
        Scope::Connection(ConnectionId::new("ann=")),
    ] {
        let scopes = [(scope.clone(), rate("1/s:1"))];
        assert!(passes(&rates, &scopes, 0).await, "{scope:?}");
        assert!(!passes(&rates, &scopes, 0).await, "{scope:?}");
    }
}

async fn all_scopes_must_have_room(rates: Backend) {
    let tenant = owner("ann").tenant;
    let both = |user: &str| {
        [
            (Scope::User(owner(user)), rate("10/s:2")),
            (Scope::Tenant(tenant.clone()), rate("10/s:3")),
        ]
    };
    for (user, expected) in [
        ("ann", true),
        ("ann", true),
        ("ann", false),
        ("bob", true),
        ("bob", false),
    ] {
        assert_eq!(passes(&rates, &both(user), 0).await, expected, "{user}");
    }
}

async fn no_more_pass_at_once_than_the_burst(rates: Backend) {
    let mut taking = JoinSet::new();
    for _ in 0..100 {
        let rates = Arc::clone(&rates);
        let scopes = [(Scope::User(owner("ann")), rate("1/s:7"))];
        taking.spawn(async move { passes(&rates, &scopes, 0).await });
    }
    let passed = taking.join_all().await;
    assert_eq!(passed.iter().filter(|passed| **passed).count(), 7);
}
