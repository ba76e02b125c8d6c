//! The registry comes in; it must be what the sources record, and docs/telemetry.md must be made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use lift_aws::telemetry::names::{FIELDS, Lines, METRICS, Metric, On};

/// Set to `write` by `cargo x telemetry`.
const WRITE: &str = "TELEMETRY";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sources of a crate, one text.
fn sources(name: &str) -> String {
    fn add(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, text);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    add(&root().join("crates").join(name).join("src"), &mut text);
    text
}

/// What is recorded in a crate, with the macro's name.
fn recorded(name: &str) -> BTreeMap<String, &'static str> {
    let text = sources(name);
    let mut found = BTreeMap::new();
    for kind in ["counter", "gauge", "histogram"] {
        for call in text.split(&format!("{kind}!(")).skip(1) {
            let name = call.trim_start().strip_prefix('"');
            let name = name.unwrap_or_else(|| panic!("a {kind} without a literal name"));
            found.insert(name.split('"').next().unwrap().to_owned(), kind);
        }
    }
    found
}

fn registered(on: &[On]) -> BTreeMap<String, &'static str> {
    let of = METRICS.iter().filter(|metric| on.contains(&metric.on));
    of.map(|metric| (metric.name.to_owned(), metric.kind.as_str()))
        .collect()
}

#[test]
fn every_metric_that_is_recorded_is_registered_and_the_reverse() {
    let of = |crates: &[&str]| {
        crates
            .iter()
            .flat_map(|name| recorded(name))
            .collect::<BTreeMap<_, _>>()
    };
    let machine = of(&["lift-server", "lift-gateway", "lift-embedded"]);
    assert_eq!(machine, registered(&[On::OneMachine]));
    assert_eq!(of(&["lift", "streamer"]), registered(&[On::Everywhere]));
    assert_eq!(recorded("lift-aws"), registered(&[On::Lambda]));
}

#[test]
fn no_id_is_a_dimension_and_a_name_stands_once() {
    let mut names = BTreeSet::new();
    for Metric {
        name, dimensions, ..
    } in METRICS
    {
        assert!(names.insert(name), "{name} twice");
        assert!(!dimensions.is_empty(), "{name} is never written");
        for dimension in dimensions.iter().copied().flatten() {
            let allowed = ["action", "outcome", "function_name"].contains(dimension);
            assert!(
                allowed,
                "{name}: {dimension} has too many values, or nobody said how many"
            );
        }
    }
    let mut keys = BTreeSet::new();
    assert!(
        FIELDS.iter().all(|field| keys.insert(field.key)),
        "a key twice"
    );
}

/// Fields of the spans that a crate makes.
fn of_spans(name: &str) -> BTreeSet<String> {
    let text = sources(name);
    let mut found = BTreeSet::new();
    for call in text.split("_span!(").skip(1) {
        let fields = call
            .lines()
            .take_while(|line| !line.trim().starts_with(')'));
        for line in fields.filter_map(|line| line.trim().split_once(" = ")) {
            found.insert(line.0.to_owned());
        }
    }
    found
}

#[test]
fn every_field_of_a_span_is_a_registered_key() {
    let spans: BTreeSet<_> = ["lift", "lift-aws", "streamer"]
        .into_iter()
        .flat_map(of_spans)
        .collect();
    assert!(
        spans.contains("request_id") && spans.contains("function_name"),
        "{spans:?}"
    );
    for field in spans {
        let known = |it: &&str| *it == field;
        let known = FIELDS
            .iter()
            .any(|f| known(&f.key) || f.recorded.iter().any(known));
        assert!(known, "`{field}` is in no line's registry");
    }
}

fn metrics(page: &mut String, on: On) {
    page.push_str(
        "| name | type | unit | dimensions beside `service` | says |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS.iter().filter(|metric| metric.on == on) {
        let sets: Vec<_> = metric.dimensions.iter().map(|set| set_of(set)).collect();
        let (name, kind) = (metric.name, metric.kind.as_str());
        let (unit, sets) = (metric.unit.as_str(), sets.join("; "));
        writeln!(
            page,
            "| `{name}` | {kind} | {unit} | {sets} | {} |",
            metric.says
        )
        .unwrap();
    }
    page.push('\n');
}

fn set_of(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn page() -> String {
    let mut page = String::from(include_str!("page/metrics.md"));
    metrics(&mut page, On::Everywhere);
    page.push_str("## On Lambda alone\n\n");
    metrics(&mut page, On::Lambda);
    page.push_str(include_str!("page/one-machine.md"));
    metrics(&mut page, On::OneMachine);
    page.push_str(include_str!("page/logs.md"));
    page.push_str("| key | lines | is | recorded as |\n|---|---|---|---|\n");
    for field in FIELDS {
        let lines = match field.of {
            Lines::All => "all",
            Lines::Invocation => "of an invocation",
            Lines::Request => "of a message or task",
            Lines::Some => "some",
        };
        let recorded = field
            .recorded
            .map_or(String::new(), |name| format!("`{name}`"));
        writeln!(
            page,
            "| `{}` | {lines} | {} | {recorded} |",
            field.key, field.says
        )
        .unwrap();
    }
    page.push_str(include_str!("page/traces.md"));
    page
}

#[test]
fn the_page_is_what_the_registry_says() {
    let path = root().join("docs/telemetry.md");
    if std::env::var_os(WRITE).is_some_and(|value| value == "write") {
        fs::write(path, page()).unwrap();
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == page(),
        "stale: `cargo x telemetry` writes docs/telemetry.md"
    );
}
