//! Disks that fail, by `strace` fault injection: later writes are refused, earlier answers stay.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::Order;
use crate::ledger::Ledger;

/// Runs a child to its end under `strace` with the given arguments.
fn traced(dir: &Path, producers: u64, requests: u64, args: &[&str]) -> Ledger {
    let found = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok_and(|found| found.success()),
        "this test needs strace: apt-get install strace"
    );
    let order = Order {
        dir: dir.to_owned(),
        first: 0,
        producers,
        requests,
    };
    let mut child = order
        .command(&[&["strace", "-f", "-qq"], args].concat())
        .spawn()
        .unwrap();
    let mut ledger = Ledger::default();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        ledger.enter(&line.unwrap());
    }
    assert!(child.wait().unwrap().success(), "{:#?}", ledger.said);
    ledger
}

/// The store must have said no, clearly, and kept what it had answered.
async fn refused_clearly(dir: &Path, ledger: &Ledger, cause: &str) {
    let said = |word: &str| {
        ledger
            .said
            .iter()
            .filter(|line| line.starts_with(word))
            .collect::<Vec<_>>()
    };
    let (refused, again) = (said("refused "), said("again "));
    assert!(
        !refused.is_empty() && refused.iter().all(|line| line.contains(cause)),
        "{refused:?}"
    );
    let clear =
        "the store is unavailable: no write is taken since one failed; open the store again";
    assert!(
        !again.is_empty() && again.iter().all(|line| line.contains(clear)),
        "{again:?}"
    );
    assert!(!said("failed ").is_empty(), "{:?}", ledger.said);
    let reads = said("read ");
    assert!(
        !reads.is_empty() && reads.iter().all(|line| line.contains("Ok(")),
        "{reads:?}"
    );
    assert!(
        ledger.len() > 5,
        "some were answered before: {:?}",
        ledger.said
    );
    ledger.check(dir, cause).await;
}

#[tokio::test]
async fn a_failed_sync_refuses_its_group_and_all_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let inject = [
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=40+",
    ];
    let ledger = traced(dir.path(), 8, 1_000, &inject);
    refused_clearly(dir.path(), &ledger, "Input/output error").await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_keeps_what_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("store/db/0.jnl");
    let journal = journal.to_str().unwrap();
    // A first child makes the store, so that the path to watch exists.
    traced(dir.path(), 1, 0, &["-o", "/dev/null", "-e", "trace=none"]);
    let inject = [
        "-o",
        "/dev/null",
        "-P",
        journal,
        "-e",
        "trace=write",
        "-e",
        "inject=write:error=ENOSPC:when=60+",
    ];
    let ledger = traced(dir.path(), 8, 1_000, &inject);
    refused_clearly(dir.path(), &ledger, "No space left on device").await;
}

#[tokio::test]
async fn every_answer_comes_after_the_sync_that_covers_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let trace = [
        "-y",
        "-s",
        "16",
        "-e",
        "trace=write,fdatasync",
        "-o",
        log.to_str().unwrap(),
    ];
    let ledger = traced(&dir.path().join("data"), 1, 60, &trace);
    let (mut unsynced, mut answers) = (false, 0);
    for line in fs::read_to_string(&log).unwrap().lines() {
        if line.contains("fdatasync") && line.ends_with("= 0") {
            unsynced = false;
        } else if line.contains("write(") && line.contains(".jnl>") {
            unsynced = true;
        } else if ["\"put ", "\"claim ", "\"checkpoint ", "\"finish "]
            .iter()
            .any(|word| line.contains(word))
        {
            assert!(!unsynced, "answered before it was synced: {line}");
            answers += 1;
        }
    }
    assert!(
        ledger.len() == 60 && answers > 150,
        "{answers} answers of {} requests",
        ledger.len()
    );
}
