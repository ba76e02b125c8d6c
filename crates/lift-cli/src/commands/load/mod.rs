//! A scenario comes in; a server is put under its load, and the report goes out.

mod live;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use lift_bench::{
    Claims, Mint,
    report::{Form, Outcome, Report},
    run::{self, Error as RunError, Means, Spawn},
    scenario::{Protocol, Scenario, Server},
};
use streamer::auth::{Keys, MintRequest, mint};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::ws::Signals;
use crate::{
    args::LoadArgs,
    config::Environment,
    failure::{Exit, Failure},
    output::{print, say},
};

/// What tells a server of the scenario's own where its data are.
const DATA_DIR_VARIABLE: &str = "STREAMER_DATA_DIR";
/// Where keys are if nothing else is said.
const DATA_DIR: &str = ".streamer";

pub(crate) fn run(args: &LoadArgs, environment: &Environment) -> Result<(), Failure> {
    let mut scenario = read(args)?;
    if args.part.is_none() {
        // Whoever started a part has checked it.
        run::check(&scenario).map_err(|error| failed(args, &error))?;
    }
    let forms = forms(args)?;
    if args.check {
        let (phases, thresholds) = (scenario.phases.len(), scenario.thresholds.len());
        return print(&format!(
            "{}: {phases} phases, {thresholds} thresholds\n",
            scenario.name
        ));
    }
    if args.target.is_some() {
        // That server is there already.
        scenario.server = None;
    }
    let place = Place::of(args, &mut scenario)?;
    let mint = match &scenario.tokens {
        Some(_) => Some(signing(&place.dir, scenario.server.as_ref())?),
        None => None,
    };
    let scenario = Arc::new(scenario);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot_start(&error))?;
    let mut means = Means::default();
    means.mint = mint;
    means.spawn = Some(spawning(args, &place.dir));
    if let Some(part) = args.part {
        let talk = (tokio::io::stdin(), tokio::io::stdout());
        let done = runtime.block_on(run::part_of(scenario, means, part, talk));
        // A read of stdin cannot be given up.
        runtime.shutdown_background();
        return done.map_err(|error| failed(args, &error));
    }
    let report = runtime.block_on(one_run(args, environment, Arc::clone(&scenario), means));
    // What a second Ctrl-C leaves undone must not hold the process.
    runtime.shutdown_background();
    let (report, ended_by) = report?;
    drop(place);
    // All that can be written is: a load takes long.
    let printed = print(&report.written(if args.json { Form::Json } else { Form::Text }));
    let written: Vec<_> = forms
        .iter()
        .map(|(file, form)| write(file, &report.written(*form), args.quiet))
        .collect();
    printed?;
    written.into_iter().collect::<Result<(), _>>()?;
    judged(&report, ended_by, hint(&report, &scenario))
}

fn write(file: &Path, text: &str, quiet: bool) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| {
        let what = format!("the report `{}` cannot be written", file.display());
        Failure::file(Exit::Failed, what, &error, "check where it goes to")
    })?;
    if !quiet {
        say(&format!("wrote {}", file.display()));
    }
    Ok(())
}

/// Where keys and the data of the scenario's own server are.
struct Place {
    dir: PathBuf,
    /// Removed with this, if it was made for the run.
    _made: Option<TempDir>,
}

impl Place {
    fn of(args: &LoadArgs, scenario: &mut Scenario) -> Result<Self, Failure> {
        let made = match (&args.data_dir, &scenario.server) {
            (None, Some(_)) => Some(TempDir::new().map_err(|error| cannot_start(&error))?),
            _ => None,
        };
        let given = args.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR));
        let dir = made.as_ref().map_or(given, TempDir::path).to_owned();
        if let Some(server) = &mut scenario.server {
            let shown = dir.display().to_string();
            server
                .environment
                .insert(DATA_DIR_VARIABLE.to_owned(), shown);
            beside(&mut server.command);
        }
        Ok(Self { dir, _made: made })
    }
}

/// A program that is named without a path is first looked for where this one is.
fn beside(command: &mut [String]) {
    let Some(program) = command.first_mut().filter(|program| !program.contains('/')) else {
        return;
    };
    let own = std::env::current_exe().ok();
    let found = own.map(|own| own.with_file_name(&*program));
    if let Some(found) = found.filter(|found| found.is_file()) {
        *program = found.display().to_string();
    }
}

