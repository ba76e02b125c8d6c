//! In: changes of files. Out: the functions whose code they are, built where they are built, and replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notify::EventKind;
use notify::event::ModifyKind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::build::build;
use crate::feed::Feed;
use crate::lambda::Functions;
use crate::places::{Places, is_made as is_made_directory};
use crate::plan::{Function, Plan};

/// Changes that come closer together than this are one: an editor writes a file more than once.
const QUIET: Duration = Duration::from_millis(60);
/// Changed paths that wait; past it they are dropped, and everything is taken as changed.
const PATHS_MAX: usize = 1_024;
/// A file with more bytes is known by their number and its time.
const CONTENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files whose content is remembered; past it, all of it is forgotten.
const FILES_MAX: usize = 10_000;
/// Extensions of files that are no sources.
const MADE_EXTENSIONS: &[&str] = &["pyc", "log", "out", "tmp", "swp", "swx", "jsonl"];
/// Watches the code of a plan's functions, and the template.
#[derive(Debug)]
pub struct Watch {
    places: Places,
    changes: mpsc::Receiver<Change>,
    /// Whether some did not fit into `changes`.
    missed: Arc<AtomicBool>,
    functions: Vec<Function>,
    directory: PathBuf,
    template: Template,
    /// What files held when they were last found to have changed.
    known: HashMap<PathBuf, Option<u64>>,
}

/// What happened to a path.
#[derive(Debug)]
enum Change {
    /// There is something now, perhaps a directory.
    Came(PathBuf),
    /// Anything else.
    Other(PathBuf),
}

/// The template as it was, and as it is now.
#[derive(Debug)]
struct Template {
    path: PathBuf,
    started: Option<u64>,
    latest: Option<u64>,
}

