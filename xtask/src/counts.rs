//! Instructions and allocations per message: the programs that carry messages come in, counts beside their baseline go out.
//!
//! Valgrind counts what a program does that carries few messages and the same that carries many;
//! the difference is the messages' own. Neither the machine's load nor its clock speed is in it,
//! so that a change of 2 % is the code's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::{self, install, target};

type Scenarios = &'static [(&'static str, Count)];

/// Crates, each with the example that carries messages, the features that it needs, and its scenarios.
const PROGRAMS: [(&str, &str, &str, Scenarios); 2] = [
    (
        "lift-gateway",
        "counts_gateway",
        "",
        &[
            ("echo-1", Count::Instructions),
            ("echo-16", Count::Instructions),
            ("json-1", Count::Instructions),
            ("post", Count::Instructions),
        ],
    ),
    (
        "lift-aws",
        "counts_app",
        "host",
        &[
            ("echo", Count::Instructions),
            ("invoke", Count::Instructions),
            ("invoke", Count::Allocations),
        ],
    ),
];
const FEW: u32 = 1_024;
const MANY: u32 = 11_264;
const BASELINE: &str = "xtask/counts.txt";
/// What a count may be off its baseline.
const PER_CENT_OFF_MAX: f64 = 2.0;

/// What is counted.
#[derive(Clone, Copy)]
enum Count {
    Instructions,
    Allocations,
}

impl Count {
    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Allocations => "allocations",
        }
    }

    /// Valgrind's arguments, and what is before the number and after it where it says it.
    fn tool(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            Self::Instructions => {
                let tool = &[
                    "--tool=cachegrind",
                    "--cache-sim=no",
                    "--cachegrind-out-file=/dev/null",
                ];
                (tool, "refs:", "")
            }
            Self::Allocations => {
                let tool = &[
                    "--tool=memcheck",
                    "--leak-check=no",
                    "--undef-value-errors=no",
                ];
                (tool, "total heap usage:", "allocs")
            }
        }
    }
}

/// Counts all scenarios; compares the counts with the baseline, or has them be it: `write`.
pub(crate) fn run(then: Option<&str>) -> Result<(), String> {
    if let Some(word) = then.filter(|word| *word != "write") {
        return Err(format!("`{word}` is not `write`"));
    }
    install("valgrind")?;
    let mut counts = BTreeMap::new();
    for (package, example, features, scenarios) in PROGRAMS {
        steps::run(&format!(
            "cargo build --quiet --profile counts --example {example} --package {package} --features={features}"
        ))?;
        let program = target()?.join("counts/examples").join(example);
        for (scenario, count) in scenarios {
            let few = counted(&program, scenario, *count, FEW)?;
            let many = counted(&program, scenario, *count, MANY)?;
            let each = many.saturating_sub(few) / u64::from(MANY - FEW);
            counts.insert(format!("{package} {scenario} {}", count.name()), each);
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
    eprintln!("a message");
    for (name, count) in counts {
        let known = *baseline
            .get(name.as_str())
            .ok_or_else(|| format!("{BASELINE} has no line `{name}`"))?;
        let count = u32::try_from(*count).map_or(f64::INFINITY, f64::from);
        let per_cent = (count / known - 1.0) * 100.0;
        eprintln!("  {name:36} {count:>8} {per_cent:+6.1} %");
        if per_cent.abs() > PER_CENT_OFF_MAX {
            off.push(format!(
                "`{name}`: {count} a message, {per_cent:+.1} % of its baseline; if that is meant: cargo x counts write"
            ));
        }
    }
    if off.is_empty() {
        Ok(())
    } else {
        Err(off.join("\n"))
    }
}

/// What one run takes.
fn counted(program: &Path, scenario: &str, count: Count, messages: u32) -> Result<u64, String> {
    let (tool, before, after) = count.tool();
    let output = Command::new("valgrind")
        .args(tool)
        .arg(program)
        .args([scenario, &messages.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("`{} {scenario}` failed: {said}", program.display()));
    }
    let line = said.lines().find_map(|line| line.split_once(before));
    let number = line.and_then(|(_, rest)| match after {
        "" => Some(rest),
        after => rest.split_once(after).map(|(number, _)| number),
    });
    let digits = number.map(|number| number.replace([',', ' '], ""));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("valgrind counted nothing: {said}"))
}
