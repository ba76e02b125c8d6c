//! Backups of stores in use and of closed ones: a store comes in, a second one that opens clean goes out.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lift::task::record::State;
use lift::task::store::TaskStore;
use lift_embedded::{BackupError, EmbeddedTasks, Holder, Options, backup};

use crate::steps::{done, stored};
use crate::support::{chain, claim, finish, task};

fn open(dir: &Path) -> EmbeddedTasks {
    EmbeddedTasks::open(dir, &Options::default()).unwrap_or_else(|error| panic!("{}", chain(error)))
}

/// Makes a backup on a thread of its own, and says who kept the store still.
async fn backed_up(
    dir: &Path,
    to: &Path,
    beside: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<Holder, BackupError> {
    let (dir, to) = (dir.to_owned(), to.to_owned());
    std::fs::create_dir_all(&to).unwrap();
    tokio::task::spawn_blocking(move || {
        let mut by = None;
        backup(&dir, &to, |holder| {
            by = Some(holder);
            beside()
        })?;
        Ok(by.expect("it was called"))
    })
    .await
    .unwrap()
}

/// Submits one request after the other and counts those acknowledged, until it is told to stop.
async fn keep_writing(store: &EmbeddedTasks, acknowledged: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let n = acknowledged.load(Ordering::Relaxed);
        stored(store, n).await;
        acknowledged.store(n + 1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_all_that_was_acknowledged_before() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    for n in 0..200 {
        stored(&store, n).await;
    }
    done(&store, 0, claim(), 1).await;
    done(&store, 0, finish(1, 0), 2).await;
    done(&store, 1, claim(), 1).await;
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(200)), AtomicBool::new(false));
    let at_the_moment = Arc::new(AtomicU64::new(0));
    let seen = (Arc::clone(&acknowledged), Arc::clone(&at_the_moment));
    let file = dir.path().join("beside");
    let backing_up = async {
        let by = backed_up(dir.path(), to.path(), move || {
            seen.1
                .store(seen.0.load(Ordering::Relaxed), Ordering::Relaxed);
            // As long as many writes would take, were they not held.
            (0..50).try_for_each(|n| {
                std::fs::write(&file, [n])?;
                std::fs::File::open(&file)?.sync_all()
            })
        });
        let by = by.await;
        stop.store(true, Ordering::Relaxed);
        by
    };
    let (by, ()) = tokio::join!(backing_up, keep_writing(&store, &acknowledged, &stop));
    assert_eq!(by.unwrap(), Holder::Server);
    let moment = at_the_moment.load(Ordering::Relaxed);
    assert!(acknowledged.load(Ordering::Relaxed) > moment, "it went on");

    let copy = open(to.path());
    assert!(
        copy.report().is_clean() && !copy.report().created,
        "{}",
        copy.report()
    );
    // One write may have been committed and not yet been counted at the moment.
    let records = copy.report().records;
    assert!(
        (moment..=moment + 1).contains(&records),
        "{records} records, {moment} acknowledged"
    );
    for n in 0..moment {
        let input = copy.input(&task(n).key).await.unwrap();
        assert_eq!(input, Some(task(n).input), "{n}");
    }
    for (n, state) in [
        (0, State::Completed),
        (1, State::Running),
        (2, State::Queued),
    ] {
        let record = copy.get(&task(n).key).await.unwrap();
        assert_eq!(record.unwrap().state, state, "{n}");
    }
    assert_eq!(copy.report().voided, 1);
    stored(&copy, 1_000_000).await;
    drop(copy);
    assert!(open(to.path()).report().is_clean());
}

#[tokio::test]
async fn an_empty_store_has_a_backup_too() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _store = open(dir.path());
    backed_up(dir.path(), to.path(), || Ok(())).await.unwrap();
    let copy = open(to.path());
    assert!(copy.report().is_clean() && !copy.report().created);
    stored(&copy, 0).await;
}

#[tokio::test]
async fn a_closed_store_is_copied_whole() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    for n in 0..20 {
        stored(&store, n).await;
    }
    drop(store);
    let by = backed_up(dir.path(), to.path(), || Ok(())).await;
    assert_eq!(by.unwrap(), Holder::Lock);
    for dir in [dir.path(), to.path()] {
        let store = open(dir);
        assert!(store.report().is_clean());
        assert_eq!(store.report().records, 20);
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_no_store_and_holds_no_write() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path());
    stored(&store, 0).await;
    let fails = backed_up(dir.path(), to.path(), || Err(io::Error::other("no room"))).await;
    assert!(matches!(fails, Err(BackupError::Copy(_))), "{fails:?}");
    assert!(!to.path().join("store").exists());
    stored(&store, 1).await;

    std::fs::create_dir(to.path().join("store")).unwrap();
    let there = backed_up(dir.path(), to.path(), || Ok(())).await;
    assert!(matches!(there, Err(BackupError::Refused(_))), "{there:?}");
    stored(&store, 2).await;

    let socket = dir.path().join("control");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // One that goes away while writes are held.
    let mut gone = UnixStream::connect(&socket).unwrap();
    writeln!(gone, r#"{{"backup_to":"/nowhere"}}"#).unwrap();
    let mut said = String::new();
    BufReader::new(&gone).read_line(&mut said).unwrap();
    assert_eq!(said, "\"held\"\n");
    drop(gone);
    stored(&store, 3).await;

    std::fs::remove_file(&socket).unwrap();
    let mute = backed_up(dir.path(), to.path(), || Ok(())).await;
    assert!(matches!(mute, Err(BackupError::Mute(_))), "{mute:?}");
}

#[tokio::test]
async fn a_store_whose_path_is_too_long_for_a_socket_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    let deep: PathBuf = dir.path().join("d".repeat(120));
    let store = open(&deep);
    stored(&store, 0).await;
    let mute = backed_up(&deep, &dir.path().join("to"), || Ok(())).await;
    assert!(matches!(mute, Err(BackupError::Mute(_))), "{mute:?}");
}
