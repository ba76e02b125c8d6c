//! Claims and key directories come in, tokens and what is said of them come out.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use crate::run::{Transcript, alone, lift, printed, with};

/// Runs `lift token` on a data directory.
fn token(dir: &Path, args: &[&str], stdin: &str) -> Transcript {
    let dir = dir.to_str().unwrap();
    alone(&[&["token"], args, &["--data-dir", dir]].concat(), stdin)
}

fn mint(dir: &Path, more: &[&str]) -> String {
    let run = token(
        dir,
        &[&["mint", "--sub", "ann", "--tenant", "acme"], more].concat(),
        "",
    );
    let said = run.stderr.is_empty() || run.stderr == new_key(dir);
    assert!(run.exit == Some(0) && said, "{run:?}");
    let (token, rest) = run.stdout.split_once('\n').unwrap();
    assert_eq!(rest, "");
    token.to_owned()
}

/// What the first token of a directory is made with.
fn new_key(dir: &Path) -> String {
    let keys = dir.join("keys");
    format!(
        "a new key was made in `{}`: only a server with this data directory takes what it signs\n",
        keys.display()
    )
}

fn inspected(dir: &Path, token_text: &str) -> Value {
    let run = token(dir, &["inspect", "--json", token_text], "");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

/// Text with times and the key's name made the same in every run.
fn filtered(text: &str) -> String {
    let line = |line: &str| match line.split_once("Z (") {
        Some((start, _)) => format!("{} TIME", start.split_once(' ').unwrap().0),
        None if line.starts_with("key ") => "key KID".to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

#[test]
fn a_token_is_printed_alone_and_says_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let text = mint(
        dir.path(),
        &[
            "--permission",
            "echo",
            "--permission",
            "*",
            "--issuer",
            "i",
            "--audience",
            "a",
            "--expires-in",
            "7d",
        ],
    );
    let inspection = inspected(dir.path(), &text);
    let claims = &inspection["claims"];
    assert_eq!(inspection["signature"], "good", "{inspection}");
    assert_eq!(inspection["refusal"], Value::Null, "{inspection}");
    assert_eq!(
        json!([
            claims["sub"],
            claims["tenant_id"],
            claims["permissions"],
            claims["iss"],
            claims["aud"]
        ]),
        json!(["ann", "acme", ["echo", "*"], "i", "a"])
    );
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((604_800..=604_801).contains(&lifetime), "{lifetime}");
    let plain = inspected(dir.path(), &mint(dir.path(), &[]));
    assert_eq!(plain["claims"].get("permissions"), None, "{plain}");
    let mode = fs::metadata(dir.path().join("keys"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn a_new_key_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["mint", "--sub", "ann", "--tenant", "acme"];
    let said = |_: u8| token(dir.path(), &args, "").stderr;
    assert_eq!([0, 1].map(said), [new_key(dir.path()), String::new()]);
}

#[test]
fn a_file_instead_of_a_token_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ann.jwt");
    fs::write(&file, mint(dir.path(), &[])).unwrap();
    let run = alone(&["token", "inspect", file.to_str().unwrap()], "");
    let help = "`lift token inspect - < FILE` reads the file";
    assert!(run.exit == Some(1) && run.stderr.contains(help), "{run:?}");
}

#[test]
fn the_data_directory_may_come_from_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = lift(&["token", "mint", "--sub", "ann", "--tenant", "acme"]);
    command.env("STREAMER_DATA_DIR", dir.path());
    let run = with(command, b"");
    assert_eq!(run.exit, Some(0), "{run:?}");
    assert_eq!(
        inspected(dir.path(), run.stdout.trim())["signature"],
        "good"
    );
    let mut command = lift(&["token", "mint", "--sub", "ann", "--tenant", "acme"]);
    command.current_dir(dir.path());
    assert_eq!(with(command, b"").exit, Some(0));
    assert!(dir.path().join(".streamer/keys").is_dir());
}

#[test]
fn a_token_is_described_without_its_signature() {
    let dir = tempfile::tempdir().unwrap();
    let text = mint(dir.path(), &["--permission", "echo"]);
    let expected = |signature: &str| {
        let checked = if signature == "good" {
            ""
        } else {
            ", if its signature is good"
        };
        format!(
            "algorithm    ES256\nkey KID\nexp TIME\niat TIME\npermissions  [\"echo\"]\nsub          ann\n\
             tenant_id    acme\nsignature    {signature}\nverdict      would be accepted{checked}\n"
        )
    };
    let run = token(dir.path(), &["inspect", "-"], &format!("Bearer {text}\n"));
    assert_eq!(
        (run.exit, filtered(&run.stdout), &*run.stderr),
        (Some(0), expected("good"), "")
    );
    let signature = text.rsplit_once('.').unwrap().1;
    assert!(!run.stdout.contains(signature));
    // From stdin, which is no terminal, and from the environment.
    let unchecked = expected("not checked; --data-dir names the keys to check it with");
    let run = alone(&["token", "inspect"], &text);
    assert_eq!(
        (run.exit, filtered(&run.stdout)),
        (Some(0), unchecked.clone())
    );
    let mut command = lift(&["token", "inspect"]);
    command.env("LIFT_TOKEN", &text);
    assert_eq!(filtered(&with(command, b"").stdout), unchecked);
}

#[test]
fn a_token_that_would_be_refused_says_why() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = mint(dir.path(), &["--expires-in", "60s"]);
    mint(other.path(), &[]);
    let run = token(other.path(), &["inspect", &text], "");
    let stderr = [
        "error: a server would refuse this token",
        "  cause: its signature was made by none of the keys",
        "  help: `lift token mint` makes a new one",
    ];
    assert!(
        run.stdout.contains("BAD") && run.stdout.contains("would be refused"),
        "{run:?}"
    );
    assert_eq!(
        (run.exit, run.stderr),
        (Some(1), printed(1, &[], &stderr).stderr)
    );

    // {"alg":"ES256"}.{"sub":"\u{9b}","exp":1}.
    let old = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLCmyIsImV4cCI6MX0.AA";
    let run = alone(&["token", "inspect", old], "");
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(run.stdout.contains("sub          \\u009b\n"), "{run:?}");
    assert!(
        run.stdout.contains("exp          1970-01-01T00:00:01Z ("),
        "{run:?}"
    );

    let run = alone(&["token", "inspect", "no.token"], "");
    let stderr = [
        "error: this is no token",
        "  cause: the token does not have three parts",
        "  help: a token is three parts of base64url with dots between, as `lift token mint` prints",
    ];
    assert_eq!(run, printed(1, &[], &stderr));
}

#[test]
fn a_new_key_signs_and_older_ones_still_verify() {
    let dir = tempfile::tempdir().unwrap();
    let before = mint(dir.path(), &[]);
    for algorithm in ["EdDSA", "ES384", "RS256"] {
        let run = token(dir.path(), &["keygen", "--algorithm", algorithm], "");
        assert_eq!(run.exit, Some(0), "{run:?}");
        let file = Path::new(run.stdout.trim()).to_owned();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            run.stderr.starts_with(&format!("{algorithm} key ")),
            "{run:?}"
        );
        let inspection = inspected(dir.path(), &mint(dir.path(), &[]));
        assert_eq!(inspection["header"]["alg"], algorithm);
        assert_eq!(inspection["signature"], "good");
    }
    assert_eq!(inspected(dir.path(), &before)["signature"], "good");
    let run = alone(&["token", "keygen", "--stdout", "--algorithm", "EdDSA"], "");
    let labels: Vec<_> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("-----BEGIN"))
        .collect();
    assert_eq!(
        labels,
        ["-----BEGIN PRIVATE KEY-----", "-----BEGIN PUBLIC KEY-----"]
    );
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""));
}

