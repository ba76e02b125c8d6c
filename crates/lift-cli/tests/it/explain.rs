//! Codes come in, what is to be known of them comes out.

use serde_json::Value;
use streamer_client::protocol::{close, error::ErrorCode};

use crate::run::{alone, printed};

/// Every code that a client of this version may meet.
fn codes() -> Vec<String> {
    let protocol = include_str!("../../../../docs/protocol.md");
    let refusals = protocol
        .split_once("### Refusals")
        .unwrap()
        .1
        .split("\n## ")
        .next()
        .unwrap();
    let statuses = refusals
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let statuses = statuses.filter(|status| status.parse::<u16>().is_ok());
    let errors = ErrorCode::all().map(|code| code.as_str().to_owned());
    let closes = close::TABLE.map(|(code, ..)| code.to_string());
    let all: Vec<_> = errors
        .chain(closes)
        .chain(statuses.map(str::to_owned))
        .collect();
    assert!(all.len() > 30, "{all:?}");
    all
}

#[test]
fn every_code_has_meaning_cause_and_what_to_do() {
    let listed = alone(&["explain"], "");
    assert_eq!((listed.exit, &*listed.stderr), (Some(0), ""));
    for code in codes() {
        let run = alone(&["explain", &code], "");
        assert_eq!((run.exit, &*run.stderr), (Some(0), ""), "{code}");
        // A paragraph each, or a table where it depends.
        for (part, column) in [
            ("Meaning", "meaning"),
            ("Cause", "cause"),
            ("Client", "client"),
            ("Operator", "operator"),
        ] {
            let paragraph = run.stdout.contains(&format!("\n{part}. "));
            let in_table = run.stdout.contains(&format!("| {column} |"));
            assert!(paragraph || in_table, "{code} lacks {part}: {}", run.stdout);
        }
        let of_list = |line: &&str| {
            line.starts_with(&format!("{code} ")) || line.starts_with(&format!("HTTP {code} "))
        };
        let lines: Vec<_> = listed.stdout.lines().filter(of_list).collect();
        assert_eq!(lines.len(), 1, "{code}: {lines:?}");
    }
}

#[test]
fn a_code_may_be_written_in_other_ways() {
    let expected = alone(&["explain", "RATE_LIMITED"], "");
    assert!(
        expected
            .stdout
            .starts_with("RATE_LIMITED, error code\n\nMeaning. The caller sends too much.\n"),
        "{expected:?}"
    );
    assert_eq!(alone(&["explain", "rate-limited"], ""), expected);
    let expected = alone(&["explain", "401"], "");
    assert!(
        expected.stdout.starts_with("HTTP 401, refused handshake\n"),
        "{expected:?}"
    );
    for same in ["HTTP 401", "http401", "http-401"] {
        assert_eq!(alone(&["explain", same], ""), expected);
    }
    let run = alone(&["explain", "1012", "--json"], "");
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (said["code"].as_str(), said["kind"].as_str()),
        (Some("1012"), Some("close code"))
    );
    let lines = alone(&["explain", "--json"], "").stdout;
    assert!(
        lines
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn an_unknown_code_names_the_nearest() {
    let cause = "  cause: it is no error code, no close code and no status of a handshake";
    for (code, help) in [
        (
            "RATE_LIMITTED",
            "  help: did you mean `RATE_LIMITED`? `lift explain` lists all codes",
        ),
        (
            "overload",
            "  help: did you mean `OVERLOADED`? `lift explain` lists all codes",
        ),
        ("xyz", "  help: `lift explain` lists all codes"),
    ] {
        let what = format!("error: `{code}` is no code that this version knows");
        assert_eq!(
            alone(&["explain", code], ""),
            printed(2, &[], &[&what, cause, help])
        );
    }
}
