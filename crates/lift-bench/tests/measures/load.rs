//! A scenario and a server come in, the report of a run, and what it counted, go out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lift_bench::{
    report::Report,
    run::{self, Error, Means},
    scenario::Scenario,
};

use crate::server::Server;

/// Longest time of any run here.
const RUN_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn scenario(text: &str) -> Scenario {
    Scenario::parse(text).unwrap_or_else(|problem| panic!("{problem} in:\n{text}"))
}

pub(crate) async fn run(text: &str, means: Means) -> Result<Report, Error> {
    let running = run::run(Arc::new(scenario(text)), means);
    tokio::time::timeout(RUN_WITHIN, running)
        .await
        .expect("a run ends")
}

pub(crate) fn at(url: &str) -> Means {
    let mut means = Means::default();
    means.target = Some(url.to_owned());
    means
}

pub(crate) async fn load(text: &str, server: &Server) -> Report {
    run(text, at(&server.url)).await.unwrap()
}

/// What was counted, without what was not.
pub(crate) fn counted(counts: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let counted = counts.iter().filter(|(_, number)| **number > 0);
    counted
        .map(|(name, number)| (name.as_str(), *number))
        .collect()
}

/// Clients arrive, and then send to a plain server: 15 clients a second, for 200 ms; none of what a busy machine does
/// to a run makes it invalid.
pub(crate) fn plain(behaviour: &str, talk: &str, limits: &str) -> String {
    format!(
        "
name: plain
speaks: plain
behaviours:
  talker: {behaviour}
phases:
  - {{ name: arrive, duration: 200ms, connections_per_second: 15 }}
  - {{ name: settle, duration: 1s }}
  - {talk}
limits: {{ lag: 1m, cpu: 100%, {limits} }}
"
    )
}

/// Three clients that send ten messages each in half a second, by turns, and do not wait for each other's answers.
pub(crate) const IDS: &str = "{ in_flight: 50, messages: [{ text: 'm {{ id }}' }] }";
pub(crate) const THIRTY: &str = "{ name: talk, duration: 500ms, messages_per_second: 60 }";
