//! Scenarios and servers come in; verdicts, exit statuses and reports of `lift load` come out.

use std::{fs, path::PathBuf, process::Stdio};

use lift_bench::report::{Outcome, Report, count};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    run::{Transcript, alone, block_on, ended, lift, printed},
    server::{Connection, Server},
    signals::kill,
};

const SCENARIO: &str = "
name: hello
speaks: plain
behaviours:
  talker: { in_flight: 9, messages: [{ text: '{{ id }}' }] }
phases:
  - { name: arrive, duration: 100ms, connections_per_second: 20 }
  - { name: settle, duration: 1s }
  - { name: talk, duration: 200ms, messages_per_second: 50 }
limits: { lag: 1m, cpu: 100%, drain: 5s }
";
const HELP: &str =
    "  help: docs/load-scenarios.md describes every key, docs/load-reports.md every metric";

/// A directory with the scenario in it.
struct Place(TempDir);

impl Place {
    fn with(scenario: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("s.yaml"), scenario).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn scenario(&self) -> String {
        self.path("s.yaml").to_str().unwrap().to_owned()
    }

    /// Runs the scenario against a server that echoes; `script` may do something to the process meanwhile.
    fn load(&self, args: &[&str]) -> Transcript {
        block_on(async {
            let server = Server::bind().await;
            let scenario = self.scenario();
            let mut all = vec!["load", &scenario, "--target", &server.url];
            all.extend(args);
            let child = lift(&all).stdin(Stdio::null()).spawn().unwrap();
            tokio::select! {
                transcript = ended(child) => transcript,
                () = echo(&server, || {}) => unreachable!(),
            }
        })
    }
}

/// Echoes to whoever connects, for ever; says when it heard a text.
async fn echo(server: &Server, heard: impl Fn() + Clone + Send + 'static) {
    async fn one(mut connection: Connection, heard: impl Fn()) {
        while let Some(text) = connection.hear_text_or_end().await {
            heard();
            connection.say(&text).await;
        }
    }
    let mut connections = JoinSet::new();
    loop {
        connections.spawn(one(server.accept_plain().await, heard.clone()));
    }
}

fn first_line(run: &Transcript) -> &str {
    run.stdout.lines().next().unwrap_or_default()
}

#[test]
fn a_scenario_that_cannot_be_used_is_refused_where_it_is_wrong() {
    let phase_keys = "name, duration, connections_per_second, messages_per_second, ramp_to, hold, behaviour, faults, measured";
    for (from, to, args, cause) in [
        (
            "1s }",
            "1s, measurd: no }",
            vec![],
            format!(
                "line 8, column 35: unknown field `measurd`, expected one of {phase_keys}; did you mean `measured`?"
            ),
        ),
        (
            "200ms",
            "fast",
            vec![],
            "line 9, column 29: `duration`: `fast` is no time: write 500ms, 30s, 5m or 1h"
                .to_owned(),
        ),
        (
            "hello",
            "hello",
            vec!["--threshold", "reply.p98 < 1ms"],
            "`reply.p98 < 1ms`: there is no metric `reply.p98`; did you mean `reply.p99`?"
                .to_owned(),
        ),
        (
            "hello",
            "hello",
            vec!["--threshold", "reply{walker}.p99 < 1ms"],
            "`reply{walker}.p99`: there is no behaviour `walker`; did you mean `talker`?"
                .to_owned(),
        ),
    ] {
        let place = Place::with(&SCENARIO.replacen(from, to, 1));
        let scenario = place.scenario();
        let mut all = vec!["load", &scenario, "--target", "ws://127.0.0.1:9/"];
        all.extend(args);
        let stderr = [
            &format!("error: the scenario `{scenario}` cannot be used"),
            &format!("  cause: {cause}"),
            HELP,
        ];
        assert_eq!(alone(&all, ""), printed(2, &[], &stderr));
    }
}

