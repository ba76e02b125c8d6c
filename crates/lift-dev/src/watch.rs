//! In: changes of files. Out: the functions whose code they are, built where they are built, and replaced.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;
use crate::lambda::Functions;
use crate::plan::{Function, Plan};

/// Changes that come closer together than this are one: an editor writes a file more than once.
const QUIET: Duration = Duration::from_millis(60);
/// Changed paths that wait; past it they are dropped, and everything is taken as changed.
const PATHS_MAX: usize = 1_024;
/// Time for one build.
const BUILD_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// What is shown of a build's output, in lines from its end.
const BUILD_LINES: usize = 40;
/// Extensions of files that are no sources.
const MADE_EXTENSIONS: &[&str] = &["pyc", "log", "out", "tmp", "swp", "swx", "jsonl"];
/// Directories whose content is made, not written.
const MADE: &[&str] = &[
    ".lift",
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    ".venv",
];

/// Builds what must be built before anything can run; equal commands once.
///
/// # Errors
/// A command fails; its last lines are in the error.
pub async fn build_all(plan: &Plan, directory: &Path, feed: &Feed) -> io::Result<()> {
    let commands: BTreeSet<_> = plan
        .functions
        .iter()
        .filter_map(|f| f.build.as_ref())
        .collect();
    for command in commands {
        let started = Instant::now();
        build(command, directory).await?;
        let took = started.elapsed().as_secs_f32();
        feed.notice(format!("built in {took:.1} s: {command}"));
    }
    Ok(())
}

async fn build(command: &str, directory: &Path) -> io::Result<()> {
    let run = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(BUILD_TIMEOUT, run)
        .await
        .map_err(|_late| {
            let why = format!("`{command}` did not end in {} s", BUILD_TIMEOUT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, why)
        })??;
    if ExitStatus::success(&output.status) {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    let last = lines.get(lines.len().saturating_sub(BUILD_LINES)..);
    let last = last.unwrap_or_default().join("\n");
    Err(io::Error::other(format!(
        "`{command}`: {}\n{last}",
        output.status
    )))
}

/// Watches the code of a plan's functions.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    changes: mpsc::Receiver<PathBuf>,
    functions: Vec<Function>,
    directory: PathBuf,
}

impl Watch {
    /// Begins to watch; `directory` is the template's, where builds run.
    ///
    /// # Errors
    /// A path is not there, or the system's watches are used up.
    pub fn start(plan: &Plan, directory: &Path) -> notify::Result<Self> {
        let (changed, changes) = mpsc::channel(PATHS_MAX);
        let own = own_output();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let Ok(event) = event else { return };
                if matches!(event.kind, EventKind::Access(_)) {
                    return;
                }
                let paths = event.paths.into_iter();
                for path in paths.filter(|path| !own.iter().flatten().any(|own| own == path)) {
                    // A full queue is a change already.
                    _ = changed.try_send(path);
                }
            })?;
        let paths: BTreeSet<_> = plan.functions.iter().flat_map(watched).collect();
        for path in paths {
            watcher.watch(&path, RecursiveMode::Recursive)?;
        }
        Ok(Self {
            _watcher: watcher,
            changes,
            functions: plan.functions.clone(),
            directory: directory.to_owned(),
        })
    }

    /// Builds and replaces what changes, until the shutdown.
    pub async fn follow(mut self, functions: Functions, feed: Feed, shutdown: CancellationToken) {
        while let Some(changed) = self.next(&shutdown).await {
            let hit: Vec<_> = self
                .functions
                .iter()
                .filter(|f| is_hit(f, &changed))
                .collect();
            for function in hit {
                let started = Instant::now();
                if let Some(command) = &function.build {
                    let _held = functions.hold(&function.name);
                    if let Err(error) = build(command, &self.directory).await {
                        feed.notice(format!(
                            "{}: not built, the old code stays: {error}",
                            function.name
                        ));
                        continue;
                    }
                }
                functions.replace(&function.name).await;
                let took = started.elapsed().as_secs_f32();
                feed.notice(format!(
                    "{}: changed, replaced in {took:.2} s",
                    function.name
                ));
            }
        }
    }

    /// What changed until nothing did for a moment; nothing at the shutdown.
    async fn next(&mut self, shutdown: &CancellationToken) -> Option<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        loop {
            let quiet = async {
                if changed.is_empty() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(QUIET).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return None,
                next = self.changes.recv() => { changed.insert(next?); }
                () = quiet => return Some(changed),
            }
        }
    }
}

fn watched(function: &Function) -> Vec<PathBuf> {
    if function.watch.is_empty() {
        vec![function.code.clone()]
    } else {
        function.watch.clone()
    }
}

fn is_hit(function: &Function, changed: &BTreeSet<PathBuf>) -> bool {
    let watched = watched(function);
    changed.iter().any(|path| {
        let mut below = watched
            .iter()
            .filter_map(|root| path.strip_prefix(root).ok());
        below.any(|path| !is_made(path))
    })
}

/// Whether a path, seen from what is watched, is no source: what is made, what editors keep beside
/// a file, logs. Sources have an extension; only a `bootstrap`, or a watched file itself, has none.
fn is_made(path: &Path) -> bool {
    let made = |component: Component<'_>| {
        let name = component.as_os_str();
        MADE.iter().any(|made| name == *made)
    };
    let is_source = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => !MADE_EXTENSIONS.contains(&extension) && !extension.ends_with('~'),
        None => path.file_name().is_none_or(|name| name == "bootstrap"),
    };
    path.components().any(made) || !is_source
}

/// The files that this process writes its lines to: a change of theirs must not cause a line.
fn own_output() -> [Option<PathBuf>; 2] {
    ["/proc/self/fd/1", "/proc/self/fd/2"].map(|link| std::fs::read_link(link).ok())
}
