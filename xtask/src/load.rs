//! Scenarios come in; each puts its load on its host, one after the other, and leaves its report in `docs/reports/`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::package;
use crate::steps::{self, run_with, target};

/// Where the reports of whole scenarios are kept; those of short ones go to the folder that cargo builds in.
const REPORTS: &str = "docs/reports";
const REPORT_BYTES_MAX: u64 = 1_000_000;

/// What the load is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A `bootstrap` that someone else built, under the same scenarios.
#[derive(Debug, PartialEq, Eq)]
struct Baseline {
    name: String,
    bootstrap: PathBuf,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    host: Host,
    is_short: bool,
    /// All of them where none is named.
    scenarios: Vec<String>,
    baselines: Vec<Baseline>,
}

/// Reads the words of the command line; the task's own name comes first.
fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        host: match words.next().as_deref() {
            Some("load-aws") => Host::Lambda,
            _ => Host::Machine,
        },
        is_short: false,
        scenarios: Vec::new(),
        baselines: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "short" => asked.is_short = true,
            "--baseline" if asked.host == Host::Lambda => {
                let given = words.next().unwrap_or_default();
                asked.baselines.push(baseline(&given)?);
            }
            _ if word.starts_with('-') => return Err(format!("`{word}` is not known here")),
            _ => asked.scenarios.push(word),
        }
    }
    Ok(asked)
}

/// The name is a part of its reports' names, which ours have from their host.
fn baseline(given: &str) -> Result<Baseline, String> {
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !name.is_empty() && name.bytes().all(plain) && name != Host::Lambda.name()
    };
    let Some((name, path)) = given.split_once('=').filter(|(name, _)| is_name(name)) else {
        return Err(format!(
            "--baseline takes NAME=PATH, a NAME of letters, digits and `-` that is not `lambda`; not `{given}`"
        ));
    };
    Ok(Baseline {
        name: name.to_owned(),
        bootstrap: fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?,
    })
}

/// Runs the scenarios that the words name.
pub(crate) fn run(words: impl Iterator<Item = String>) -> Result<(), String> {
    let asked = asked(words)?;
    let host = asked.host;
    let from = if asked.is_short {
        host.scenarios().join("short")
    } else {
        host.scenarios().to_owned()
    };
    // What is kept is ours alone, and of all that the machine has.
    let to = if asked.is_short || !asked.baselines.is_empty() {
        target()?.join("reports")
    } else {
        PathBuf::from(REPORTS)
    };
    let scenarios = chosen(scenarios(&from)?, &asked.scenarios, &from)?;
    fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    let built = build(host)?;
    let path = path(&built)?;
    let ours = On {
        host,
        path: &path,
        bootstrap: &built.bootstrap,
    };
    // Short runs ask nothing of it.
    if host == Host::Lambda && !asked.is_short {
        run_with("lambda_host ceiling", &[("PATH", &path)])?;
    }
    let mut failed = Vec::new();
    for (name, scenario) in &scenarios {
        let report = to.join(format!("{}-{name}", host.name()));
        failed.extend(ours.put(scenario, &report).err());
        for baseline in &asked.baselines {
            let theirs = On {
                bootstrap: &baseline.bootstrap,
                ..ours
            };
            let beside = to.join(format!("{}-{name}", baseline.name));
            // That a baseline breaks a threshold is a finding, and in the table; without a report there is none.
            if let Err(error) = theirs.put(scenario, &beside) {
                eprintln!("{}: {error}", baseline.name);
            }
            let (before, now) = (beside.display(), report.display());
            let compare = format!("lift report compare --baseline {before}.json --now {now}.json");
            failed.extend(run_with(&compare, &[("PATH", &path)]).err());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// Those that are named, or all; each name must be one.
fn chosen(
    mut scenarios: Vec<(String, PathBuf)>,
    named: &[String],
    folder: &Path,
) -> Result<Vec<(String, PathBuf)>, String> {
    let missing = named
        .iter()
        .find(|name| scenarios.iter().all(|(known, _)| known != *name));
    if let Some(name) = missing {
        return Err(format!("`{}` has no scenario `{name}`", folder.display()));
    }
    scenarios.retain(|(name, _)| named.is_empty() || named.contains(name));
    Ok(scenarios)
}

/// What a scenario is put on.
#[derive(Clone, Copy)]
struct On<'a> {
    host: Host,
    path: &'a str,
    bootstrap: &'a Path,
}

impl On<'_> {
    /// Runs one scenario; its reports are `report` with their endings, and of this run or none.
    fn put(&self, scenario: &Path, report: &Path) -> Result<(), String> {
        let over = match self.host {
            Host::Machine => "",
            Host::Lambda => "lambda_host over ",
        };
        let (scenario, report) = (scenario.display(), report.display());
        let files = ["json", "html"].map(|ending| format!("{report}.{ending}"));
        for file in &files {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(format!("{file}: {error}"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let [json, html] = &files;
        run_with(
            &format!("{over}lift load {scenario} --report {json} --report {html}"),
            &[
                ("PATH", self.path),
                ("LAMBDA_BOOTSTRAP", &self.bootstrap.to_string_lossy()),
            ],
        )?;
        for file in &files {
            let written = fs::metadata(file).map_err(|error| format!("{file}: {error}"))?;
            if written.len() > REPORT_BYTES_MAX {
                return Err(format!("{file} has {} bytes", written.len()));
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Asked, String> {
        asked(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_load_names_its_host_its_scenarios_and_its_baselines() {
        let all = words("load").unwrap();
        assert_eq!((all.host, all.is_short), (Host::Machine, false));
        assert!(all.scenarios.is_empty() && all.baselines.is_empty());
        let some = words("load-aws short jitter workers --baseline a=. --baseline b-2=.").unwrap();
        assert_eq!((some.host, some.is_short), (Host::Lambda, true));
        assert_eq!(some.scenarios, ["jitter", "workers"]);
        let names: Vec<_> = some.baselines.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b-2"]);
        assert!(some.baselines.iter().all(|one| one.bootstrap.is_absolute()));
    }

    #[test]
    fn what_a_load_does_not_know_is_refused() {
        for (line, text) in [
            ("load --baseline a=.", "`--baseline` is not known here"),
            ("load-aws --fast", "`--fast` is not known here"),
            ("load-aws --baseline", "NAME=PATH"),
            ("load-aws --baseline =.", "NAME=PATH"),
            ("load-aws --baseline lambda=.", "NAME=PATH"),
            ("load-aws --baseline ../a=.", "NAME=PATH"),
            ("load-aws --baseline a=/is/not/there", "/is/not/there: "),
        ] {
            let error = words(line).unwrap_err();
            assert!(error.contains(text), "{line}: {error}");
        }
        let known = vec![("jitter".to_owned(), PathBuf::from("jitter.yaml"))];
        let named = ["jitter".to_owned(), "jiter".to_owned()];
        let error = chosen(known.clone(), &named, Path::new("scenarios")).unwrap_err();
        assert_eq!(error, "`scenarios` has no scenario `jiter`");
        assert_eq!(chosen(known.clone(), &[], Path::new("")).unwrap(), known);
    }
}
