//! The steps of a task: commands go in, their success or the first failure comes out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::counts;
use crate::package;
use crate::tidy;

/// Runs a command and says how long it took.
pub(crate) fn run(command: &str) -> Result<(), String> {
    run_with(command, &[])
}

pub(crate) fn run_with(command: &str, env: &[(&str, &str)]) -> Result<(), String> {
    eprintln!("\n── {command}");
    let started = Instant::now();
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("an empty command")?;
    let status = Command::new(program)
        .args(words)
        .envs(env.iter().copied())
        .status();
    let status = status.map_err(|error| format!("`{command}` cannot be run: {error}"))?;
    eprintln!("── {:.0} s", started.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{command}` failed: {status}"))
    }
}

/// The folder that cargo builds in.
pub(crate) fn target() -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let target = metadata
        .get("target_directory")
        .and_then(|dir| dir.as_str());
    target
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// Everything that CI runs. One debug build serves clippy and the tests.
pub(crate) fn test() -> Result<(), String> {
    tidy::check()?;
    run("cargo fmt --all --check")?;
    foreign_clients()?;
    run("cargo clippy --workspace --all-targets --all-features -- -D warnings")?;
    run("cargo test --workspace --all-features")?;
    fuzz_smoke()?;
    counts::run(None)?;
    run_with(
        "cargo doc --workspace --no-deps --all-features",
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    run("cargo run --quiet -- demo --rows 300000")?;
    run("bash tests/readme.sh")?;
    run("bash tests/settle.sh")?;
    run_with("cargo x load short", &[("LOAD_PROFILE", "dev")])?;
    // The other one, `mixed`, is a test of its own.
    run_with(
        "cargo x load-aws short avalanche connection-storm jitter message-throughput workers",
        &[("LOAD_PROFILE", "dev")],
    )?;
    if Command::new("cargo-deny").arg("--version").output().is_ok() {
        run("cargo deny check bans licenses sources")?;
    } else {
        eprintln!(
            "skipped: cargo-deny is not installed (optional: cargo install --locked cargo-deny)"
        );
    }
    Ok(())
}

/// The fuzz targets' bodies in the tests' own build, fed with their seeds and mutations of them. A
/// build for libFuzzer compiles all dependencies once more, which takes longer than CI has.
pub(crate) fn fuzz_smoke() -> Result<(), String> {
    run_with(
        "cargo test --workspace --all-features --test fuzz -- --nocapture",
        &[("FUZZ_SECONDS", "60")],
    )
}

/// What is not ours: npm `ws` and the schema of AsyncAPI, Python `websockets`, `awslambdaric`, `boto3`
/// and the AWS CLI, DynamoDB Local; `lizard`; `strace`, `faketime` and `chromium`.
fn foreign_clients() -> Result<(), String> {
    let modules = Path::new("tests/foreign/node_modules");
    if !modules.join("ws").exists() || !modules.join("@asyncapi/specs").exists() {
        run("npm install --prefix tests/foreign --no-audit --no-fund --silent")?;
    }
    python_tools()?;
    dynamodb_local()?;
    install("strace")?;
    install("faketime")?;
    install("chromium")
}

/// What PyPI has of `tests/foreign/requirements.txt`.
pub(crate) fn python_tools() -> Result<(), String> {
    if !Path::new("tests/foreign/.venv/bin/python").exists() {
        run("python3 -m venv tests/foreign/.venv")?;
    }
    run("tests/foreign/.venv/bin/pip install --quiet -r tests/foreign/requirements.txt")
}

/// Installs a tool of this name from Debian's package of this name, unless it is there.
pub(crate) fn install(tool: &str) -> Result<(), String> {
    if Command::new(tool).arg("--version").output().is_err() {
        run("apt-get update -qq")?;
        run(&format!("apt-get install -y -qq {tool}"))?;
    }
    Ok(())
}

/// DynamoDB Local's jars for the tests of `lift-dev`, which say that they are skipped where there is
/// no Java or Maven.
fn dynamodb_local() -> Result<(), String> {
    let found = |tool| Command::new(tool).arg("-version").output().is_ok();
    if Path::new("tests/dynamodb-local/jars").exists() || !found("java") || !found("mvn") {
        return Ok(());
    }
    run(
        "mvn -q -B -f tests/dynamodb-local/pom.xml dependency:copy-dependencies -DoutputDirectory=jars",
    )
}

/// Writes `docs/compatibility.md`; the test that otherwise compares it knows how.
pub(crate) fn compatibility() -> Result<(), String> {
    run_with(
        "cargo test --quiet -p lift-gateway --test it compatibility_page",
        &[("COMPATIBILITY", "write")],
    )
}

/// Writes `docs/lambda-environment.md`; the test that otherwise compares it knows how.
pub(crate) fn environment() -> Result<(), String> {
    run_with(
        "cargo test --quiet -p streamer --features lambda --lib lambda::variables",
        &[("ENVIRONMENT", "write")],
    )
}

/// Writes `docs/telemetry.md`; the test that otherwise compares it knows how.
pub(crate) fn telemetry() -> Result<(), String> {
    run_with(
        "cargo test --quiet -p lift-aws --features telemetry --test telemetry page",
        &[("TELEMETRY", "write")],
    )
}

/// Writes `docs/aws-costs.json`, the table of `docs/aws-costs.md` and the example of `docs/load-cost.md`; the tests that
/// otherwise compare them know how.
pub(crate) fn aws_costs() -> Result<(), String> {
    foreign_clients()?;
    run_with(
        "cargo test --quiet -p streamer --all-features --test lambda what_each",
        &[("AWS_COSTS", "write")],
    )?;
    run_with(
        "cargo test --quiet -p lift-cli --test it the_page_shows_what",
        &[("AWS_COSTS", "write")],
    )
}

/// The files that describe the service to programs; a test fails where they are stale.
pub(crate) fn schemas() -> Result<(), String> {
    run("cargo run --quiet -p streamer --example schemas")?;
    run_with(
        "cargo test --quiet -p lift-bench --test report -- schema figures_is_read",
        &[("LOAD_SCHEMAS", "write")],
    )
}

/// The main job on Lambda's side: what CI runs with a debug build, with the packaged `bootstrap` and a million rows.
pub(crate) fn aws() -> Result<(), String> {
    package::run_package()?;
    foreign()?;
    let bootstrap = target()?.join("lambda/bootstrap");
    run_with(
        "cargo test -p streamer --features lambda --test lambda -- journey:: cancel_that throttled",
        &[
            ("LAMBDA_BOOTSTRAP", &bootstrap.to_string_lossy()),
            ("LAMBDA_ROWS", "1000000"),
        ],
    )
}

/// What the functions call besides ours, which must be there.
pub(crate) fn foreign() -> Result<(), String> {
    foreign_clients()?;
    if Path::new("tests/dynamodb-local/jars").exists() {
        Ok(())
    } else {
        Err("DynamoDB Local is not here: it needs Java 17 and Maven".to_owned())
    }
}

/// What takes longer than CI has.
pub(crate) fn full() -> Result<(), String> {
    foreign_clients()?;
    run("cargo build --release --workspace --examples --bins")?;
    run("cargo run --release -- demo")?;
    run("cargo run --release -p streamer-server --example bench")?;
    run("cargo run --release -p lift-embedded --example bench_store")?;
    run("cargo run --release -p streamer-protocol --example bench_compression")?;
    run_with(
        "cargo test --release -p streamer-server --test crash",
        &[("CRASH_KILLS", "50")],
    )?;
    run_with(
        "cargo test --release -p streamer-server --test hostile -- --nocapture",
        &[("HOSTILE_READERS", "10000"), ("HOSTILE_PINGS", "10000000")],
    )?;
    if Command::new("cargo-llvm-cov")
        .arg("--version")
        .output()
        .is_err()
    {
        run("cargo install --locked cargo-llvm-cov")?;
    }
    let tools = [
        ("LLVM_COV", "/usr/bin/llvm-cov-22"),
        ("LLVM_PROFDATA", "/usr/bin/llvm-profdata-22"),
    ];
    if !Path::new("/usr/bin/llvm-cov-22").exists() {
        run("apt-get update -qq")?;
        run("apt-get install -y -qq llvm-22")?;
    }
    run_with(
        "cargo llvm-cov --workspace --all-features --ignore-filename-regex (tests|examples|xtask)/ --fail-under-lines 90",
        &tools,
    )
}
