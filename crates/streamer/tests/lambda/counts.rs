//! In: what each event cost. Out: `docs/aws-costs.json` and the table of `docs/aws-costs.md`, written or compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::relay::Seen;

/// Set to `write` by `cargo x aws-costs`.
const WRITE: &str = "AWS_COSTS";
const HEAD: &str = "| event | Lambda invokes | DynamoDB calls | units written + read | posts | other |\n|---|---|---|---|---|---|\n";

/// The events that are kept, in the table's order, and what the table calls them.
const SHOWN: [(&str, &str); 17] = [
    ("connect", "`$connect`"),
    (
        "connect_limited",
        "… with a rate and a number of connections, a user's first",
    ),
    ("answered", "message answered at once"),
    (
        "answered_limited",
        "… 5 of them with a rate, a user's first",
    ),
    ("process_data", "`process_data` of 3,000 rows"),
    ("process_data_large", "… with a payload over 4 KiB"),
    ("generate_report", "`generate_report` of two days"),
    ("bulk_operation", "`bulk_operation` of two changes"),
    ("export_collection", "`export_collection` of one record"),
    ("again", "the same key again, and the client's resume"),
    ("request.get", "`request.get`"),
    ("request.list", "`request.list`"),
    ("request.cancel", "`request.cancel` of an ended request"),
    ("request.resume", "`request.resume` of one"),
    ("cancelled", "a `bulk_operation` that waits, and its cancel"),
    ("sweep", "sweeper pass that finds nothing"),
    ("disconnect", "`$disconnect`"),
];

/// `docs/aws-costs.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) memory_mb: BTreeMap<String, u32>,
    pub(crate) events: BTreeMap<String, Counted>,
}

/// What one event cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Of each function, without its starts by another function's `Event` invoke.
    pub(crate) invokes: BTreeMap<String, usize>,
    /// `Event` invokes.
    pub(crate) starts: usize,
    /// Calls.
    pub(crate) dynamodb: BTreeMap<String, usize>,
    /// Of each table, and of each index as `TABLE/index/INDEX`.
    pub(crate) read_units: BTreeMap<String, f64>,
    pub(crate) write_units: BTreeMap<String, f64>,
    pub(crate) posts: usize,
    pub(crate) post_bytes: usize,
    /// Requests: `put` with copies and parts, `get` with HEAD, `list`, `delete`.
    pub(crate) s3: BTreeMap<String, usize>,
    /// What functions that are warm write to their logs.
    pub(crate) log_bytes: usize,
}

impl Counted {
    pub(crate) fn dynamodb(&self) -> usize {
        self.dynamodb.values().sum()
    }

    /// A call of DynamoDB.
    pub(crate) fn call(&mut self, seen: &Seen) {
        *self.dynamodb.entry(seen.operation.clone()).or_default() += 1;
        let reads = ["GetItem", "Query", "BatchGetItem"].contains(&seen.operation.as_str());
        let units = match reads {
            true => &mut self.read_units,
            false => &mut self.write_units,
        };
        for (of, n) in seen.consumed.iter().filter(|(_, n)| *n > 0.0) {
            *units.entry(of.clone()).or_default() += n;
        }
    }

    /// A request of S3, by its price's kind.
    pub(crate) fn object(&mut self, seen: &Seen) {
        let (method, path) = seen.operation.split_once(' ').unwrap();
        let (_, query) = path.split_once('?').unwrap_or((path, ""));
        let kind = match (method, query) {
            ("POST", "delete") | ("DELETE", _) => "delete",
            ("GET", query) if query.contains("list-type") => "list",
            ("GET" | "HEAD", _) => "get",
            _ => "put",
        };
        *self.s3.entry(kind.to_owned()).or_default() += 1;
    }

    fn row(&self, shown: &str) -> String {
        let named = |counts: &BTreeMap<String, usize>| {
            let named = counts.iter().map(|(name, n)| format!("{n} {name}"));
            named.collect::<Vec<_>>().join(", ")
        };
        let mut other = Vec::new();
        if self.starts > 0 {
            other.push(format!("{} `Event` invoke", self.starts));
        }
        for (kind, name) in [
            ("put", "S3 PUT or COPY"),
            ("get", "GET or HEAD"),
            ("list", "LIST"),
            ("delete", "DELETE"),
        ] {
            if let Some(n) = self.s3.get(kind) {
                other.push(format!("{n} {name}"));
            }
        }
        let row = [
            shown.to_owned(),
            self.invokes.values().sum::<usize>().to_string(),
            named(&self.dynamodb),
            format!("{} + {}", sum(&self.write_units), sum(&self.read_units)),
            self.posts.to_string(),
            other.join(", "),
        ];
        format!("| {} |", row.join(" | ")).replace("|  |", "| |")
    }

