//! What a budget and quotas hold.

use lift_bench::cost::{Estimate, Quota, Stop, Terms, Verdict};

use crate::{near, scenario};

const MIXED: &str = r#"
name: mixed
tokens: { sub: "u-{{ client }}" }
behaviours:
  talker: { weight: 9, messages: [{ action: echo, payload: hello }] }
  worker: { messages: [{ action: process_data, payload: {} }] }
phases:
  - { name: arrive, duration: 1m, connections_per_second: 10 }
  - { name: talk, duration: 10m, messages_per_second: 50 }
"#;

#[test]
fn a_capacity_is_the_inverse_of_a_bill() {
    let scenario = scenario(MIXED);
    let terms = Terms::default();
    let estimate = Estimate::of(&scenario, &terms);
    for budget in [50.0, 500.0, 5_000.0, 500_000.0] {
        let held = estimate.capacity(Some(budget)).budget.unwrap();
        assert!(held.times > 0.0, "{budget}: {held:?}");
        assert!(estimate.bill_of(held.times).usd <= budget, "{held:?}");
        assert!(estimate.bill_of(1.01 * held.times).usd > budget, "{held:?}");
    }
    // The sweeper and the metrics cost this much with no load at all.
    let idle = estimate.bill_of(0.0).usd;
    assert_eq!(estimate.capacity(Some(idle / 2.0)).times, 0.0);
}

#[test]
fn the_first_that_stops_it_is_named() {
    let scenario = scenario(MIXED);
    let mut terms = Terms::default();
    let by_stage = Estimate::of(&scenario, &terms).capacity(None);
    assert_eq!(by_stage.stopped_by, Stop::Quota(Quota::Stage));
    assert!(near(by_stage.times, 20.0), "{by_stage:?}");

    let by_budget = Estimate::of(&scenario, &terms).capacity(Some(500.0));
    assert!(
        matches!(by_budget.stopped_by, Stop::Budget(_)),
        "{by_budget:?}"
    );
    assert!(by_budget.times < 20.0);

    terms.quotas.insert(Quota::Stage, 100_000.0);
    terms.quotas.insert(Quota::Connects, 30.0);
    let by_connects = Estimate::of(&scenario, &terms).capacity(None);
    assert_eq!(by_connects.stopped_by, Stop::Quota(Quota::Connects));
    assert!(near(by_connects.times, 3.0), "{by_connects:?}");
}

#[test]
fn each_quota_is_just_held_at_its_own_multiple() {
    let scenario = scenario(MIXED);
    for quota in Quota::ALL {
        let terms = Terms::default();
        let capacity = Estimate::of(&scenario, &terms).capacity(None);
        let Some((_, times)) = capacity.quotas.iter().find(|(it, _)| it == quota) else {
            continue;
        };
        if !times.is_finite() {
            continue;
        }
        // A load of that multiple is at the limit, which one hundredth more is past.
        let scaled = |times: f64| {
            let mut scaled = scenario.clone();
            for phase in &mut scaled.phases {
                phase.connections_per_second *= times;
                phase.messages_per_second *= times;
            }
            let checks = Estimate::of(&scaled, &terms).checks();
            let check = checks.into_iter().find(|check| check.quota == *quota);
            check.map(|check| check.share).unwrap()
        };
        assert!(
            (0.99..=1.0001).contains(&scaled(*times)),
            "{quota:?}: {}",
            scaled(*times)
        );
        assert!(scaled(times * 1.02) > 1.0, "{quota:?}");
    }
}

#[test]
fn what_no_rate_mends_is_said_apart() {
    let text = "{ name: n, speaks: plain, behaviours: { b: {} },
        phases: [{ name: p, duration: 1s, connections_per_second: 1 }, { name: q, duration: 3h }] }";
    let scenario = scenario(text);
    let terms = Terms::default();
    let capacity = Estimate::of(&scenario, &terms).capacity(None);
    assert_eq!(
        capacity.over_at_any,
        [Quota::OpenSeconds, Quota::IdleSeconds]
    );
    let checks = Estimate::of(&scenario, &terms).checks();
    let over = checks.iter().filter(|check| check.verdict == Verdict::Over);
    assert_eq!(over.count(), 2);
}
