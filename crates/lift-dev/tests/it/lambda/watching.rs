//! In: code with what tools keep beside it, and changes. Out: which directories are watched, and what is replaced.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lift_dev::feed::Entry;
use lift_dev::lambda::Settings;
use lift_dev::plan::Plan;
use lift_dev::watch::Watch;
use tokio_util::sync::CancellationToken;

use super::{Run, function};

const HANDLER: &str = "def handler(event, context): return 1\n";

/// What this process watches, by inode.
fn watched() -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with("inotify"));
        let inodes = lines.filter_map(|line| line.split("ino:").nth(1)?.split(' ').next());
        found.extend(inodes.filter_map(|inode| u64::from_str_radix(inode, 16).ok()));
    }
    found
}

fn is_watched(path: &Path) -> bool {
    watched().contains(&fs::metadata(path).unwrap().ino())
}

async fn replaced(run: &mut Run) {
    run.entry(|entry| matches!(entry, Entry::Notice { text } if text.contains("replaced")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tools_make_is_not_watched_and_new_directories_are() {
    let directory = tempfile::tempdir().unwrap();
    let one = function(directory.path(), "one", "app.py", HANDLER);
    let code = one.code.clone();
    let template = directory.path().join("template.yaml");
    fs::write(&template, "").unwrap();
    let made = [
        "node_modules/a/b",
        ".venv/lib",
        ".git/objects",
        "target/debug",
        "lib/node_modules/c",
    ];
    for path in made {
        fs::create_dir_all(code.join(path)).unwrap();
    }
    std::os::unix::fs::symlink(&code, code.join("lib/loop")).unwrap();
    let plan = Plan {
        functions: vec![one.clone()],
        ..Plan::default()
    };
    let mut run = Run::new(directory, vec![one], Settings::default());
    let watch = Watch::start(&plan, run.directory.path(), &template).unwrap();
    for path in made {
        assert!(!is_watched(&code.join(path)), "{path}");
    }
    for path in ["", "lib"] {
        assert!(is_watched(&code.join(path)), "{path:?}");
    }

    let shutdown = CancellationToken::new();
    let following = watch.follow(run.functions.clone(), run.feed_in.clone(), shutdown.clone());
    let following = tokio::spawn(following);
    // Its directories come with it: the change is known only if they are looked into.
    let inner = code.join("new/deep");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("helper.py"), "A = 1\n").unwrap();
    replaced(&mut run).await;
    assert!(is_watched(&inner));
    fs::write(inner.join("helper.py"), "A = 2\n").unwrap();
    replaced(&mut run).await;
    fs::rename(inner.join("helper.py"), code.join("moved.py")).unwrap();
    replaced(&mut run).await;
    fs::create_dir_all(code.join("lib/node_modules/d")).unwrap();
    fs::rename(code.join("new"), code.join("newer")).unwrap();
    fs::write(code.join("newer/deep/helper.py"), "A = 3\n").unwrap();
    replaced(&mut run).await;
    assert!(is_watched(&code.join("newer/deep")));
    assert!(!is_watched(&code.join("lib/node_modules/d")));
    shutdown.cancel();
    following.await.unwrap();
    run.functions.shut_down().await;
}
