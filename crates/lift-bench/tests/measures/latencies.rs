//! Servers that answer late at known times come in; the latencies that follow from their own log come out.

use std::time::{Duration, Instant};

use lift_bench::{
    plan::{Part, Plan, What},
    report::{Latency, Report, latency},
};

use crate::{
    load::{load, plain, scenario},
    server::{Do, Logged, Rules, Server, id_of},
};

pub(crate) fn of<'a>(report: &'a Report, name: &str) -> &'a Latency {
    &report.total.latencies[name]
}

/// The nearest rank, as a histogram has it.
pub(crate) fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is a small number"
    )]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// How long each message took from when it was due, by the server's log alone: clients take turns in the order of
/// their numbers, and the message that came earliest after its time came at once.
fn by_the_log(text: &str, clients: u64, log: &[Logged]) -> Vec<Duration> {
    let plan = Plan::new(&scenario(text), Part::WHOLE);
    let planned: Vec<Duration> = plan
        .filter(|due| matches!(due.what, What::Message { .. }))
        .map(|due| due.at)
        .collect();
    let due = |client: u64, seq: u32| {
        let number = (u64::from(seq) - 1) * clients + client;
        planned[usize::try_from(number).unwrap()]
    };
    let dues: Vec<Duration> = log
        .iter()
        .map(|logged| id_of(&logged.text).unwrap())
        .map(|(client, seq)| due(client, seq))
        .collect();
    let began: Instant = log
        .iter()
        .zip(&dues)
        .map(|(logged, due)| logged.came - *due)
        .min()
        .unwrap();
    let took = log
        .iter()
        .zip(&dues)
        .map(|(logged, due)| logged.left.unwrap() - began - *due);
    let mut took: Vec<Duration> = took.collect();
    took.sort();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_of_two_seconds_is_in_the_corrected_latency_and_hardly_in_the_other() {
    let server = Server::start(Rules::echo().stall(Duration::from_secs(2), Duration::from_secs(2)));
    let text = plain(
        "{ messages: [{ text: '{{ id }}' }] }",
        "{ name: talk, duration: 6s, messages_per_second: 200 }",
        "drain: 10s",
    )
    .replace("connections_per_second: 15", "connections_per_second: 40");
    let report = load(&text, &server).await;
    let (corrected, uncorrected) = (
        of(&report, latency::REPLY),
        of(&report, latency::REPLY_UNCORRECTED),
    );
    assert_eq!((corrected.count, uncorrected.count), (1200, 1200));
    // A third of the messages were due in the stall, evenly: 1 % of all waited for all of it but 60 ms.
    assert!(
        (1_850_000..2_100_000).contains(&corrected.p99_us),
        "{corrected:?}"
    );
    // Eight clients had one message under way each, 0.7 % of all.
    assert!(uncorrected.p99_us < 500_000, "{uncorrected:?}");
    assert!(uncorrected.max_us > 1_900_000, "{uncorrected:?}");

    let took = by_the_log(&text, 8, &server.log());
    for (percent, ours) in [
        (50.0, corrected.p50_us),
        (90.0, corrected.p90_us),
        (95.0, corrected.p95_us),
        (99.0, corrected.p99_us),
    ] {
        let (ours, log) = (Duration::from_micros(ours), percentile(&took, percent));
        // The answer's way back, the first message's way there, and 0.1 % of the histogram: within 20 ms.
        assert!(
            ours.abs_diff(log) < Duration::from_millis(20),
            "p{percent}: {ours:?}, and {log:?} by the server's log"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_at_even_times_counts_from_them() {
    let server =
        Server::start(Rules::echo().stall(Duration::from_millis(500), Duration::from_millis(1000)));
    let steps = "[connect, { repeat: { times: 300, every: 10ms, steps: [{ send: { text: '{{ id }}' } }] } }]";
    let text = plain(
        &format!("{{ steps: {steps} }}"),
        "{ name: rest, duration: 1s }",
        "drain: 10s",
    )
    .replace("connections_per_second: 15", "connections_per_second: 5");
    let report = load(&text, &server).await;
    let (corrected, uncorrected) = (
        of(&report, latency::REPLY),
        of(&report, latency::REPLY_UNCORRECTED),
    );
    assert_eq!(corrected.count, 300);
    // A hundred were due in the stall, ten milliseconds apart; one was under way.
    assert!(
        (900_000..1_100_000).contains(&corrected.p99_us),
        "{corrected:?}"
    );
    assert!(uncorrected.p99_us < 500_000, "{uncorrected:?}");
    let waited = corrected
        .curve
        .iter()
        .find(|(percent, _)| *percent == 85.0)
        .unwrap()
        .1;
    // 15 % of 300 are 45: the 45th of the hundred waited for half a second.
    assert!((450_000..650_000).contains(&waited), "{corrected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_own_timers_are_no_latency_of_the_server() {
    let server = Server::start(Rules::echo());
    for step in [
        "repeat: { times: 100, every: 7ms, steps: [SEND] }",
        "repeat: { times: 100, steps: [{ think: 7ms }, SEND] }",
    ] {
        let step = step.replace("SEND", "{ send: { text: '{{ id }}' } }");
        let text = plain(
            &format!("{{ steps: [connect, {{ {step} }}] }}"),
            "{ name: rest, duration: 1s }",
            "drain: 10s",
        )
        .replace("connections_per_second: 15", "connections_per_second: 5");
        let report = load(&text, &server).await;
        let (corrected, uncorrected) = (
            of(&report, latency::REPLY),
            of(&report, latency::REPLY_UNCORRECTED),
        );
        assert_eq!(corrected.count, 100);
        // Between a timer's end and the message's way out is nothing that takes half a millisecond.
        let more = corrected.p50_us.saturating_sub(uncorrected.p50_us);
        assert!(
            more < 300,
            "{more} us more than {} us, with {step}",
            uncorrected.p50_us
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_a_cut_keeps_a_client_away_is_no_time_to_reconnect() {
    let server = Server::start(Rules::new(|_, _| vec![Do::Break]));
    let cut = "{ name: cut, duration: 1s, faults: [{ cut: { offline: 600ms } }] }";
    let report = load(&plain("{}", cut, "drain: 5s"), &server).await;
    let reconnect = of(&report, latency::RECONNECT);
    assert_eq!(reconnect.count, 3);
    assert!(reconnect.max_us < 400_000, "{reconnect:?}");
}
