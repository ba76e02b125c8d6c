//! A seed comes in, a run of clients, workers and faults under paused time follows; every promise that it breaks comes out.
//!
//! `LIFT_SIMULATION_SEED=17 cargo test -p lift-ws --test simulation one_seed -- --nocapture` runs
//! one seed alone and prints what happened.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod dice;
mod plan;
mod ledger;
mod store;
mod gateway;
mod app;
mod world;
mod client;
mod check;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plan::{Fencing, Plan};

const SEEDS: u64 = 1_000;

/// Everything that one seed's run broke.
fn check(plan: Plan) -> Vec<String> {
    world::run(plan).0
}

#[test]
fn every_promise_is_kept_for_a_thousand_seeds() {
    // Each run has a clock of its own, and so a thread of its own.
    let next = AtomicU64::new(0);
    let run = || {
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return broken;
            }
            let violations = check(Plan::of(seed, Fencing::On));
            if !violations.is_empty() {
                broken.push(format!("LIFT_SIMULATION_SEED={seed}: {violations:#?}"));
            }
        }
    };
    let broken: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a run panicked"))
            .collect()
    });
    assert!(
        broken.is_empty(),
        "{} seeds: {}",
        broken.len(),
        broken.join("\n")
    );
}

/// The checks are worth something only if they see a store that lets any worker write.
#[test]
fn a_lease_without_fencing_is_found() {
    let found = (0..SEEDS).find(|seed| !check(Plan::of(*seed, Fencing::Off)).is_empty());
    let seed = found.expect("a thousand seeds do not see that a lease is not fenced");
    println!("seed {seed}: {:#?}", check(Plan::of(seed, Fencing::Off)));
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [3, 4, 5] {
        let run = || world::run(Plan::of(seed, Fencing::On).logged()).1;
        assert_eq!(run(), run(), "seed {seed}");
    }
}

#[test]
fn one_seed() {
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
    let Ok(seed) = std::env::var("LIFT_SIMULATION_SEED") else {
        return;
    };
    let seed: u64 = seed.parse().expect("a seed is a number");
    let plan = Plan::of(seed, Fencing::On).logged();
    println!("{plan:#?}");
    let (violations, log) = world::run(plan);
    println!("{}", log.join("\n"));
    assert!(violations.is_empty(), "{violations:#?}");
}
