//! Looking into closed stores and packing them: a store comes in, counts go out and the store is what it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lift_embedded::{Counts, EmbeddedTasks, OpenError, Options, compact, inspect};

use crate::steps::{done, stored};
use crate::support::{START, at, chain, claim, finish, task};
use lift::task::store::TaskStore;
use lift::task::transition::Transition;

fn open(dir: &Path) -> EmbeddedTasks {
    EmbeddedTasks::open(dir, &Options::default()).unwrap_or_else(|error| panic!("{}", chain(error)))
}

/// Every file below a directory: what it is and when it was changed.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let meta = fs::metadata(&path).unwrap();
            found.insert(path.clone(), (meta.ino(), fs::read(&path).unwrap()));
        }
    }
    found
}

async fn filled(dir: &Path) {
    let store = open(dir);
    for n in 0..10 {
        stored(&store, n).await;
    }
    done(&store, 0, claim(), 1).await;
    done(&store, 0, finish(1, 0), 2).await;
    done(&store, 1, claim(), 1).await;
    done(&store, 2, Transition::Cancel, 1).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_inspection_counts_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let before = files(dir.path());
    let found = inspect(dir.path(), at(2)).unwrap();
    let counts = Counts {
        queued: 7,
        running: 1,
        completed: 1,
        cancelled: 1,
        ..Counts::default()
    };
    assert_eq!(found.counts, counts);
    assert_eq!(
        (
            found.report.records,
            found.report.voided,
            found.idempotency_keys
        ),
        (10, 0, 10)
    );
    assert_eq!(
        (found.due, found.overdue),
        (7, 0),
        "the running one's lease is not over"
    );
    assert_eq!(
        (found.oldest_waiting, found.newest),
        (Some(START), Some(START))
    );
    assert!(found.commit > 0 && found.bytes > 0 && found.report.is_clean());
    let late = inspect(dir.path(), at(3_601)).unwrap();
    assert_eq!((late.due, late.overdue), (8, 8));
    assert!(files(dir.path()) == before, "nothing was changed");
    assert_eq!(
        open(dir.path()).report().voided,
        1,
        "the lease is still there to be voided"
    );
}

#[tokio::test]
async fn an_inspection_says_damage_and_leaves_it_to_an_opening() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let journals = fs::read_dir(dir.path().join("store/db")).unwrap();
    let journal = journals
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[300] ^= 0x40;
    fs::write(&journal, &bytes).unwrap();
    let before = files(dir.path());
    let found = inspect(dir.path(), at(2)).unwrap();
    assert_eq!(found.report.lost.len(), 1, "{}", found.report);
    assert_eq!(found.report.lost[0].journal, journal);
    assert!(files(dir.path()) == before, "nothing was changed");
    let opened = open(dir.path());
    assert_eq!(opened.report().lost[0].bytes, found.report.lost[0].bytes);
    assert_eq!(opened.report().commits_lost, found.report.commits_lost);
}

#[tokio::test]
async fn a_store_in_use_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let found = inspect(dir.path(), at(0));
    assert!(matches!(found, Err(OpenError::InUse { .. })), "{found:?}");
    let packed = compact(dir.path());
    assert!(matches!(packed, Err(OpenError::InUse { .. })), "{packed:?}");
    let nothing = dir.path().join("nothing");
    assert!(matches!(
        inspect(&nothing, at(0)),
        Err(OpenError::Damaged { .. })
    ));
    assert!(!nothing.exists(), "looking makes no store");
}

#[tokio::test]
async fn a_packed_store_is_smaller_and_holds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = |n: u64| {
        let input = format!("\"{}\"", "x".repeat(100_000));
        lift::task::record::NewTask {
            input: lift::json::Json::parse(input).unwrap(),
            ..task(n)
        }
    };
    for n in 0..300 {
        store.put(large(n)).await.unwrap();
        if n < 290 {
            done(&store, n, Transition::Cancel, 1).await;
        }
    }
    let gone = store.purge(at(8 * 24 * 3600), 1_000).await.unwrap();
    assert_eq!(gone, 290);
    store.close().await.unwrap();
    drop(store);
    let packed = compact(dir.path()).unwrap();
    assert!(packed.report.is_clean());
    assert!(packed.after < packed.before / 2, "{packed:?}");
    let store = open(dir.path());
    assert!(store.report().is_clean(), "{}", store.report());
    assert_eq!((store.report().records, store.report().voided), (10, 0));
    for n in 290..300 {
        assert_eq!(
            store.input(&task(n).key).await.unwrap(),
            Some(large(n).input)
        );
    }
}