/// This command again, for one part of the load.
fn spawning(args: &LoadArgs, dir: &Path) -> Spawn {
    let (scenario, dir, seed) = (args.scenario.clone(), dir.to_owned(), args.seed);
    Arc::new(move |part, target| {
        let program = std::env::current_exe().unwrap_or_else(|_unknown| "lift".into());
        let mut command = Command::new(program);
        command
            .arg("load")
            .arg(&scenario)
            .arg("--target")
            .arg(target);
        command.arg("--data-dir").arg(&dir);
        command
            .arg("--part")
            .arg(format!("{}/{}", part.number, part.of));
        if let Some(seed) = seed {
            command.arg("--seed").arg(seed.to_string());
        }
        command
    })
}

fn cannot_start(error: &std::io::Error) -> Failure {
    let help = "the system refused it; check the limits of this process";
    Failure::file(Exit::Failed, "`lift load` cannot start", error, help)
}

async fn one_run(
    args: &LoadArgs,
    environment: &Environment,
    scenario: Arc<Scenario>,
    mut means: Means,
) -> Result<(Report, Option<Exit>), Failure> {
    let interrupt = CancellationToken::new();
    means.interrupt = interrupt.clone();
    let (live, shown) = live::show(&scenario, environment, args.quiet);
    means.live = Some(live);
    let mut signals = Signals::new().map_err(|error| cannot_start(&error))?;
    let mut running = std::pin::pin!(run::run(Arc::clone(&scenario), means));
    let mut shown = std::pin::pin!(shown);
    let mut ended_by = None;
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            () = &mut shown => {}
            exit = signals.next() => {
                if ended_by.replace(exit).is_some() {
                    return Err(Failure::signal(exit, "what was measured is not reported"));
                }
                say("ending: waiting for what is under way, and then reporting; once more to end at once");
                interrupt.cancel();
            }
        }
    };
    let report = report.map_err(|error| failed(args, &error))?;
    Ok((report, ended_by))
}

fn read(args: &LoadArgs) -> Result<Scenario, Failure> {
    let file = args.scenario.display();
    let text = fs::read_to_string(&args.scenario).map_err(|error| {
        let what = format!("the scenario `{file}` cannot be read");
        Failure::file(
            Exit::Usage,
            what,
            &error,
            "`scenarios/` of the project has some to begin with",
        )
    })?;
    let wrong = |problem: &lift_bench::scenario::Problem| {
        let help = "docs/load-scenarios.md describes every key, docs/load-reports.md every metric";
        Failure::new(
            Exit::Usage,
            format!("the scenario `{file}` cannot be used"),
            problem.to_string(),
            help,
        )
    };
    let mut scenario = Scenario::parse(&text).map_err(|problem| wrong(&problem))?;
    scenario.thresholds.extend(args.threshold.iter().cloned());
    if let Some(target) = &args.target {
        scenario.target = Some(target.clone());
    }
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    if let Some(processes) = args.processes {
        scenario.processes = processes;
    }
    run::thresholds(&scenario).map_err(|problem| wrong(&problem))?;
    Ok(scenario)
}

/// Each file with the form that its ending asks for.
fn forms(args: &LoadArgs) -> Result<Vec<(&Path, Form)>, Failure> {
    let form = |file: &Path| {
        let ending = file
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        let name = match ending {
            "xml" => "junit",
            "md" => "markdown",
            "txt" => "text",
            other => other,
        };
        Form::named(name).ok_or_else(|| {
            let what = format!("no report can be written to `{}`", file.display());
            let cause = "its ending is none of .json, .html, .md, .csv, .xml, .txt";
            Failure::new(
                Exit::Usage,
                what,
                cause,
                "give the file one of these endings",
            )
        })
    };
    let place = |file: &Path| match file.parent().filter(|dir| *dir != Path::new("")) {
        Some(dir) if !dir.is_dir() => {
            let what = format!("no report can be written to `{}`", file.display());
            let cause = format!("there is no directory `{}`", dir.display());
            Err(Failure::new(Exit::Usage, what, cause, "make it first"))
        }
        Some(_) | None => Ok(()),
    };
    args.report
        .iter()
        .map(|file| {
            place(file)?;
            Ok((file.as_path(), form(file)?))
        })
        .collect()
}

