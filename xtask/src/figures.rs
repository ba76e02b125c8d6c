//! The sources come in; how much there is to read and how branched it is go out as JSON for `lift report compare`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::steps::{python_tools, target};

const LIZARD: &str = "tests/foreign/.venv/bin/lizard";

/// Prints the figures of the commit that is checked out. `coverage` is what `cargo llvm-cov` wrote with `--json` or `--lcov`.
pub(crate) fn run(coverage: Option<&str>) -> Result<(), String> {
    python_tools()?;
    let folder = target()?.join("figures");
    _ = fs::remove_dir_all(&folder);
    let mut counted = 0;
    for path in sources()? {
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let text = without_tests(&text);
        counted += text.lines().filter(|line| is_code(line)).count();
        let copy = folder.join(&path);
        let written = copy.parent().map(fs::create_dir_all).transpose();
        written
            .and_then(|_| fs::write(&copy, text))
            .map_err(|error| format!("{}: {error}", copy.display()))?;
    }
    let date = output("git", &["log", "-1", "--format=%cs"])?;
    let (lines, by) = match tokei(&folder) {
        Some(lines) => (lines, output("tokei", &["--version"])?.trim().to_owned()),
        None => (
            json!(counted),
            "a count of lines that hold more than a comment".to_owned(),
        ),
    };
    let (complexity, version) = complexity(&folder)?;
    let (covered, covered_by) = match coverage {
        Some(path) => (json!(covered(path)?), "cargo llvm-cov"),
        None => (Value::Null, ""),
    };
    let figure = |name: &str, value: Value, unit: &str, lower_is_better, source: &str| {
        json!({ "name": name, "value": value, "unit": unit, "lower_is_better": lower_is_better, "group": "code",
            "source": source, "date": date.trim() })
    };
    let figures = [
        figure("lines of Rust without tests", lines, "lines", true, &by),
        figure(
            "cyclomatic complexity, mean of functions without tests",
            complexity,
            "",
            true,
            &format!("lizard {version}"),
        ),
        figure("lines that tests run", covered, "%", false, covered_by),
        figure("boilerplate", Value::Null, "%", true, ""),
    ];
    let file = json!({ "format": "lift-figures/1", "figures": figures });
    writeln!(io::stdout(), "{file:#}").map_err(|error| format!("stdout: {error}"))
}

/// Rust of crates and tasks, without files of tests, examples and benchmarks.
fn sources() -> Result<Vec<String>, String> {
    let listed = output("git", &["ls-files", "crates/*.rs", "xtask/*.rs"])?;
    let code = |path: &&str| {
        let in_source = path.split('/').nth(2) == Some("src") || path.starts_with("xtask/src/");
        in_source && !path.ends_with("/tests.rs") && !path.contains("/tests/")
    };
    Ok(listed.lines().filter(code).map(str::to_owned).collect())
}

/// A file without the items that are there for tests alone, as `cargo fmt` leaves them.
fn without_tests(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        for line in lines.by_ref() {
            let attribute = line.starts_with("#[") || line.starts_with("    ");
            if !attribute && (line.ends_with(';') || line == "}" || line.ends_with('}')) {
                break;
            }
        }
    }
    kept
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

/// Lines of code by the public tool, where it is installed.
fn tokei(folder: &Path) -> Option<Value> {
    let folder = folder.to_str()?;
    let said = output("tokei", &["--output", "json", "--type", "Rust", folder]).ok()?;
    let said: Value = serde_json::from_str(&said).ok()?;
    said.pointer("/Rust/code").cloned()
}

fn complexity(folder: &Path) -> Result<(Value, String), String> {
    let version = output(LIZARD, &["--version"])?;
    let listed = output(LIZARD, &["-l", "rust", "--csv", &folder.to_string_lossy()])?;
    let mean = mean_complexity(&listed).ok_or("lizard found no function")?;
    Ok((json!(mean), version.trim().to_owned()))
}

/// The mean of the second column, to a hundredth.
fn mean_complexity(listed: &str) -> Option<f64> {
    let numbers = listed
        .lines()
        .filter_map(|line| line.split(',').nth(1)?.parse::<u32>().ok());
    let (sum, count) = numbers.fold((0, 0), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| (f64::from(sum) / f64::from(count) * 100.0).round() / 100.0)
}

/// Lines that were run, of a hundred.
fn covered(path: &str) -> Result<f64, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    covered_lines(&text)
        .ok_or_else(|| format!("{path} holds no coverage, as JSON of llvm-cov or lcov"))
}

fn covered_lines(text: &str) -> Option<f64> {
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        return json.pointer("/data/0/totals/lines/percent")?.as_f64();
    }
    let sum = |key: &str| {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.parse::<u32>().ok());
        lines.sum::<u32>()
    };
    let (found, hit) = (sum("LF:"), sum("LH:"));
    (found > 0).then(|| f64::from(hit) / f64::from(found) * 100.0)
}

fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let program = PathBuf::from(program);
    let shown = program.display().to_string();
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("`{shown}` cannot be run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`{shown}` failed: {}", output.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_for_tests_are_not_counted() {
        let text = "\
//! Head.
fn kept() {
    1;
}

#[cfg(test)]
use std::x;

#[cfg(test)]
mod declared;

#[cfg(test)]
#[expect(
    dead_code,
    reason = \"x\"
)]
mod tests {
    #[test]
    fn gone() {}
}

const KEPT: u8 = 1;
";
        let kept = without_tests(text);
        let code: Vec<_> = kept.lines().filter(|line| is_code(line)).collect();
        assert_eq!(code, ["fn kept() {", "    1;", "}", "const KEPT: u8 = 1;"]);
    }

    #[test]
    fn complexity_and_coverage_are_read_as_the_tools_write_them() {
        assert_eq!(
            mean_complexity("12,3,110,1,12,\"a\"\n3,4,17,1,3,\"b,9\"\n"),
            Some(3.5)
        );
        assert_eq!(mean_complexity(""), None);
        let json = r#"{"data":[{"totals":{"lines":{"percent":91.5}}}]}"#;
        assert_eq!(covered_lines(json), Some(91.5));
        let lcov = "SF:a\nLF:10\nLH:9\nend_of_record\nSF:b\nLF:30\nLH:27\nend_of_record\n";
        assert_eq!(covered_lines(lcov), Some(90.0));
        assert_eq!(covered_lines("nothing"), None);
    }
}
