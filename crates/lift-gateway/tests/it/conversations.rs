//! In: the scripts in `tests/conversations`. Out: each holds in the pure session, and over sockets.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::pure::Pure;
use crate::script::run;
use crate::setup::Setup;
use crate::sockets::Sockets;

/// Real time that one script may take over sockets.
const DEADLINE: Duration = Duration::from_secs(10);

/// All scripts; a file of another kind in the directory fails every test here.
pub(crate) fn scripts() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut scripts = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "README.md" || name == "not-implemented.txt" {
            continue;
        }
        assert!(name.ends_with(".conv"), "`{name}` is no conversation");
        let text = fs::read_to_string(&path).unwrap();
        scripts.push((name, text));
    }
    scripts.sort();
    assert!(scripts.len() > 100, "only {} scripts", scripts.len());
    scripts
}

fn check(side: impl Fn(&str) -> Result<(), String>) {
    let failures: Vec<_> = scripts()
        .into_iter()
        .filter_map(|(name, text)| side(&text).err().map(|error| format!("{name}: {error}")))
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn conversations_hold_in_the_pure_session() {
    check(|text| {
        let setup = Setup::parse(text)?;
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut pure = Pure::new(&setup)?;
        runtime.block_on(run(&setup, &mut pure))
    });
}

#[test]
fn conversations_hold_over_sockets() {
    check(|text| {
        let setup = Setup::parse(text)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (finished, waits) = mpsc::channel::<()>();
        let (late, is_late) = oneshot::channel();
        // While a blocking task runs, the paused clock stands still: it moves by `advance` alone.
        let watch = runtime.spawn_blocking(move || {
            if waits.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                _ = late.send(());
            }
        });
        let outcome = runtime.block_on(async {
            let mut sockets = Sockets::new(&setup).await?;
            tokio::select! {
                outcome = run(&setup, &mut sockets) => outcome,
                Ok(()) = is_late => {
                    let line = setup.line.load(Ordering::Relaxed);
                    Err(format!("line {line}: stuck"))
                }
            }
        });
        drop(finished);
        runtime.block_on(watch).unwrap();
        outcome
    });
}
