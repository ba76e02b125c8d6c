//! Files of reports come in, other forms of them and what changed come out.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Transcript, alone, printed};

/// A directory with files of reports.
struct Reports(TempDir);

impl Reports {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the report of a run whose half of the replies took so long.
    fn with(&self, name: &str, p50_us: u64, change: impl FnOnce(&mut Value)) -> String {
        let latency = |us: u64| {
            json!({ "count": 1000, "min_us": us / 2, "mean_us": us, "p50_us": us, "p90_us": us, "p95_us": us,
                "p99_us": us * 3, "p999_us": us * 4, "max_us": us * 5, "curve": [[0.0, us / 2], [50.0, us], [100.0, us * 5]] })
        };
        let measures = json!({
            "counts": { "connections.begun": 10, "connections.opened": 10, "messages.due": 1000, "messages.sent": 1000,
                "messages.answered": 1000 },
            "latencies": { "reply": latency(p50_us) }, "closes": {}, "handshakes": { "101": 10 }, "errors": {},
        });
        let mut report = json!({
            "format": "lift-load/1", "name": "hello", "about": "", "target": "ws://127.0.0.1/",
            "began": "2026-11-29T10:00:00Z", "took_us": 10_100_000, "seed": 1,
            "machine": { "system": "Linux", "processor": "X", "processors": 2, "memory_bytes": 8_589_934_592_u64, "tool": "lift" },
            "verdict": { "outcome": "passed", "reasons": [] },
            "thresholds": [{ "threshold": "reply.p99 < 1s", "measured": "0.003s", "held": true }],
            "total": measures, "behaviours": {},
            "phases": [{ "name": "talk", "began_us": 0, "took_us": 10_000_000, "measured": true, "measures": measures }],
            "timeline": [{ "second": 0, "open": 10, "opened": 10.0, "sent": 100.0, "answered": 100.0, "errors": 0.0,
                "p50_us": p50_us, "p99_us": p50_us * 3, "max_us": p50_us * 5 }],
            "generator": { "processes": 1, "lag": latency(20), "cpu_median": 0.1, "cpu_max": 0.2, "cpu_us": 1_000_000 },
            "server": null,
        });
        change(&mut report);
        let path = self.path(name);
        fs::write(&path, report.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn report(args: &[&str]) -> Transcript {
    let all: Vec<_> = ["report"].iter().chain(args).copied().collect();
    alone(&all, "")
}

fn done(args: &[&str]) -> String {
    let run = report(args);
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{args:?}");
    run.stdout
}

#[test]
fn a_report_is_shown_in_each_form() {
    let reports = Reports::new();
    let path = reports.with("a.json", 800, |_| {});
    let headline = "passed: hello · 1,000 of 1,000 answered · reply p50 0.80 p99 2.4 max 4.0 ms";
    for (form, start) in [
        ("text", headline),
        ("json", "{\"format\":\"lift-load/1\",\"name\":\"hello\""),
        ("csv", "part,name,metric,value,unit\r\nrun,,name,hello,\r\n"),
        (
            "junit",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n",
        ),
        ("markdown", &format!("**{headline}")),
        ("html", "<!doctype html>\n"),
    ] {
        let shown = done(&["show", &path, "--format", form]);
        assert!(shown.starts_with(start), "{form}: {shown}");
        assert!(shown.ends_with('\n'), "{form}: {shown}");
    }
    assert_eq!(
        done(&["show", &path]),
        done(&["show", &path, "--format", "text"])
    );
    let run = report(&["show", &path, "--format", "pdf"]);
    assert_eq!(run.exit, Some(2));
    assert!(
        run.stderr
            .contains("text, json, csv, junit, markdown, html"),
        "{run:?}"
    );
}

#[test]
fn a_pair_is_compared_and_noise_is_unknown() {
    let reports = Reports::new();
    let (before, after) = (
        reports.with("a.json", 800, |_| {}),
        reports.with("b.json", 400, |_| {}),
    );
    let table = done(&["compare", &before, &after]);
    assert!(
        table.contains("\n| reply.p50, ms | 0.80 | 0.40 | −50.0 % | better, noise unknown |\n"),
        "{table}"
    );
    let page = reports.path("change.html");
    let said = done(&[
        "compare",
        &before,
        &after,
        "--json",
        "--html",
        page.to_str().unwrap(),
    ]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["format"], "lift-comparison/1");
    assert_eq!(said["baseline"], json!([before]));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<td>better, noise unknown</td>"), "{page}");
}

#[test]
fn repeats_and_figures_are_in_one_table() {
    let reports = Reports::new();
    let before = [800, 820, 840].map(|us| reports.with(&format!("a{us}.json"), us, |_| {}));
    let after = [830, 900, 910].map(|us| reports.with(&format!("b{us}.json"), us, |_| {}));
    let figures = |name: &str, value: Value| {
        let path = reports.path(name);
        let figure = json!({ "name": "lines of code", "value": value, "unit": "lines", "lower_is_better": true,
            "group": "code", "source": "a count", "date": "2026-11-29" });
        let file = json!({ "format": "lift-figures/1", "figures": [figure] });
        fs::write(&path, file.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (old, new) = (
        figures("old.json", Value::Null),
        figures("new.json", json!(19_000)),
    );
    let mut args = vec!["compare", "--baseline"];
    args.extend(before.iter().map(String::as_str));
    args.push("--now");
    args.extend(after.iter().map(String::as_str));
    args.extend(["--baseline-figures", &old, "--now-figures", &new]);
    let table = done(&args);
    for expected in [
        "\n| reply.p50, ms | 0.82 (0.80–0.84) | 0.90 (0.83–0.91) | +9.8 % | noise |\n",
        "\n| **code** | | | | |\n| lines of code, lines | not measured | 19,000 | – | not measured |\n",
        "With 3 and 3 runs of the same thing",
    ] {
        assert!(table.contains(expected), "{expected:?} is not in:\n{table}");
    }
}

#[test]
fn what_cannot_be_compared_is_said_with_a_way_out() {
    let reports = Reports::new();
    let good = reports.with("good.json", 800, |_| {});
    let invalid = reports.with("invalid.json", 800, |report| {
        report["verdict"] = json!({ "outcome": "invalid", "reasons": ["the generator was late"] });
    });
    let other = reports.with("other.json", 800, |report| {
        report["name"] = json!("bye\u{1b}")
    });
    let newer = reports.with("newer.json", 800, |report| {
        report["format"] = json!("lift-load/2")
    });
    let none = reports.path("none.json").to_str().unwrap().to_owned();
    let what = "error: the reports cannot be compared";
    let help = "  help: give what `lift load SCENARIO --report FILE.json` wrote";
    for (args, stderr) in [
        (
            [&good, &invalid],
            [
                what,
                &format!(
                    "  cause: `{invalid}` is of a run that was invalid: the generator was late"
                ),
                "  help: run it again, to its end and with a generator that keeps up",
            ],
        ),
        (
            [&good, &other],
            [
                what,
                &format!(
                    "  cause: `{good}` is of the scenario `hello`, and `{other}` is of `bye\\u001b`"
                ),
                "  help: give reports of one scenario, or --different-scenarios where that is what you mean",
            ],
        ),
        (
            [&newer, &good],
            [
                &format!("error: `{newer}` cannot be read"),
                "  cause: its format is `lift-load/2`, and this version reads `lift-load/1`",
                help,
            ],
        ),
        (
            [&none, &good],
            [
                &format!("error: `{none}` cannot be read"),
                "  cause: No such file or directory (os error 2)",
                help,
            ],
        ),
    ] {
        assert_eq!(
            report(&["compare", args[0], args[1]]),
            printed(1, &[], &stderr)
        );
    }
    let table = done(&["compare", &good, &other, "--different-scenarios"]);
    assert!(table.starts_with("**bye\u{fffd} / hello: "), "{table}");
    for args in [
        &["compare", &good][..],
        &["compare", &good, &good, &good],
        &["compare", "--baseline", &good],
        &["compare", &good, &good, "--now", &good],
        &["compare"],
    ] {
        assert_eq!(report(args).exit, Some(2), "{args:?}");
    }
}