    /// What makes these counts another event than those: timing decides how much progress is told, sizes of items and of
    /// lines move units and bytes a little.
    fn differs(&self, kept: &Self) -> Option<String> {
        let exact = |it: &Self| (it.invokes.clone(), it.starts, it.dynamodb.clone());
        if exact(self) != exact(kept) {
            return Some("calls".to_owned());
        }
        let near = |a: f64, b: f64, slack: f64| (a - b).abs() <= slack;
        let count = |n: usize| f64::from(u32::try_from(n).unwrap());
        let s3 = |it: &Self| count(it.s3.values().sum());
        for (what, a, b, slack) in [
            (
                "read units",
                sum(&self.read_units),
                sum(&kept.read_units),
                1.0,
            ),
            (
                "write units",
                sum(&self.write_units),
                sum(&kept.write_units),
                2.0,
            ),
            ("posts", count(self.posts), count(kept.posts), 1.0),
            ("S3 requests", s3(self), s3(kept), 3.0),
        ] {
            if !near(a, b, slack) {
                return Some(format!("{what}: {a}, not {b}"));
            }
        }
        None
    }
}

fn sum(units: &BTreeMap<String, f64>) -> f64 {
    units.values().fold(0.0, |sum, n| sum + n)
}

fn writes() -> bool {
    std::env::var_os(WRITE).is_some_and(|value| value == "write")
}

/// Bytes of a log line without what it says of its environment's first event.
pub(crate) fn warm_bytes(line: &str) -> usize {
    if !line.contains("\"ColdStart\"") {
        return line.len();
    }
    let mut line: Value = serde_json::from_str(line).unwrap();
    let metrics = line["_aws"]["CloudWatchMetrics"].as_array_mut().unwrap();
    metrics.retain(|of| of["Metrics"][0]["Name"] != "ColdStart");
    if metrics.is_empty() {
        return 0;
    }
    let members = line.as_object_mut().unwrap();
    members.remove("ColdStart");
    members.remove("function_name");
    line.to_string().len()
}

/// The table of `docs/aws-costs.md`.
pub(crate) fn table(counts: &Counts) -> String {
    let mut table = HEAD.to_owned();
    for (event, shown) in SHOWN {
        writeln!(table, "{}", counts.events[event].row(shown)).unwrap();
    }
    table
}

fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

fn kept() -> Counts {
    serde_json::from_str(&fs::read_to_string(at("aws-costs.json")).unwrap()).unwrap()
}

/// The page before its table, the table, and the rest.
fn page() -> (String, String, String) {
    let page = fs::read_to_string(at("aws-costs.md")).unwrap();
    let start = page.find("| event |").unwrap();
    let end = page[start..]
        .find("\n\n")
        .map_or(page.len(), |n| start + n + 1);
    (
        page[..start].to_owned(),
        page[start..end].to_owned(),
        page[end..].to_owned(),
    )
}

fn write_table(counts: &Counts) {
    let (before, _, after) = page();
    fs::write(at("aws-costs.md"), before + &table(counts) + &after).unwrap();
}

/// Writes what was counted where that is asked for; else it must be what is kept.
pub(crate) fn check(mut counts: Counts) {
    counts
        .events
        .retain(|event, _| SHOWN.iter().any(|(kept, _)| kept == event));
    if writes() {
        let json = serde_json::to_string_pretty(&counts).unwrap();
        fs::write(at("aws-costs.json"), json + "\n").unwrap();
        write_table(&counts);
        return;
    }
    let kept = kept();
    assert_eq!(counts.memory_mb, kept.memory_mb);
    let mut stale = Vec::new();
    for (event, counted) in &counts.events {
        let differs = counted.differs(&kept.events[event]);
        stale.extend(differs.map(|why| format!("{event}: {why}: {counted:?}")));
    }
    let bytes = |counts: &Counts| counts.events.values().map(|it| it.log_bytes).sum::<usize>();
    let (logged, log) = (bytes(&counts), bytes(&kept));
    if logged.abs_diff(log) * 10 > log {
        stale.push(format!("{logged} bytes of log in all, not {log}"));
    }
    assert!(
        stale.is_empty(),
        "stale: `cargo x aws-costs` writes docs/aws-costs.json:\n{}",
        stale.join("\n")
    );
}

#[test]
fn the_table_of_the_page_is_what_the_counts_say() {
    if writes() {
        // Where there is no DynamoDB Local, nothing is counted and the table is still made.
        return write_table(&kept());
    }
    assert_eq!(
        page().1,
        table(&kept()),
        "stale: `cargo x aws-costs` writes docs/aws-costs.md"
    );
}
