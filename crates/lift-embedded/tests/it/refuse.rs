//! Directories that cannot be opened: one comes in, and an error that names what is wrong goes out.

use std::fs;
use std::path::Path;

use lift_embedded::{EmbeddedTasks, OpenError, Options, compact, inspect};

use crate::steps::stored;
use crate::support::{START, chain};
use crate::tmpfs::{Tmpfs, fill};

fn open(dir: &Path) -> Result<EmbeddedTasks, OpenError> {
    EmbeddedTasks::open(dir, &Options::default())
}

/// Checks that opening fails with a text that has every one of `parts`.
#[track_caller]
fn refused(dir: &Path, parts: &[&str]) -> OpenError {
    let error = open(dir).expect_err("it opens");
    let text = lift::error::chain(&error);
    for part in parts {
        assert!(text.contains(part), "`{text}` lacks `{part}`");
    }
    error
}

#[tokio::test]
async fn a_store_that_is_open_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = refused(dir.path(), &[dir.path().to_str().unwrap(), "in use"]);
    assert!(matches!(error, OpenError::InUse { .. }));
    stored(&store, 1).await;
    drop(store);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_path_that_is_no_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        refused(&file, &["cannot use", "file"]),
        OpenError::Directory { .. }
    ));
    assert!(matches!(
        refused(&file.join("below"), &["cannot use"]),
        OpenError::Directory { .. }
    ));
    // Nobody may write here, not even root.
    refused(
        Path::new("/proc/lift-embedded"),
        &["cannot use `/proc/lift-embedded`"],
    );
}

#[tokio::test]
async fn a_format_that_is_not_known_is_said() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let format = dir.path().join("store/FORMAT");
    assert_eq!(fs::read_to_string(&format).unwrap(), "lift-embedded 2\n");
    fs::write(&format, "lift-embedded 3\n").unwrap();
    let error = refused(
        dir.path(),
        &[
            "FORMAT` says `lift-embedded 3`",
            "knows only `lift-embedded 2`",
        ],
    );
    assert!(matches!(error, OpenError::Format { .. }));
    fs::write(&format, [0xff, 0]).unwrap();
    refused(dir.path(), &["FORMAT"]);
    fs::remove_file(&format).unwrap();
    assert!(matches!(
        refused(dir.path(), &["`FORMAT` is missing"]),
        OpenError::Damaged { .. }
    ));
}

#[tokio::test]
async fn a_creation_that_was_cut_off_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("store.new/db")).unwrap();
    fs::write(dir.path().join("store.new/db/0.jnl"), "half").unwrap();
    let store = open(dir.path()).unwrap();
    assert!(store.report().created);
    stored(&store, 1).await;
}

#[tokio::test]
async fn a_file_without_which_the_database_would_start_empty_is_missed() {
    for file in [
        "db/version",
        "db/keyspaces/0/current",
        "db/keyspaces/1/current",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        stored(&store, 1).await;
        drop(store);
        let (path, away) = (dir.path().join("store").join(file), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let error = refused(dir.path(), &[file, "is missing"]);
        assert!(matches!(error, OpenError::Damaged { .. }));
        fs::rename(&away, &path).unwrap();
        assert_eq!(
            open(dir.path()).unwrap().report().records,
            1,
            "{}",
            chain(error)
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = Tmpfs::mount(dir.path(), 2) else {
        return;
    };
    let (data, filler) = (dir.path().join("data"), dir.path().join("filler"));
    stored(&open(&data).unwrap(), 1).await;
    // The second where a thread of the database met the full disk first, and the call only what it left.
    let causes = ["No space left", "a write failed, and no other is taken"];
    let mut refused = [0, 0];
    for free in (0..16).map(|blocks| blocks * 4096) {
        fill(&filler, free);
        let errors = [
            open(&data).err(),
            inspect(&data, START).err(),
            compact(&data).err(),
            EmbeddedTasks::salvage(&data).err(),
        ];
        for error in errors.into_iter().flatten() {
            let text = chain(&error);
            let is_directory = matches!(error, OpenError::Directory { .. });
            let cause = causes.iter().position(|cause| text.contains(cause));
            assert!(is_directory && cause.is_some(), "{free}: {text}");
            refused[cause.unwrap()] += 1;
        }
        fs::remove_file(&filler).unwrap();
        // What a salvage put aside.
        let _ = fs::remove_dir_all(data.join("damaged"));
    }
    assert!(refused[0] > 0, "a full disk refuses nothing: {refused:?}");
    assert_eq!(open(&data).unwrap().report().records, 1);
}
