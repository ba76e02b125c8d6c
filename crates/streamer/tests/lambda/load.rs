//! In: a short scenario of `scenarios/aws/`. Out: whether the functions hold its load.

use std::sync::Arc;

use lift_bench::report::{Form, Outcome};
use lift_bench::run::{Means, run};
use lift_bench::scenario::Scenario;

use crate::world::{Setup, World};

const DAY: &str = include_str!("../../../../scenarios/aws/short/mixed.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn people_dashboards_long_work_and_broken_networks_are_answered_without_an_error() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let mut scenario = Scenario::parse(DAY).unwrap();
    // This test's world is the server.
    scenario.server = None;
    let mut means = Means::default();
    means.target = Some(world.url().to_owned());
    means.mint = Some(world.minting());
    let report = run(Arc::new(scenario), means).await.unwrap();
    let shown = report.written(Form::Text);
    assert_eq!(report.verdict.outcome, Outcome::Passed, "{shown}");
    world.stop().await;
}
