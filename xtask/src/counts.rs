//! Instructions per message: the programs that carry messages come in, counts beside their baseline go out.
//!
//! Valgrind counts the instructions of a program that carries few messages and of the same that
//! carries many; the difference is the messages' own. Neither the machine's load nor its clock
//! speed is in it, so that a change of 2 % is the code's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::{self, install, target};

/// Crates with an example `counts`, and its scenarios.
const SCENARIOS: [(&str, &str); 5] = [
    ("lift-gateway", "echo-1"),
    ("lift-gateway", "echo-16"),
    ("lift-gateway", "json-1"),
    ("lift-gateway", "post"),
    ("lift-aws", "echo"),
];
const FEW: u32 = 1_024;
const MANY: u32 = 11_264;
const BASELINE: &str = "xtask/counts.txt";
/// What a count may be off its baseline.
const PER_CENT_OFF_MAX: f64 = 2.0;

/// Counts all scenarios; compares the counts with the baseline, or has them be it: `write`.
pub(crate) fn run(then: Option<&str>) -> Result<(), String> {
    if let Some(word) = then.filter(|word| *word != "write") {
        return Err(format!("`{word}` is not `write`"));
    }
    install("valgrind")?;
    let mut counts = BTreeMap::new();
    for package in ["lift-gateway", "lift-aws"] {
        steps::run(&format!(
            "cargo build --quiet --profile counts --example counts --package {package}"
        ))?;
        let program = target()?.join("counts/examples/counts");
        for (_, scenario) in SCENARIOS.iter().filter(|(of, _)| *of == package) {
            let few = instructions(&program, scenario, FEW)?;
            let many = instructions(&program, scenario, MANY)?;
            let each = many.saturating_sub(few) / u64::from(MANY - FEW);
            counts.insert(format!("{package} {scenario}"), each);
        }
    }
    if then.is_none() {
        return compare(&counts);
    }
    let mut baseline = String::new();
    for (name, count) in &counts {
        // Writing to a `String` cannot fail.
        _ = writeln!(baseline, "{name} {count}");
    }
    fs::write(BASELINE, baseline).map_err(|error| format!("{BASELINE}: {error}"))
}

fn compare(counts: &BTreeMap<String, u64>) -> Result<(), String> {
    let baseline = fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let baseline: BTreeMap<&str, f64> = baseline
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let mut off = Vec::new();
    eprintln!("instructions a message");
    for (name, count) in counts {
        let known = *baseline
            .get(name.as_str())
            .ok_or_else(|| format!("{BASELINE} has no line `{name}`"))?;
        let count = u32::try_from(*count).map_or(f64::INFINITY, f64::from);
        let per_cent = (count / known - 1.0) * 100.0;
        eprintln!("  {name:24} {count:>8} {per_cent:+6.1} %");
        if per_cent.abs() > PER_CENT_OFF_MAX {
            off.push(format!(
                "`{name}` takes {count} instructions a message, {per_cent:+.1} % of its baseline; if that is meant: cargo x counts write"
            ));
        }
    }
    if off.is_empty() {
        Ok(())
    } else {
        Err(off.join("\n"))
    }
}

/// The instructions of one run.
fn instructions(program: &Path, scenario: &str, messages: u32) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(program)
        .args([scenario, &messages.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("`counts {scenario}` failed: {said}"));
    }
    let line = said.lines().find_map(|line| line.split_once("refs:"));
    let digits = line.map(|(_, count)| count.replace([',', ' '], ""));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("valgrind counted nothing: {said}"))
}
