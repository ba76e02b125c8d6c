//! A scenario's file comes in, its bill comes out.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::run::{Transcript, alone};

/// Set to `write` by `cargo x aws-costs`.
const WRITE: &str = "AWS_COSTS";

const SCENARIO: &str = "
name: talk
tokens: { sub: 'u-{{ client }}' }
behaviours: { talker: { messages: [{ action: echo, payload: hello }] } }
phases:
  - { name: arrive, duration: 10s, connections_per_second: 10 }
  - { name: talk, duration: 50s, messages_per_second: 100 }
";

/// Runs `lift cost` on a scenario.
fn cost(scenario: &str, args: &[&str]) -> Transcript {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.yaml");
    fs::write(&path, scenario).unwrap();
    let all = [&["cost", path.to_str().unwrap()], args].concat();
    let mut run = alone(&all, "");
    run.stderr = run.stderr.replace(path.to_str().unwrap(), "load.yaml");
    run
}

#[test]
fn the_total_comes_first_and_each_line_has_its_formula() {
    let run = cost(SCENARIO, &[]);
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""));
    let mut lines = run.stdout.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .ends_with(" USD a month, if it runs all 730 h of it: talk"),
        "{}",
        run.stdout
    );
    for part in [
        "43,800 runs of 60 s; us-east-1",
        "438.00  API Gateway messages            438,000,000 messages = received + replies + posts",
        "(received 219,000,000, replies 219,000,000, posts 0) [observed]",
        "       5,000        99  echo of `talker`, priced as `answered`",
        "ok                   10            500  connects:",
        "Not included: taxes",
    ] {
        assert!(run.stdout.contains(part), "lacks {part}: {}", run.stdout);
    }
}

#[test]
fn a_bill_of_less_than_a_dollar_has_hundredths_of_cents() {
    let run = cost(SCENARIO, &["--once", "--max-usd", "0.01"]);
    let first = run.stdout.lines().next().unwrap();
    assert_eq!(first, "0.0163 USD for one run: talk");
    assert!(
        run.stdout.contains("\n      0.0100  API Gateway messages"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("it costs 0.0163 USD"), "{}", run.stderr);
}

#[test]
fn figures_of_two_bills_are_compared_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, scenario) in [
        ("old", SCENARIO.to_owned()),
        ("new", SCENARIO.replace("100 }", "50 }")),
    ] {
        let run = cost(&scenario, &["--figures"]);
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""));
        fs::write(file(name), run.stdout).unwrap();
    }
    let (old, new) = (file("old"), file("new"));
    let compare = [
        "report",
        "compare",
        "--baseline-figures",
        &old,
        "--now-figures",
        &new,
    ];
    let table = alone(&compare, "").stdout;
    assert!(table.starts_with("**figures: "), "{table}");
    assert!(!table.contains("Baseline:"), "{table}");
    let row = "| talk: API Gateway messages, USD a month | 438 | 219 | −50.0 % | better |";
    assert!(table.contains(row), "{table}");
    // One source is told once.
    let source = "17 figures: lift cost, prices of us-east-1, ";
    assert!(table.contains(source), "{table}");
}

#[test]
fn json_has_the_same_for_programs() {
    let run = cost(
        SCENARIO,
        &[
            "--json",
            "--capacity",
            "--budget",
            "100",
            "--assume",
            "message_ms=10",
        ],
    );
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["format"], "lift-cost/1");
    let keys: BTreeSet<_> = said
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        BTreeSet::from([
            "assumed",
            "bill",
            "capacity",
            "currency",
            "events",
            "format",
            "free_tier",
            "not_included",
            "notes",
            "open_peak",
            "period",
            "prices_date",
            "quotas",
            "region",
            "run_seconds",
            "runs",
            "scenario",
        ])
    );
    let lines = said["bill"]["lines"].as_array().unwrap();
    let sum: f64 = lines.iter().map(|line| line["usd"].as_f64().unwrap()).sum();
    assert!((sum - said["bill"]["usd"].as_f64().unwrap()).abs() < 1e-6);
    let times = said["capacity"]["times"].as_f64().unwrap();
    assert!(times > 0.0 && times < 1.0, "{times}");
    let assumed = said["assumed"].as_array().unwrap();
    let message = assumed
        .iter()
        .find(|it| it["name"] == "message_ms")
        .unwrap();
    assert_eq!(message["value"], 10.0);
}

#[test]
fn what_is_allowed_decides_the_exit_status() {
    let quick = SCENARIO.replace("connections_per_second: 10", "connections_per_second: 600");
    for (scenario, args, exit, said) in [
        (
            SCENARIO,
            &["--max-usd", "5000", "--check-quotas"][..],
            0,
            "",
        ),
        (SCENARIO, &["--max-usd", "5"], 3, "--max-usd allows 5.00"),
        (SCENARIO, &["--once", "--max-usd", "5"], 0, ""),
        (&quick, &[], 0, ""),
        (
            &quick,
            &["--check-quotas"],
            3,
            "error: a quota is exceeded\n  cause: connects: 600 of 500\n",
        ),
        (
            &quick,
            &["--check-quotas", "--quota", "connects=1000"],
            0,
            "",
        ),
        (
            "name: 5",
            &[],
            2,
            "the scenario in `load.yaml` cannot be used",
        ),
        (
            SCENARIO,
            &["--assume", "task=5"],
            2,
            "`task` is no assumption",
        ),
        (
            SCENARIO,
            &["--quota", "conects=5"],
            2,
            "there is no quota `conects`",
        ),
        (SCENARIO, &["--budget", "5"], 2, "--capacity"),
        (
            SCENARIO,
            &["--prices", "/nowhere.json"],
            2,
            "the prices in `/nowhere.json` cannot be read",
        ),
    ] {
        let run = cost(scenario, args);
        assert_eq!(run.exit, Some(exit), "{args:?}: {run:?}");
        assert!(
            run.stderr.contains(said) && (exit == 0) == run.stderr.is_empty(),
            "{args:?}: {run:?}"
        );
    }
}

/// The part of a page between two marks.
fn between<'a>(page: &'a str, before: &str, after: &str) -> (&'a str, &'a str, &'a str) {
    let (head, rest) = page.split_once(before).unwrap();
    let (part, _) = rest.split_once(after).unwrap();
    let start = head.len() + before.len();
    (&page[..start], part, &page[start + part.len()..])
}

#[test]
fn the_page_shows_what_its_example_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/load-cost.md");
    let page = fs::read_to_string(&path).unwrap();
    let (_, scenario, _) = between(&page, "```yaml\n", "```\n");
    let (_, command, _) = between(&page, "```sh\nlift cost load.yaml ", "\n```");
    let args: Vec<_> = command.split_whitespace().collect();
    let run = cost(scenario, &args);
    assert_eq!(run.exit, Some(0), "{run:?}");
    let (before, shown, after) = between(&page, "```text\n", "```\n");
    if std::env::var_os(WRITE).is_some_and(|value| value == "write") {
        return fs::write(&path, format!("{before}{}{after}", run.stdout)).unwrap();
    }
    assert_eq!(
        shown, run.stdout,
        "stale: `cargo x aws-costs` writes docs/load-cost.md"
    );
}
