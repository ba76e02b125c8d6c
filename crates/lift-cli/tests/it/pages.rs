//! Names of shells come in, scripts that the shells load and pages that `man` shows come out.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::run::{alone, printed};

fn runs(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|found| found.status.success())
}

#[test]
fn bash_completes_commands_with_the_script() {
    let run = alone(&["completions", "bash"], "");
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""));
    let asked = "complete -p lift; COMP_WORDS=(lift store b); COMP_CWORD=2; _lift lift b store; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", &format!("{}\n{asked}", run.stdout)])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?}", output.stderr);
    assert!(
        said.contains("-F _lift") && said.ends_with("\nbackup\n"),
        "{said}"
    );
}

#[test]
fn each_shell_gets_its_file_and_every_command_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, name) in [
        ("bash", "lift.bash"),
        ("zsh", "_lift"),
        ("fish", "lift.fish"),
    ] {
        let path = dir.path().join("new").join(name);
        let written = alone(
            &[
                "completions",
                shell,
                "--dir",
                path.parent().unwrap().to_str().unwrap(),
            ],
            "",
        );
        assert_eq!(written, printed(0, &[path.to_str().unwrap()], &[]));
        let script = fs::read_to_string(&path).unwrap();
        assert_eq!(script, alone(&["completions", shell], "").stdout);
        for word in [
            "ws",
            "smoke",
            "data-set",
            "token",
            "explain",
            "doctor",
            "backup",
            "data-dir",
            "dev",
            "time-scale",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if runs(shell) {
            assert!(
                Command::new(shell)
                    .arg("-n")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success(),
                "{shell}"
            );
        }
    }
    assert_eq!(alone(&["completions", "csh"], "").exit, Some(2));
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let run = alone(&["man", "--dir", dir.path().to_str().unwrap()], "");
    assert_eq!((run.exit, &*run.stderr), (Some(0), ""));
    let pages: BTreeSet<_> = run
        .stdout
        .lines()
        .map(|line| Path::new(line).file_name().unwrap().to_str().unwrap())
        .collect();
    for page in [
        "lift.1",
        "lift-dev.1",
        "lift-ws.1",
        "lift-smoke.1",
        "lift-token-mint.1",
        "lift-store-backup.1",
        "lift-doctor.1",
    ] {
        assert!(pages.contains(page), "{page} of {pages:?}");
    }
    let main = fs::read_to_string(dir.path().join("lift.1")).unwrap();
    assert_eq!(main, alone(&["man"], "").stdout);
    for page in &pages {
        let text = fs::read_to_string(dir.path().join(page)).unwrap();
        let name = page.trim_end_matches(".1");
        assert!(text.contains(&format!("\n.TH {name} 1")), "{page}: {text}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(section), "{page} lacks {section}");
        }
    }
    if !runs("man") {
        return eprintln!("skipped: there is no `man` to show the pages with");
    }
    let shown = Command::new("man")
        .arg("-l")
        .arg(dir.path().join("lift-store-backup.1"))
        .env("MANPAGER", "cat")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("lift store backup") || shown.contains("lift-store-backup"),
        "{shown}"
    );
}