/// What signs the tokens of virtual clients: only a server that is started here takes what a new key signs.
fn signing(data_dir: &Path, own: Option<&Server>) -> Result<Mint, Failure> {
    let dir = data_dir.join("keys");
    if own.is_none() && !dir.is_dir() {
        let what = "the tokens of the scenario cannot be signed";
        let cause = format!("there is no `{}`", dir.display());
        let help = "give the data directory of the server with --data-dir; where it takes no tokens, leave out `tokens`";
        return Err(Failure::new(Exit::Usage, what, cause, help));
    }
    let keys = Keys::open(&dir).map_err(|error| {
        let what = format!("the keys in `{}` cannot be used", dir.display());
        Failure::file(
            Exit::Usage,
            what,
            &error,
            "give the data directory of the server with --data-dir",
        )
    })?;
    Ok(Arc::new(move |claims: &Claims| {
        let request = MintRequest {
            sub: claims.sub.clone(),
            tenant: Some(claims.tenant.clone()),
            permissions: claims.permissions.clone(),
            issuer: None,
            audience: None,
            expires_in: claims.expires_in,
            now_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
        };
        mint(&keys, &request).map_err(|error| error.to_string())
    }))
}

fn failed(args: &LoadArgs, error: &RunError) -> Failure {
    let file = args.scenario.display();
    match error {
        RunError::Scenario(problem) => {
            let help = "docs/load-scenarios.md describes every key";
            Failure::new(
                Exit::Usage,
                format!("the scenario `{file}` cannot be used"),
                problem,
                help,
            )
        }
        RunError::Server(problem) => {
            let help = "its program is looked for beside `lift`, then on the PATH (here `cargo build --release` makes it); \
                run its command by hand to see what it says";
            Failure::new(
                Exit::Failed,
                format!("the server of `{file}` does not run"),
                problem,
                help,
            )
        }
        RunError::Unreachable { .. } => {
            let help = "check that the server runs and that the URL is the one that it printed";
            Failure::file(
                Exit::Unreachable,
                "no load was put on anything",
                error,
                help,
            )
        }
        RunError::Refused { status, .. } => {
            let help = match status {
                401 | 403 => {
                    "check that the scenario has `tokens`, and that --data-dir is the server's own: its key signs them"
                }
                _ => "check the path: a WebSocket endpoint answers with status 101",
            };
            Failure::file(Exit::Refused, "no load was put on anything", error, help)
        }
        other => Failure::file(
            Exit::Failed,
            "the run failed",
            other,
            "check the limits of this machine",
        ),
    }
}

/// What helps where a threshold does not hold.
fn hint(report: &Report, scenario: &Scenario) -> &'static str {
    let mut speaks = scenario.behaviours.values();
    let streamer = speaks.any(|one| one.speaks.unwrap_or(scenario.speaks) == Protocol::Streamer);
    let counted = |name: &str| report.total.counts.get(name).copied().unwrap_or(0);
    if streamer && counted("messages.due") > 0 && counted("messages.answered") == 0 {
        "nothing was answered: for a server that does not speak `streamer.v1` the scenario needs `speaks: plain`"
    } else {
        "the report has what was measured"
    }
}

/// The exit status of a verdict; `ended_by` is the signal's that ended the schedule.
fn judged(report: &Report, ended_by: Option<Exit>, hint: &str) -> Result<(), Failure> {
    let cause = report.verdict.reasons.join("; ");
    match report.verdict.outcome {
        Outcome::Passed => Ok(()),
        Outcome::Broken => Err(Failure::new(
            Exit::Unmet,
            "a threshold does not hold",
            cause,
            hint,
        )),
        Outcome::Invalid => Err(Failure::new(
            Exit::Failed,
            "the run is invalid: its figures say nothing of the server",
            cause,
            "see that clients are there for what is due; lower the rates, or give the generator a machine of its own",
        )),
        Outcome::Interrupted => Err(Failure::new(
            ended_by.unwrap_or(Exit::Interrupted),
            "the run was interrupted",
            "the schedule was not done to its end",
            "the report has what was measured until then",
        )),
    }
}