#[test]
fn values_that_no_server_takes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let help = "  help: a server would refuse such a token; change that value";
    let run = token(
        dir.path(),
        &["mint", "--sub", "a b", "--tenant", "acme"],
        "",
    );
    let cause = "  cause: sub `a b` is not 1 to 128 of [A-Za-z0-9._:@|+=-]";
    let refused = printed(2, &[], &["error: no token was made", cause, help]);
    assert_eq!((run.exit, run.stdout), (refused.exit, refused.stdout));
    assert_eq!(run.stderr, new_key(dir.path()) + &refused.stderr);
    let run = token(
        dir.path(),
        &["mint", "--sub", "ann", "--tenant", "..", "--permission", ""],
        "",
    );
    assert_eq!(run.exit, Some(2), "{run:?}");
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let shown = keys.display();
    let what = format!("error: the keys in `{shown}` cannot be used");
    let run = token(dir.path(), &["inspect", "a.b.c"], "");
    let stderr = [
        &*what,
        &format!("  cause: `{shown}` cannot be read: No such file or directory (os error 2)"),
        "  help: --data-dir names the server's data directory; run this as the user that runs the server",
    ];
    assert_eq!(run, printed(1, &[], &stderr));

    mint(dir.path(), &[]);
    let file = fs::read_dir(&keys)
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "pem"))
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let run = token(
        dir.path(),
        &["mint", "--sub", "ann", "--tenant", "acme"],
        "",
    );
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(run.stderr.contains("open to other users"), "{run:?}");

    fs::write(keys.join("a.pem"), "no key").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let run = token(dir.path(), &["keygen"], "");
    assert_eq!(run.exit, Some(0), "{run:?}");
    let run = token(
        dir.path(),
        &["mint", "--sub", "ann", "--tenant", "acme"],
        "",
    );
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(
        run.stderr
            .contains("holds no usable key: it holds 0 PEM blocks"),
        "{run:?}"
    );
}
