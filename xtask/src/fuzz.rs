//! The fuzz targets: seconds come in; each target's runs, coverage and findings go out.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

/// Targets that run at once.
const AT_ONCE: usize = 2;
/// A single run that takes longer is a finding, in seconds.
const RUN_SECONDS_MAX: u32 = 25;
/// More memory than this is a finding.
const MEMORY_MB_MAX: u32 = 2048;
const SECONDS: &str = "60";

/// Builds all targets once, then runs each for so many seconds.
pub(crate) fn run(seconds: Option<&str>) -> Result<(), String> {
    let seconds = seconds.unwrap_or(SECONDS);
    let seconds: u32 = seconds
        .parse()
        .map_err(|_not_a_number| format!("`{seconds}` is not a number of seconds"))?;
    let nightly = nightly()?;
    if Command::new("cargo-fuzz")
        .arg("--version")
        .output()
        .is_err()
    {
        succeed(Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    succeed(&mut fuzz(&nightly, "build"))?;
    let targets = targets()?;
    let waiting = Mutex::new(targets.iter());
    let next = || waiting.lock().ok()?.next();
    let findings = thread::scope(|scope| {
        let work = || {
            let mut findings = Vec::new();
            while let Some(target) = next() {
                findings.extend(run_one(&nightly, target, seconds).err());
            }
            findings
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let found = workers.into_iter().map(|worker| {
            let panicked = |_| vec!["a runner panicked".to_owned()];
            worker.join().unwrap_or_else(panicked)
        });
        found.flatten().collect::<Vec<_>>()
    });
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings.join("\n\n"))
    }
}

/// A name of the sanitizers' toolchain: libFuzzer needs flags that are unstable.
fn nightly() -> Result<String, String> {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output();
    let listed = listed.map_err(|error| format!("rustup cannot be run: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let mut names = listed.lines().filter_map(|line| line.split(' ').next());
    let nightly = names.find(|name| name.starts_with("nightly"));
    nightly
        .map(str::to_owned)
        .ok_or_else(|| "no nightly toolchain: `rustup toolchain install nightly`".to_owned())
}

fn fuzz(nightly: &str, task: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", nightly, "cargo", "fuzz", task, "--fuzz-dir=fuzz"]);
    // No address sanitizer: the workspace forbids `unsafe`, and without it the build takes half as
    // long and the targets run several times faster.
    command.arg("--sanitizer=none");
    command
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("{command:?} cannot be run: {error}")),
    }
}

/// Each has a folder of seeds.
fn targets() -> Result<Vec<String>, String> {
    let seeds =
        fs::read_dir("fuzz/corpus-seeds").map_err(|error| format!("fuzz/corpus-seeds: {error}"))?;
    let mut names: Vec<_> = seeds
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Runs one target and says on one line how it went; a finding comes back with the log's last lines.
fn run_one(nightly: &str, target: &str, seconds: u32) -> Result<(), String> {
    let (corpus, artifacts) = (
        Path::new("fuzz/corpus").join(target),
        Path::new("fuzz/artifacts"),
    );
    let log: PathBuf = artifacts.join(format!("{target}.log"));
    let open = || {
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(artifacts)?;
        File::create(&log)
    };
    let file = open().map_err(|error| format!("{}: {error}", log.display()))?;
    let status = fuzz(nightly, "run")
        .arg(target)
        .arg(&corpus)
        .arg(Path::new("fuzz/corpus-seeds").join(target))
        .args(["--", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={RUN_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .stdout(Stdio::null())
        .stderr(file)
        .status();
    let status = status.map_err(|error| format!("{target} cannot be run: {error}"))?;
    let said = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    let runs = after(&said, "stat::number_of_executed_units:");
    let coverage = after(&said, " cov:");
    let findings = usize::from(!status.success());
    eprintln!("{target}: {runs} runs, {coverage} edges covered, {findings} findings");
    if status.success() {
        return Ok(());
    }
    let lines: Vec<_> = said.lines().collect();
    let end = lines
        .get(lines.len().saturating_sub(40)..)
        .unwrap_or_default();
    Err(format!(
        "{target}, from {}:\n{}",
        log.display(),
        end.join("\n")
    ))
}

/// The word that follows the last place of `label`.
fn after<'a>(said: &'a str, label: &str) -> &'a str {
    let rest = said.rsplit_once(label).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().unwrap_or("?")
}
