//! House checks: the tree comes in, what breaks a rule of ARCHITECTURE.md or STYLE.md goes out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each may use (ARCHITECTURE.md, "Crates").
const EDGES: &[(&str, &[&str])] = &[
    ("lift-apigw", &[]),
    ("lift-ws", &[]),
    ("streamer-protocol", &[]),
    ("lift-embedded", &["lift-ws"]),
    ("lift-aws-client", &["lift-apigw"]),
    ("lift-aws", &["lift-ws", "lift-apigw", "lift-aws-client"]),
    ("lift-gateway", &["lift-apigw"]),
    (
        "lift-dev",
        &["lift-apigw", "lift-aws-client", "lift-gateway"],
    ),
    (
        "lift-server",
        &["lift-ws", "lift-aws", "lift-gateway", "lift-embedded"],
    ),
    (
        "streamer",
        &[
            "lift-ws",
            "streamer-protocol",
            "lift-aws",
            "lift-aws-client",
            "lift-embedded",
        ],
    ),
    ("streamer-client", &["streamer-protocol"]),
    ("lift-bench", &["streamer-client"]),
    (
        "streamer-server",
        &[
            "lift-ws",
            "lift-server",
            "streamer",
            "streamer-client",
            "streamer-protocol",
        ],
    ),
    (
        "lift-cli",
        &[
            "lift-bench",
            "lift-dev",
            "lift-embedded",
            "lift-ws",
            "streamer",
            "streamer-client",
            "streamer-protocol",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that `lift` must never bring along.
const NEVER_IN_LIFT: &[&str] = &[
    "hyper",
    "tokio-tungstenite",
    "fjall",
    "lift-apigw",
    "aws-lc-rs",
];

const LINES_MAX: usize = 600;

pub(crate) fn check() -> Result<(), String> {
    eprintln!("── tidy");
    let mut broken = Vec::new();
    edges(&mut broken)?;
    sources(&mut broken)?;
    paths_of_architecture(&mut broken)?;
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken.join("\n"))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn edges(broken: &mut Vec<String>) -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let tree = Command::new("cargo")
        .args([
            "tree",
            "--package",
            "lift-ws",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    for line in String::from_utf8_lossy(&tree.stdout).lines() {
        let used = line.split(' ').next().unwrap_or_default();
        if NEVER_IN_LIFT.contains(&used) || used.starts_with("aws-") {
            broken.push(format!("`lift` must not bring `{used}` along"));
        }
    }
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for package in array(&metadata, "packages") {
        let name = text(package, "name");
        let Some(may_use) = allowed.get(name) else {
            broken.push(format!("crate `{name}` is not in ARCHITECTURE.md's table"));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let (used, kind) = (text(dependency, "name"), text(dependency, "kind"));
            let ours = allowed.contains_key(used) && used != name;
            if ours && kind != "dev" && !may_use.contains(&used) {
                broken.push(format!("`{name}` must not depend on `{used}`"));
            }
        }
    }
    Ok(())
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn sources(broken: &mut Vec<String>) -> Result<(), String> {
    for path in files(Path::new("."))? {
        let shown = path.display();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let source = read(&path)?;
            if !source.starts_with("//!") {
                broken.push(format!("{shown} does not open with a `//!` sentence"));
            }
            let lines = source.lines().count();
            let test = path.ends_with("tests.rs")
                || path.components().any(|part| part.as_os_str() == "tests");
            if lines > LINES_MAX && !test {
                broken.push(format!("{shown} has {lines} lines, over {LINES_MAX}"));
            }
            let (skipped, unfinished) = (concat!("#[ig", "nore"), concat!("to", "do!("));
            if source.contains(skipped) || source.contains(unfinished) {
                broken.push(format!("{shown} has something skipped or unfinished"));
            }
        }
        // An example is one file, to be read from its top to its end.
        let example = path.starts_with("examples");
        if path.ends_with("src/main.rs") && !example && read(&path)?.lines().count() > 40 {
            broken.push(format!("{shown} is longer than 40 lines"));
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(dir)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed
        .lines()
        .map(PathBuf::from)
        .filter(|path| path.exists())
        .collect())
}

/// Every path in backticks that looks like one must exist.
fn paths_of_architecture(broken: &mut Vec<String>) -> Result<(), String> {
    let documents = files(Path::new("."))?;
    let documents = documents.iter().filter(|path| {
        let root = path.components().count() == 1 || path.starts_with("docs");
        root && path.extension().is_some_and(|extension| extension == "md")
    });
    for document in documents {
        let page = read(document)?;
        let document = document.display();
        for (index, quoted) in page.split('`').enumerate() {
            let is_path = quoted.starts_with("crates/") || quoted.starts_with("docs/");
            let plain = !quoted.contains(|c: char| c.is_whitespace() || "*{}<>".contains(c));
            if index % 2 == 1 && is_path && plain && !Path::new(quoted).exists() {
                broken.push(format!("{document} names `{quoted}`, which does not exist"));
            }
        }
    }
    Ok(())
}
