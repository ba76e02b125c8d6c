//! Scenarios come in; each puts its load on its host, one after the other, and leaves its report in `docs/reports/`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::package;
use crate::steps::{self, run_with, target};

/// Where the reports of whole scenarios are kept; those of short ones go to the folder that cargo builds in.
const REPORTS: &str = "docs/reports";
const REPORT_BYTES_MAX: u64 = 1_000_000;

/// What the load is put on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    /// `streamer`, on one machine.
    Machine,
    /// The Lambda functions behind `lift dev`, with DynamoDB Local and moto's S3.
    Lambda,
}

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Lambda => "lambda",
        }
    }

    fn scenarios(self) -> &'static Path {
        Path::new(match self {
            Self::Machine => "scenarios",
            Self::Lambda => "scenarios/aws",
        })
    }
}

/// Runs all scenarios of a host, or those that are named; `short` takes the short ones. The task's own name comes first.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Result<(), String> {
    let host = match words.next().as_deref() {
        Some("load-aws") => Host::Lambda,
        _ => Host::Machine,
    };
    let (short, named): (Vec<_>, Vec<_>) = words.partition(|word| word == "short");
    let (from, to) = if short.is_empty() {
        (host.scenarios().to_owned(), PathBuf::from(REPORTS))
    } else {
        (host.scenarios().join("short"), target()?.join("reports"))
    };
    let mut scenarios = scenarios(&from)?;
    scenarios.retain(|(name, _)| named.is_empty() || named.contains(name));
    if scenarios.is_empty() {
        return Err(format!("`{}` has none of these scenarios", from.display()));
    }
    let io = |error: std::io::Error| format!("{}: {error}", to.display());
    fs::create_dir_all(&to).map_err(io)?;
    let built = build(host)?;
    let path = path(&built)?;
    let environment = [
        ("PATH", path.as_str()),
        ("LAMBDA_BOOTSTRAP", &built.bootstrap.to_string_lossy()),
    ];
    let over = match host {
        Host::Machine => "",
        Host::Lambda => {
            // Short runs ask nothing of it.
            if short.is_empty() {
                run_with("lambda_host ceiling", &environment)?;
            }
            "lambda_host over "
        }
    };
    let mut failed = Vec::new();
    for (name, scenario) in &scenarios {
        let report = to.join(format!("{}-{name}", host.name()));
        let report = report.display();
        let done = run_with(
            &format!(
                "{over}lift load {} --report {report}.json --report {report}.html",
                scenario.display()
            ),
            &environment,
        );
        if let Err(error) = done {
            failed.push(error);
            continue;
        }
        for ending in ["json", "html"] {
            let file = format!("{report}.{ending}");
            let bytes = fs::metadata(&file).map_err(io)?.len();
            if bytes > REPORT_BYTES_MAX {
                failed.push(format!("{file} has {bytes} bytes"));
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// Each scenario of a folder, by its file's name.
fn scenarios(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// What was built, and where.
struct Built {
    folder: PathBuf,
    bootstrap: PathBuf,
}

/// A release, and the functions as they are deployed; or all of it in the profile that `LOAD_PROFILE` names.
fn build(host: Host) -> Result<Built, String> {
    let given = env::var_os("LOAD_PROFILE").map(|name| name.to_string_lossy().into_owned());
    let profile = given.as_deref().unwrap_or("release");
    // Cargo keeps the profile `dev` in a folder of another name.
    let folder = target()?.join(if profile == "dev" { "debug" } else { profile });
    // One call for what is built together, so that both have the same features of the same crates; the features of the
    // tests, whose build it is then, where it is not what is deployed.
    let wanted = match (host, &given) {
        (Host::Machine, None) => "-p lift-cli -p streamer-server --bin streamer",
        (Host::Machine, Some(_)) => "--workspace --all-features --bin streamer",
        (Host::Lambda, None) => "-p lift-cli --example lambda_host",
        (Host::Lambda, Some(_)) => {
            "--workspace --all-features --bin bootstrap --example lambda_host"
        }
    };
    let command = format!("cargo build --profile {profile} --bin lift {wanted}");
    match (&given, commit()) {
        // What a report says of where it comes from; other builds are not made anew for each commit.
        (None, Some(commit)) => run_with(&command, &[("LIFT_COMMIT", &commit)])?,
        _ => steps::run(&command)?,
    }
    let bootstrap = match (host, &given) {
        (Host::Lambda, None) => {
            package::run_package()?;
            target()?.join("lambda/bootstrap")
        }
        (Host::Lambda, Some(_)) | (Host::Machine, _) => folder.join("bootstrap"),
    };
    if host == Host::Lambda {
        steps::foreign()?;
    }
    Ok(Built { folder, bootstrap })
}

/// The commit that is checked out, where there is one, and whether the tree is as it was.
fn commit() -> Option<String> {
    let asked = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output()
        .ok()?;
    let commit = String::from_utf8(asked.stdout).ok()?;
    asked.status.success().then(|| commit.trim().to_owned())
}

/// Where programs are looked for: scenarios name theirs without a place.
fn path(built: &Built) -> Result<String, String> {
    let before = env::var_os("PATH").unwrap_or_default();
    let ours = [built.folder.clone(), built.folder.join("examples")];
    let all = ours.into_iter().chain(env::split_paths(&before));
    let joined = env::join_paths(all).map_err(|error| format!("PATH: {error}"))?;
    let text = OsString::into_string(joined);
    text.map_err(|odd| format!("PATH is no text: {}", odd.display()))
}
