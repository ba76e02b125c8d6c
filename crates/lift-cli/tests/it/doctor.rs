//! Data directories, certificates and URLs come in, findings and an exit status come out.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::{
    live::Live,
    run::{Transcript, alone, block_on, ended, lift},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The status of each check, as `check status`.
fn statuses(run: &Transcript) -> Vec<String> {
    let said: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let checks = said["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            format!(
                "{} {}",
                check["check"].as_str().unwrap(),
                check["status"].as_str().unwrap()
            )
        })
        // What this machine allows is not ours to expect.
        .filter(|line| {
            !["open files", "backlog", "free space"]
                .iter()
                .any(|of| line.starts_with(of))
        })
        .collect()
}

#[test]
fn a_server_that_is_well_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    block_on(async {
        let server = Live::start(&data).await;
        let args = ["doctor", "--data-dir", text(&data), "--url", &server.url];
        let run = ended(lift(&[&args[..], &["--json"]].concat()).spawn().unwrap()).await;
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{run:?}");
        assert_eq!(
            statuses(&run),
            [
                "data directory ok",
                "keys ok",
                "store ok",
                "clock ok",
                "healthz ok",
                "readyz ok",
                "echo ok"
            ]
        );
        assert!(
            run.stdout.contains(&format!(
                "held by a live server, process {}",
                std::process::id()
            )),
            "{run:?}"
        );

        let run = ended(lift(&args).spawn().unwrap()).await;
        let echo = run
            .stdout
            .lines()
            .find(|line| line.contains("echo"))
            .unwrap();
        assert!(
            echo.starts_with("ok       echo            connected in "),
            "{echo}"
        );

        fs::rename(data.join("keys"), dir.path().join("elsewhere")).unwrap();
        let run = ended(lift(&[&args[..], &["--json"]].concat()).spawn().unwrap()).await;
        assert_eq!(run.exit, Some(0), "{run:?}");
        assert!(
            statuses(&run).contains(&"keys warning".to_owned()),
            "{run:?}"
        );
        assert!(
            statuses(&run).contains(&"handshake ok".to_owned()),
            "{run:?}"
        );
        server.stop().await;
    });
}

#[test]
fn what_is_wrong_fails_with_a_help() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let held =
        lift_embedded::EmbeddedTasks::open(&data.join("store"), &lift_embedded::Options::default());
    drop(held.unwrap());
    assert_eq!(
        alone(&["token", "keygen", "--data-dir", text(&data)], "").exit,
        Some(0)
    );
    let key = fs::read_dir(data.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let key = key
        .filter(|path| path.extension().is_some_and(|e| e == "pem"))
        .last()
        .unwrap();
    let doctor = || alone(&["doctor", "--data-dir", text(&data), "--json"], "");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&data, 0o750);
    assert_eq!(
        statuses(&doctor()),
        ["data directory ok", "keys ok", "store ok", "clock ok"]
    );

    mode(&key, 0o644);
    mode(&data, 0o777);
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary under test has the real clock"
    )]
    let later = SystemTime::now() + Duration::from_secs(3600);
    let witness = fs::File::options()
        .write(true)
        .open(data.join("store/store/witness"));
    witness.unwrap().set_modified(later).unwrap();
    let run = doctor();
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert_eq!(
        statuses(&run),
        [
            "data directory failed",
            "keys failed",
            "store ok",
            "clock failed"
        ]
    );
    assert!(
        run.stderr
            .contains("  cause: data directory, keys, clock\n"),
        "{run:?}"
    );
}

#[test]
fn a_server_or_store_that_cannot_be_used_fails_with_a_help() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = data.join("store");
    let options = lift_embedded::Options::default();
    drop(lift_embedded::EmbeddedTasks::open(&store, &options).unwrap());
    fs::remove_file(data.join("store/store/FORMAT")).unwrap();
    let run = alone(
        &[
            "doctor",
            "--data-dir",
            text(&data),
            "--url",
            "ws://127.0.0.1:1",
        ],
        "",
    );
    assert_eq!(run.exit, Some(1), "{run:?}");
    for (check, help) in [
        ("FAILED   store ", "restore a backup"),
        ("FAILED   healthz ", "check that the server runs"),
        ("FAILED   readyz ", "check that the server runs"),
    ] {
        let (_, after) = run
            .stdout
            .split_once(check)
            .unwrap_or_else(|| panic!("{check}: {run:?}"));
        let line = after.lines().nth(1).unwrap();
        assert!(
            line.starts_with("           help: ") && line.contains(help),
            "{check}: {line}"
        );
    }
    let run = alone(
        &[
            "doctor",
            "--data-dir",
            text(&dir.path().join("none")),
            "--json",
        ],
        "",
    );
    assert_eq!(
        (run.exit, statuses(&run)),
        (Some(1), vec!["data directory failed".to_owned()])
    );
}

#[test]
fn a_certificate_is_judged_by_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let none = dir.path().join("none.pem");
    for (file, exit, found) in [
        (
            fixtures.join("until-2060.pem"),
            0,
            "ok       certificate     good until 2060-01-01T00:00:00Z",
        ),
        (
            fixtures.join("expired.pem"),
            1,
            "FAILED   certificate     expired at 2020-02-01T00:00:00Z",
        ),
        (none, 1, "No such file or directory"),
    ] {
        let mut command = lift(&["doctor", "--tls-cert", text(&file)]);
        command.current_dir(dir.path());
        let run = crate::run::with(command, b"");
        assert_eq!(run.exit, Some(exit), "{run:?}");
        assert!(run.stdout.contains(found), "{found}: {run:?}");
    }
}
