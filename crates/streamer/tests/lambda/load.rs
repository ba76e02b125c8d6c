//! In: the short scenarios of `scenarios/aws/`. Out: whether the functions hold them, also while their processors are killed.

use std::sync::Arc;
use std::time::Duration;

use lift_bench::report::{Form, Outcome};
use lift_bench::run::{Means, run};
use lift_bench::scenario::Scenario;
use tokio::time::{Instant, interval_at};

use crate::world::{Setup, World};

/// The server of a scenario is this test's world.
async fn put(world: &World, scenario: &str) {
    let path = format!(
        "{}/../../scenarios/aws/short/{scenario}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut scenario = Scenario::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    scenario.server = None;
    for phase in &mut scenario.phases {
        phase.faults.clear();
    }
    let mut means = Means::default();
    means.target = Some(world.url().to_owned());
    means.mint = Some(world.minting());
    let report = run(Arc::new(scenario), means).await.unwrap();
    let shown = report.written(Form::Text);
    assert_eq!(report.verdict.outcome, Outcome::Passed, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_dashboards_long_work_and_broken_networks_are_answered_without_an_error() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    put(&world, "mixed").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_ends_once_while_all_processors_are_killed_every_other_second() {
    let fast = Setup {
        speed: 60,
        ..Setup::default()
    };
    let Some(world) = World::start(fast).await else {
        return;
    };
    let (every, mut killed) = (Duration::from_secs(2), 0);
    let mut kills = interval_at(Instant::now() + every, every);
    let killing = async {
        loop {
            kills.tick().await;
            killed += world.kill("processor");
        }
    };
    tokio::select! {
        () = put(&world, "workers") => {}
        () = killing => {}
    }
    assert_ne!(killed, 0);
    world.stop().await;
}
