//! Nothing comes in, a report as a run leaves it goes out.

use std::{collections::BTreeMap, path::Path};

use lift_bench::report::{
    Generator, Judged, Latency, Machine, Measures, Moment, PhaseReport, Report, ServerUse, count,
    latency,
};
use serde_json::{Value, json};

/// A latency whose half is `p50_us`.
pub(crate) fn latency(count: u64, p50_us: u64) -> Latency {
    let curve = [
        (0.0, p50_us / 4),
        (50.0, p50_us),
        (90.0, p50_us * 2),
        (95.0, p50_us * 3),
        (99.0, p50_us * 4),
        (99.9, p50_us * 8),
        (99.99, p50_us * 12),
        (100.0, p50_us * 15),
    ];
    Latency {
        count,
        min_us: p50_us / 4,
        mean_us: p50_us * 5 / 4,
        p50_us,
        p90_us: p50_us * 2,
        p95_us: p50_us * 3,
        p99_us: p50_us * 4,
        p999_us: p50_us * 8,
        max_us: p50_us * 15,
        curve: curve.to_vec(),
    }
}

fn measures(share: u64) -> Measures {
    let counts = [
        (count::CONNECTIONS, 1000),
        (count::OPENED, 1000),
        (count::DROPPED, 1),
        (count::DUE, 600_000),
        (count::SENT, 600_000),
        (count::ANSWERED, 600_000),
    ];
    Measures {
        counts: counts
            .map(|(name, number)| (name.to_owned(), number / share))
            .into(),
        latencies: BTreeMap::from([
            (latency::CONNECT.to_owned(), latency(1000 / share, 1_200)),
            (latency::REPLY.to_owned(), latency(600_000 / share, 800)),
            (
                latency::REPLY_UNCORRECTED.to_owned(),
                latency(600_000 / share, 640),
            ),
        ]),
        closes: BTreeMap::from([(1006, 1)]),
        handshakes: BTreeMap::from([(101, 1000 / share)]),
        errors: BTreeMap::from([("RATE_LIMITED".to_owned(), 0)]),
        samples: BTreeMap::new(),
    }
}

fn phase(name: &str, began_s: u64, took_s: u64) -> PhaseReport {
    PhaseReport {
        name: name.to_owned(),
        began_us: began_s * 1_000_000,
        took_us: took_s * 1_000_000,
        measured: name != "arrive",
        measures: measures(1),
    }
}

/// A latency that goes up and down with the second.
fn moment(second: u64) -> Moment {
    let wave = (second * 37) % 23;
    let busy = second >= 10;
    Moment {
        second,
        open: 1000.min(second * 100),
        opened: if busy { 0.0 } else { 100.0 },
        sent: if busy { 10_000.0 } else { 0.0 },
        answered: if busy { 9_990.0 + 1.5 } else { 0.0 },
        errors: if second % 20 == 13 { 4.0 } else { 0.0 },
        p50_us: busy.then_some(780 + wave),
        p99_us: busy.then_some(2_900 + wave * 40),
        max_us: busy.then_some(6_000 + wave * 270),
    }
}

/// A run of ten seconds of connections and a minute of messages; all is well.
pub(crate) fn report() -> Report {
    let mut report = Report::read(
        &json!({
            "format": "lift-load/1",
            "name": "message-throughput",
            "about": "Ten thousand messages a second on a thousand connections.",
            "target": "ws://127.0.0.1:7070/",
            "began": "2026-11-29T10:00:00Z",
            "took_us": 70_400_000,
            "seed": 7,
            "machine": { "system": "", "processor": "", "processors": 0, "memory_bytes": 0, "tool": "" },
            "verdict": { "outcome": "passed", "reasons": [] },
            "thresholds": [], "total": measures(1), "behaviours": {}, "phases": [], "timeline": [],
            "generator": Generator::default(), "server": null,
        })
        .to_string(),
    )
    .unwrap();
    report.machine = Machine {
        system: "Linux 6.1".to_owned(),
        processor: "Processor X".to_owned(),
        processors: 2,
        memory_bytes: 8 << 30,
        tool: "lift 0.1.0".to_owned(),
    };
    report.thresholds = vec![
        judged("reply.p99 < 100ms", Some("3.2ms"), true),
        judged("messages.lost == 0", Some("0"), true),
    ];
    report.behaviours = BTreeMap::from([
        ("raw".to_owned(), measures(2)),
        ("talker".to_owned(), measures(2)),
    ]);
    report.phases = vec![phase("arrive", 0, 10), phase("talk", 10, 60)];
    report.timeline = (0..70).map(moment).collect();
    report.generator = Generator {
        processes: 1,
        lag: latency(601_000, 40),
        cpu_median: 0.31,
        cpu_max: 0.42,
        cpu_us: 21_000_000,
    };
    report.server = Some(ServerUse {
        cpu_us: 18_300_000,
        memory_max_bytes: 96 << 20,
        kills: 0,
    });
    report
}

pub(crate) fn judged(threshold: &str, measured: Option<&str>, held: bool) -> Judged {
    Judged {
        threshold: threshold.to_owned(),
        measured: measured.map(str::to_owned),
        held,
    }
}

/// Holds a published schema against the types, or writes it anew where LOAD_SCHEMAS is `write`.
pub(crate) fn written_to(path: &str, schema: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let text = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if std::env::var_os("LOAD_SCHEMAS").is_some_and(|value| value == "write") {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == text,
        "{path} is stale: `cargo x schemas` writes it anew"
    );
}
