//! Scenarios come in; their bills are worked out by hand, and their quotas are known.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bills;
mod capacities;
mod events;
mod files;
mod limits;

use lift_bench::{
    cost::{Check, Estimate, Quota, Terms, Usage},
    scenario::Scenario,
};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

/// How often each sort of event happens in a run, the behaviours' together.
fn events(text: &str, terms: &Terms) -> Vec<(String, f64)> {
    let scenario = scenario(text);
    let estimate = Estimate::of(&scenario, terms);
    let mut events: Vec<(String, f64)> = Vec::new();
    for flow in &estimate.load().flows {
        match events.iter_mut().find(|(name, _)| *name == flow.sort.name) {
            Some((_, times)) => *times += flow.total(),
            None => events.push((flow.sort.name.clone(), flow.total())),
        }
    }
    events.sort_by(|a, b| a.0.cmp(&b.0));
    events
}

/// What a run uses.
fn used(text: &str, terms: &Terms) -> Usage {
    let scenario = scenario(text);
    let estimate = Estimate::of(&scenario, terms);
    Usage::of_run(estimate.load(), &terms.counts, &terms.assumed)
}

fn check(text: &str, terms: &Terms, quota: Quota) -> Option<Check> {
    let scenario = scenario(text);
    let checks = Estimate::of(&scenario, terms).checks();
    checks.into_iter().find(|check| check.quota == quota)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
}
