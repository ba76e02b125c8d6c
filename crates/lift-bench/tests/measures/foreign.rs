//! A server and a client that are not ours, npm `ws`, come in; that they measure what a run measures comes out.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use lift_bench::{
    plan::{Part, Plan, What},
    report::latency,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::{
    latencies::{of, percentile},
    load::{at, plain, run, scenario},
    server::id_of,
};

/// Messages a second of either client, for how long, on how many connections.
const RATE: u32 = 100;
const SECONDS: u32 = 5;
const CONNECTIONS: u32 = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign")
}

fn node(script: &str) -> Command {
    assert!(
        folder().join("node_modules/ws").exists(),
        "npm `ws` is missing in tests/foreign; install it with `npm ci --prefix tests/foreign`"
    );
    let mut node = Command::new("node");
    node.arg(script)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    node
}

/// What the server logged of one text, in nanoseconds of its own clock.
struct Logged {
    client: u64,
    seq: u32,
    came: u64,
    left: u64,
}

struct Echo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Echo {
    async fn start(waits: &[&str]) -> Self {
        let mut child = node("ws_echo.mjs").args(waits).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).await.unwrap();
        let port = line.trim().strip_prefix("listening ").unwrap();
        let url = format!("ws://127.0.0.1:{port}/");
        Self { child, stdout, url }
    }

    /// What it logged of our own texts.
    async fn log(mut self) -> Vec<Logged> {
        drop(self.child.stdin.take());
        let mut log = String::new();
        self.stdout.read_to_string(&mut log).await.unwrap();
        assert!(self.child.wait().await.unwrap().success());
        let logged = |line: &str| {
            let (client, seq) = id_of(line)?;
            let mut times = line.split(' ').map(|time| time.parse().unwrap());
            Some(Logged {
                client,
                seq,
                came: times.next().unwrap(),
                left: times.next().unwrap(),
            })
        };
        log.lines().filter_map(logged).collect()
    }
}

fn sorted(nanos: impl Iterator<Item = u64>) -> Vec<Duration> {
    let mut all: Vec<_> = nanos.map(Duration::from_nanos).collect();
    all.sort();
    all
}

/// What a log says, sorted.
struct Times {
    /// How long the server kept each text.
    kept: Vec<Duration>,
    /// How long after its time each came,
    late: Vec<Duration>,
    /// and left.
    since_due: Vec<Duration>,
}

impl Times {
    fn of(log: &[Logged], text: &str) -> Self {
        let kept = sorted(log.iter().map(|logged| logged.left - logged.came));
        let planned: Vec<u64> = Plan::new(&scenario(text), Part::WHOLE)
            .filter(|due| matches!(due.what, What::Message { .. }))
            .map(|due| u64::try_from(due.at.as_nanos()).unwrap())
            .collect();
        let due = |logged: &Logged| {
            let number = u64::from(logged.seq - 1) * u64::from(CONNECTIONS) + logged.client;
            planned[usize::try_from(number).unwrap()]
        };
        let began = log
            .iter()
            .map(|logged| logged.came - due(logged))
            .min()
            .unwrap();
        let late = sorted(log.iter().map(|logged| logged.came - due(logged) - began));
        let since_due = sorted(log.iter().map(|logged| logged.left - due(logged) - began));

        Self {
            kept,
            late,
            since_due,
        }
    }
}

/// The answers wait 20 ms, each twentieth of a connection 200 ms: what is measured is the server's doing, and known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_ws_as_server_and_as_client_agrees_with_a_run() {
    let echo = Echo::start(&["20", "200", "20"]).await;
    let text = plain(
        "{ in_flight: 100, messages: [{ text: '{{ id }}' }] }",
        &format!("{{ name: talk, duration: {SECONDS}s, messages_per_second: {RATE} }}"),
        "drain: 5s",
    )
    .replace("second: 15", "second: 50");
    let beside = async {
        let mut client = node("ws_measure.mjs");
        client.arg(&echo.url);
        client.args([CONNECTIONS, RATE, SECONDS].map(|number| number.to_string()));
        let output = client.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (report, node) = tokio::join!(run(&text, at(&echo.url)), beside);
    let report = report.unwrap();
    let log = echo.log().await;
    assert_eq!(log.len(), 500);
    assert_eq!(node["lost"], 0, "{node}");

    let log = Times::of(&log, &text);
    let (reply, uncorrected) = (
        of(&report, latency::REPLY),
        of(&report, latency::REPLY_UNCORRECTED),
    );
    assert_eq!((reply.count, uncorrected.count), (500, 500));
    let ours = |corrected: &lift_bench::report::Latency| {
        [
            (50.0, corrected.p50_us),
            (90.0, corrected.p90_us),
            (99.0, corrected.p99_us),
        ]
    };
    for ((percent, sent), (_, due)) in ours(uncorrected).into_iter().zip(ours(reply)) {
        let (sent, due) = (Duration::from_micros(sent), Duration::from_micros(due));
        // Two ways over loopback, two event loops that share processors with others: 10 ms, at the 99th percentile 30 ms.
        let bound = Duration::from_millis(if percent < 99.0 { 10 } else { 30 });
        let kept = percentile(&log.kept, percent);
        assert!(
            sent + Duration::from_micros(1) >= kept,
            "p{percent}: {sent:?} is less than the server's own {kept:?}"
        );
        assert!(
            sent < kept + bound,
            "p{percent}: {sent:?}, and the server kept it for {kept:?}"
        );
        let logged = percentile(&log.since_due, percent);
        assert!(
            due.abs_diff(logged) < bound,
            "p{percent}: {due:?}, and {logged:?} by the server's log"
        );
        for (ours, name) in [(sent, "uncorrected"), (due, "reply")] {
            let theirs = node[name][format!("p{percent}")].as_u64().unwrap();
            let theirs = Duration::from_micros(theirs);
            assert!(
                ours.abs_diff(theirs) < bound,
                "p{percent} of {name}: {ours:?}, and {theirs:?} by another client"
            );
        }
    }
    // What the generator says of its own lateness is what the server saw of it.
    let (lag, late) = (
        Duration::from_micros(report.generator.lag.p50_us),
        percentile(&log.late, 50.0),
    );
    assert!(
        late.abs_diff(lag) < Duration::from_millis(5),
        "{lag:?}, and {late:?} by the server's log"
    );
}
