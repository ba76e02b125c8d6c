//! Command lines that cannot work come in, errors with a way out and exit status 2 come out.

use crate::run::{alone, printed};

#[test]
fn what_cannot_work_is_said_with_cause_and_help() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (none, empty, text) = (path("none"), path("empty"), path("text"));
    std::fs::write(&empty, "\n").unwrap();
    std::fs::write(
        &text,
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let url = "  help: a URL is like `ws://127.0.0.1:PORT/`; `lift ws --help` shows every option";
    let options = "error: the connection cannot be tried";
    let token_file = "  help: `lift token mint … > FILE` writes one";
    for (args, stderr) in [
        (
            vec!["http://127.0.0.1/"],
            [
                options,
                "  cause: the URL `http://127.0.0.1/` does not start with `ws://` or `wss://`",
                url,
            ],
        ),
        (
            vec!["ws://127.0.0.1/", "--subprotocol", "a b"],
            [
                options,
                "  cause: the subprotocol `a b` is not a token of HTTP",
                url,
            ],
        ),
        (
            vec!["ws://127.0.0.1/", "--token-file", &none],
            [
                &format!("error: the token in `{none}` cannot be used"),
                "  cause: No such file or directory (os error 2)",
                token_file,
            ],
        ),
        (
            vec!["ws://127.0.0.1/", "--token-file", &empty],
            [
                &format!("error: the token in `{empty}` cannot be used"),
                "  cause: the file is empty",
                token_file,
            ],
        ),
        (
            vec!["wss://127.0.0.1/", "--ca", &none],
            [
                &format!("error: the certificates in `{none}` cannot be read"),
                "  cause: No such file or directory (os error 2)",
                "  help: give --ca a PEM file",
            ],
        ),
    ] {
        let args = [&["ws"], &args[..]].concat();
        assert_eq!(alone(&args, ""), printed(2, &[], &stderr), "{args:?}");
    }
    let bad = alone(&["ws", "wss://127.0.0.1/", "--ca", &text], "");
    assert_eq!(bad.exit, Some(2), "{bad:?}");
    assert!(
        bad.stderr.contains("a certificate to trust cannot be read"),
        "{bad:?}"
    );
}

#[test]
fn bad_arguments_name_the_argument() {
    for (args, expected) in [
        (&["ws"][..], "required arguments were not provided"),
        (
            &["ws", "u", "--timeout", "30"],
            "it is not a number with a unit",
        ),
        (
            &["ws", "u", "--timeout", "0s"],
            "it is not between 1 ms and 36500 days",
        ),
        (
            &["ws", "u", "--token", "t", "--token-file", "f"],
            "cannot be used with",
        ),
        (&["smoke"], "required arguments were not provided"),
        (
            &["smoke", "u", "--token", "t", "--token-file", "f"],
            "cannot be used with",
        ),
        (&["token", "mint", "--sub", "ann"], "--tenant <TENANT>"),
        (
            &["token", "keygen", "--algorithm", "HS256"],
            "[possible values: ES256, ES384, EdDSA, RS256]",
        ),
        (&["tokn"], "tip: a similar subcommand exists: 'token'"),
    ] {
        let run = alone(args, "");
        assert_eq!((run.exit, &*run.stdout), (Some(2), ""), "{args:?}");
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn help_and_readme_show_every_exit_status() {
    let readme = include_str!("../../README.md");
    for command in [
        "",
        "ws",
        "smoke",
        "cost",
        "token",
        "store",
        "store inspect",
        "store backup",
        "store compact",
        "doctor",
        "explain",
        "completions",
        "man",
    ] {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let run = alone(&args, "");
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{args:?}");
        let example = format!("  lift {command}");
        let has_example = run.stdout.contains("Example") && run.stdout.contains(&example);
        assert!(
            command.is_empty() || has_example,
            "{command} has no example"
        );
        for row in lift_cli::args::EXIT_STATUS.lines().skip(1) {
            let (status, meaning) = row.trim().split_once(' ').unwrap();
            assert!(
                run.stdout.contains(row.trim()) || run.stdout.contains(status),
                "{row}"
            );
            let row = format!("| {status} | {} |", meaning.trim());
            assert!(readme.contains(&row), "the README lacks {row}");
        }
    }
    assert_eq!(alone(&["--version"], "").exit, Some(0));
}

#[test]
fn a_failure_that_nobody_reads_keeps_its_status() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_lift"))
        .args(["load", "/none.yaml"])
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(run.code(), Some(2));
}