#[test]
fn a_target_that_is_given_is_checked_instead_of_the_scenarios() {
    let place = Place::with(&format!(
        "target: 'ws://127.0.0.1:9/{{{{ data.n }}}}'{SCENARIO}"
    ));
    let scenario = place.scenario();
    assert_eq!(alone(&["load", &scenario, "--check"], "").exit, Some(2));
    let given = [
        "load",
        &scenario,
        "--check",
        "--target",
        "ws://127.0.0.1:9/{{ client }}",
    ];
    let stdout = ["hello: 3 phases, 0 thresholds"];
    assert_eq!(alone(&given, ""), printed(0, &stdout, &[]));
}

#[test]
fn an_argument_that_no_run_can_do_is_refused_before_it() {
    let place = Place::with(SCENARIO);
    for (argument, value, wanted) in [
        (
            "--processes",
            "0",
            "invalid value '0' for '--processes <NUMBER>': 0 is not in 1..=64",
        ),
        (
            "--processes",
            "65",
            "invalid value '65' for '--processes <NUMBER>': 65 is not in 1..=64",
        ),
        (
            "--target",
            "ws://127.0.0.1:9/?a={{ seq }}",
            "unknown name `seq` in the template `ws://127.0.0.1:PORT/?a={{ seq }}`, expected one of client, data, random, seed",
        ),
        (
            "--target",
            "http://example.test",
            "invalid value 'http://example.test' for '--target <URL>': `http://example.test` is no `ws://` or `wss://` URL: \
             write `ws://127.0.0.1:PORT`",
        ),
    ] {
        let scenario = place.scenario();
        let run = alone(&["load", &scenario, "--check", argument, value], "");
        assert_eq!(run.exit, Some(2), "{run:?}");
        assert!(run.stderr.contains(wanted), "{run:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_one_error() {
    let place = Place::with(SCENARIO);
    let stderr = [
        "error: no load was put on anything",
        "  cause: cannot reach `ws://127.0.0.1:PORT/`: Connection refused (os error 111)",
        "  help: check that the server runs and that the URL is the one that it printed",
    ];
    let url = block_on(async { Server::bind().await.url.clone() });
    let run = alone(&["load", &place.scenario(), "--target", &url], "");
    assert_eq!(run, printed(4, &[], &stderr));
}

#[test]
fn a_server_that_refuses_is_one_error() {
    let place = Place::with(SCENARIO);
    let run = block_on(async {
        let server = Server::bind().await;
        let args = ["load", &place.scenario(), "--target", &server.url];
        let child = lift(&args).stdin(Stdio::null()).spawn().unwrap();
        let (run, ()) = tokio::join!(ended(child), server.refuse("403 Forbidden"));
        run
    });
    let stderr = [
        "error: no load was put on anything",
        "  cause: `ws://127.0.0.1:PORT/` refused the connection with status 403",
        "  help: check that the scenario has `tokens`, and that --data-dir is the server's own: its key signs them",
    ];
    assert_eq!(run, printed(5, &[], &stderr));
}

#[test]
fn tokens_that_no_server_takes_are_not_made() {
    let place = Place::with(&SCENARIO.replace("speaks: plain", "speaks: plain\ntokens: {}"));
    let data = place.path("data");
    let args = ["--target", "ws://127.0.0.1:9/", "--data-dir"];
    let scenario = place.scenario();
    let mut all = vec!["load", &scenario];
    all.extend(args);
    all.push(data.to_str().unwrap());
    let stderr = [
        "error: the tokens of the scenario cannot be signed",
        &format!("  cause: there is no `{}`", data.join("keys").display()),
        "  help: give the data directory of the server with --data-dir; where it takes no tokens, leave out `tokens`",
    ];
    assert_eq!(alone(&all, ""), printed(2, &[], &stderr));
    assert!(!data.exists());
}

#[test]
fn a_report_without_a_place_is_refused_before_the_run() {
    let place = Place::with(SCENARIO);
    let (scenario, file) = (place.scenario(), place.path("none/x.json"));
    let file = file.to_str().unwrap();
    let args = [
        "load",
        &scenario,
        "--target",
        "ws://127.0.0.1:9/",
        "--report",
        file,
    ];
    let directory = place.path("none");
    let stderr = [
        &format!("error: no report can be written to `{file}`"),
        &format!("  cause: there is no directory `{}`", directory.display()),
        "  help: make it first",
    ];
    assert_eq!(alone(&args, ""), printed(2, &[], &stderr));
}

#[test]
fn what_was_measured_is_printed_though_a_report_cannot_be_written() {
    let place = Place::with(SCENARIO);
    let (directory, file) = (place.path("d.json"), place.path("x.csv"));
    fs::create_dir(&directory).unwrap();
    let args = [
        "--report",
        directory.to_str().unwrap(),
        "--report",
        file.to_str().unwrap(),
    ];
    let run = place.load(&[&["--quiet"], &args[..]].concat());
    assert_eq!(run.exit, Some(1), "{run:?}");
    let first = first_line(&run);
    assert!(first.starts_with("passed: hello · 10 of 10"), "{run:?}");
    let what = format!("error: the report `{}` cannot", directory.display());
    assert!(run.stderr.starts_with(&what), "{run:?}");
    assert!(fs::metadata(&file).unwrap().len() > 0);
}

#[test]
fn a_server_of_another_protocol_is_said_to_be_one() {
    let streamer = SCENARIO
        .replace("speaks: plain\n", "")
        .replace("text: '{{ id }}'", "action: echo, payload: 1")
        .replace("drain: 5s", "drain: 200ms");
    let run = Place::with(&streamer).load(&["--quiet", "--threshold", "errors == 0"]);
    assert_eq!(run.exit, Some(3), "{run:?}");
    let help = "  help: nothing was answered: for a server that does not speak `streamer.v1` the scenario needs `speaks: plain`\n";
    assert!(run.stderr.ends_with(help), "{run:?}");
}

#[test]
fn a_run_says_its_verdict_first_and_writes_a_report_that_can_be_read() {
    let place = Place::with(SCENARIO);
    let file = place.path("x.json");
    let run = place.load(&[
        "--threshold",
        "messages.lost == 0",
        "--report",
        file.to_str().unwrap(),
        "--seed",
        "77",
    ]);
    assert_eq!(run.exit, Some(0), "{run:?}");
    let first = first_line(&run);
    assert!(
        first.starts_with("passed: hello · 10 of 10 answered · reply p50 "),
        "{first}"
    );
    let report = Report::read(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((report.verdict.outcome, report.seed), (Outcome::Passed, 77));
    assert_eq!(report.total.counts[count::ANSWERED], 10);
    assert_eq!(report.thresholds.len(), 1);
    // Nothing but lines: it is no terminal.
    assert!(run.stderr.starts_with("   0 s · "), "{run:?}");
    assert!(run.stderr.ends_with('\n'), "{run:?}");
    assert!(
        !run.stderr.contains(|c: char| c.is_control() && c != '\n'),
        "{run:?}"
    );
}

#[test]
fn a_terminal_has_a_bar_that_moves_and_leaves_nothing_behind() {
    let place = Place::with(SCENARIO);
    let run = block_on(async {
        let server = Server::bind().await;
        let words = [
            env!("CARGO_BIN_EXE_lift"),
            "load",
            &place.scenario(),
            "--target",
            &server.url,
        ];
        // `script` gives it a terminal; what it writes there comes out.
        let child = tokio::process::Command::new("script")
            .args([
                "-qefc",
                &format!("stty cols 100; exec {}", words.join(" ")),
                "/dev/null",
            ])
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        tokio::select! {
            transcript = ended(child) => transcript,
            () = echo(&server, || {}) => unreachable!(),
        }
    });
    assert_eq!(run.exit, Some(0), "{run:?}");
    let (live, report) = run.stdout.split_once("passed: hello").unwrap();
    // On the first line the bar and the phase, below it what it is about.
    assert!(live.contains("[=") && live.contains("] settle"), "{live:?}");
    assert!(live.contains("2 open, 2 opened/s"), "{live:?}");
    // The bar is wiped before the report is written.
    assert!(live.ends_with("\u{1b}[2K\u{1b}[1A"), "{live:?}");
    assert!(!report.contains('\u{1b}'), "{report:?}");
}

#[test]
fn a_quiet_run_prints_its_report_alone_as_json() {
    let run = Place::with(SCENARIO).load(&["--json", "--quiet"]);
    assert_eq!((run.exit, run.stderr.as_str()), (Some(0), ""));
    let report = Report::read(&run.stdout).unwrap();
    assert_eq!(report.total.counts[count::DUE], 10);
}

#[test]
fn a_threshold_that_does_not_hold_breaks_the_run() {
    let run = Place::with(SCENARIO).load(&["--quiet", "--threshold", "messages.answered > 10"]);
    let stderr = [
        "error: a threshold does not hold",
        "  cause: `messages.answered > 10` does not hold: it is 10",
        "  help: the report has what was measured",
    ];
    assert_eq!(
        (run.exit, &run.stderr),
        (Some(3), &printed(3, &[], &stderr).stderr)
    );
    assert!(first_line(&run).starts_with("broken: hello · "), "{run:?}");
}

#[test]
fn a_run_that_says_nothing_of_the_server_is_invalid() {
    // Its clients leave before the messages come.
    let nobody = SCENARIO.replace("messages: [", "steps: [connect, disconnect], messages: [");
    let run = Place::with(&nobody).load(&["--quiet", "--threshold", "messages.answered > 10"]);
    let stderr = [
        "error: the run is invalid: its figures say nothing of the server",
        "  cause: 10 of 10 messages that were due found no client: none was connected, or each had too many waiting",
        "  help: see that clients are there for what is due; lower the rates, or give the generator a machine of its own",
    ];
    assert_eq!(
        (run.exit, &run.stderr),
        (Some(1), &printed(1, &[], &stderr).stderr)
    );
    assert!(first_line(&run).starts_with("invalid: hello · "), "{run:?}");
}

#[test]
fn a_load_that_processes_share_is_one_report() {
    let place = Place::with(SCENARIO);
    let run = place.load(&["--processes", "2", "--json", "--quiet"]);
    let report = Report::read(&run.stdout).unwrap();
    let counted = |name| report.total.counts.get(name).copied();
    assert_eq!(
        (run.exit, report.verdict.outcome, report.generator.processes),
        (Some(0), Outcome::Passed, 2),
        "{run:?}"
    );
    assert_eq!(
        [count::OPENED, count::DUE, count::ANSWERED].map(counted),
        [Some(2), Some(10), Some(10)]
    );
    assert_eq!(report.total.latencies["reply"].count, 10);
}

#[test]
fn a_signal_ends_the_schedule_and_reports_what_was_measured() {
    for (signal, processes, exit) in [("-INT", "1", 130), ("-TERM", "1", 143), ("-INT", "2", 130)] {
        ended_by(signal, processes, exit);
    }
}

fn ended_by(signal: &str, processes: &str, exit: i32) {
    let place = Place::with(&SCENARIO.replace("200ms", "1h"));
    let run = block_on(async {
        let server = Server::bind().await;
        let args = [
            "load",
            &place.scenario(),
            "--target",
            &server.url,
            "--processes",
            processes,
            "--quiet",
        ];
        let child = lift(&args).stdin(Stdio::null()).spawn().unwrap();
        let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let interrupted = async {
            hears.recv().await.unwrap();
            kill(&child, signal).await;
        };
        let heard = move || heard.send(()).unwrap_or_default();
        let mut echoing = std::pin::pin!(echo(&server, heard));
        tokio::select! {
            () = interrupted => {}
            () = &mut echoing => unreachable!(),
        }
        tokio::select! {
            run = ended(child) => run,
            () = echoing => unreachable!(),
        }
    });
    let stderr = [
        "ending: waiting for what is under way, and then reporting; once more to end at once",
        "error: the run was interrupted",
        "  cause: the schedule was not done to its end",
        "  help: the report has what was measured until then",
    ];
    assert_eq!(
        (run.exit, &run.stderr),
        (Some(exit), &printed(exit, &[], &stderr).stderr)
    );
    let first = first_line(&run);
    assert!(first.starts_with("interrupted: hello · "), "{first}");
    assert!(
        first.contains(" · 0 lost, 0 twice, 0 out of order"),
        "{first}"
    );
}