impl Watch {
    /// Begins to watch; `directory` is where builds run. What the system has no watches for is told later.
    ///
    /// # Errors
    /// A path is not there, or the system watches nothing.
    pub fn start(plan: &Plan, directory: &Path, template: &Path) -> notify::Result<Self> {
        let (changed, changes) = mpsc::channel(PATHS_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let overflow = Arc::clone(&missed);
        let own = own_output();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            if event.need_rescan() {
                overflow.store(true, Ordering::Relaxed);
            }
            let came = matches!(
                event.kind,
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))
            );
            let change = if came { Change::Came } else { Change::Other };
            let paths = event.paths.into_iter();
            for path in paths.filter(|path| !own.iter().flatten().any(|own| own == path)) {
                if changed.try_send(change(path)).is_err() {
                    overflow.store(true, Ordering::Relaxed);
                }
            }
        })?;
        let mut places = Places::new(watcher);
        let template = template.canonicalize()?;
        // An editor puts another file in its place: its directory is watched.
        if let Some(parent) = template.parent() {
            places.one(parent)?;
        }
        let paths: BTreeSet<_> = plan.functions.iter().flat_map(watched).collect();
        for path in &paths {
            places.add(path)?;
        }
        let content = content(&template);
        Ok(Self {
            places,
            changes,
            missed,
            functions: plan.functions.clone(),
            directory: directory.to_owned(),
            template: Template {
                path: template,
                started: content,
                latest: content,
            },
            known: HashMap::new(),
        })
    }

    /// Builds and replaces what changes, until the shutdown, which ends a build.
    pub async fn follow(mut self, functions: Functions, feed: Feed, shutdown: CancellationToken) {
        self.say_unwatched(&feed);
        while let Some(changed) = self.next(&shutdown).await {
            self.say_unwatched(&feed);
            self.template.look(&changed, &feed);
            let changed = self.different(changed);
            let work = self.work(&changed, &functions, &feed);
            if shutdown.run_until_cancelled(work).await.is_none() {
                return;
            }
        }
    }

    fn say_unwatched(&mut self, feed: &Feed) {
        if let Some(directory) = self.places.unwatched() {
            let directory = directory.display();
            feed.problem(format!(
                "the system's file watches are used up (`fs.inotify.max_user_watches`): changes in `{directory}` and other directories are not seen"
            ));
        }
    }

    /// What of it is not as it was when it was last looked at: a build that writes beside its sources
    /// would otherwise be the reason for the next one.
    fn different(&mut self, mut changed: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        if self.known.len() > FILES_MAX {
            self.known.clear();
        }
        changed.retain(|path| {
            let now = content(path);
            *path != self.template.path && self.known.insert(path.clone(), now) != Some(now)
        });
        changed
    }

    /// Builds and replaces the functions whose code changed; equal commands once.
    async fn work(&self, changed: &BTreeSet<PathBuf>, functions: &Functions, feed: &Feed) {
        let mut by_command = BTreeMap::<_, Vec<_>>::new();
        for function in self.functions.iter().filter(|f| is_hit(f, changed)) {
            let command = function.build.as_deref();
            let held = command.map(|_| functions.hold(&function.name));
            let of_command = by_command.entry(command).or_default();
            of_command.push((function.name.as_str(), held));
        }
        for (command, of_command) in by_command {
            let started = Instant::now();
            if let Some(command) = command
                && let Err(error) = build(command, &self.directory).await
            {
                let names = of_command.iter().map(|(name, _)| format!("`{name}`"));
                let names = names.collect::<Vec<_>>().join(", ");
                feed.problem(format!("{names}: not built, the old code stays: {error}"));
                continue;
            }
            for (name, held) in of_command {
                let replaced = functions.replace(name).await;
                drop(held);
                let took = started.elapsed().as_secs_f32();
                match replaced {
                    Ok(()) => feed.notice(format!("`{name}`: changed, replaced in {took:.2} s")),
                    Err(error) => feed.problem(format!("{error}; the old code stays")),
                }
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
                next = self.changes.recv() => match next? {
                    Change::Came(path) => {
                        self.places.appeared(&path, |file| _ = changed.insert(file));
                        changed.insert(path);
                    }
                    Change::Other(path) => _ = changed.insert(path),
                },
                () = quiet => {
                    if self.missed.swap(false, Ordering::Relaxed) {
                        self.places.again(|file| _ = changed.insert(file));
                    }
                    return Some(changed);
                }
            }
        }
    }
}

impl Template {
    /// Says that what runs is not what the template says.
    fn look(&mut self, changed: &BTreeSet<PathBuf>, feed: &Feed) {
        let name = self.path.file_name();
        if !changed.iter().any(|path| path.file_name() == name) {
            return;
        }
        let now = content(&self.path);
        // An editor may have it away for a moment.
        if now.is_none() || now == self.latest {
            return;
        }
        self.latest = now;
        let name = name.unwrap_or_default().to_string_lossy();
        if now == self.started {
            feed.notice(format!("`{name}` is again what runs"));
        } else {
            feed.notice(format!(
                "`{name}` changed, and the old one runs on: restart `lift dev`"
            ));
        }
    }
}

/// What is in a file, in short; nothing where there is no file.
fn content(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    let about = std::fs::metadata(path).ok()?;
    if about.len() > CONTENT_BYTES_MAX {
        (about.len(), about.modified().ok()?).hash(&mut hasher);
    } else {
        std::fs::read(path).ok()?.hash(&mut hasher);
    }
    Some(hasher.finish())
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
    let is_source = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => !MADE_EXTENSIONS.contains(&extension) && !extension.ends_with('~'),
        None => path.file_name().is_none_or(|name| name == "bootstrap"),
    };
    path.iter().any(is_made_directory) || !is_source
}

/// The files that this process writes its lines to: a change of theirs must not cause a line.
fn own_output() -> [Option<PathBuf>; 2] {
    ["/proc/self/fd/1", "/proc/self/fd/2"].map(|link| std::fs::read_link(link).ok())
}
