//! A temporary directory or a bucket of objects, and a caller that remembers checkpoints as a framework would.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{FutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use streamer::objects::{Objects, Tenant, WorkId};
use streamer::tasks::claim::{Ended, Flow, Hooks, Job};
use streamer::tasks::failure::Failure;
use streamer::tasks::process_data::{Checkpoint, Engine, Options, Outcome, ProcessData};
use tempfile::TempDir;

pub(crate) const TENANT: &str = "acme";

pub(crate) struct Place {
    kept: Kept,
    pub(crate) options: Options,
}

enum Kept {
    Directory(TempDir),
    Bucket(Arc<InMemory>),
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(dir.path().join("objects").join(TENANT)).unwrap();
        Self {
            kept: Kept::Directory(dir),
            options: Options::default(),
        }
    }

    /// A bucket: a store that compares tags when it writes, and has no folders.
    pub(crate) fn bucket() -> Self {
        Self {
            kept: Kept::Bucket(Arc::default()),
            options: Options::default(),
        }
    }

    /// One of each kind.
    pub(crate) fn each() -> [Self; 2] {
        [Self::new(), Self::bucket()]
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Another place of the same kind, with nothing in it.
    pub(crate) fn fresh(&self) -> Self {
        let empty = match self.kept {
            Kept::Directory(_) => Self::new(),
            Kept::Bucket(_) => Self::bucket(),
        };
        Self {
            options: self.options.clone(),
            ..empty
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        match &self.kept {
            Kept::Directory(dir) => dir.path().to_owned(),
            Kept::Bucket(_) => panic!("a bucket has no directory"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join("objects").join(TENANT).join(name)
    }

    /// The store as it is.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        match &self.kept {
            Kept::Directory(dir) => {
                let store = LocalFileSystem::new_with_prefix(dir.path()).unwrap();
                Arc::new(store.with_fsync(true))
            }
            Kept::Bucket(bucket) => Arc::clone(bucket) as _,
        }
    }

    pub(crate) fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        self.put_at(&format!("objects/{TENANT}/{name}"), text);
    }

    /// Writes below the place itself: `work/r1/part-1-0`.
    pub(crate) fn put_at(&self, place: &str, text: impl AsRef<[u8]>) {
        match &self.kept {
            Kept::Directory(dir) => {
                let path = dir.path().join(place);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Kept::Bucket(bucket) => {
                let bytes = text.as_ref().to_vec();
                now(bucket.put(&Path::parse(place).unwrap(), bytes.into())).unwrap();
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let bytes = self.get_at(&format!("objects/{TENANT}/{name}"))?;
        Some(String::from_utf8(bytes).unwrap())
    }

    pub(crate) fn get_at(&self, place: &str) -> Option<Vec<u8>> {
        match &self.kept {
            Kept::Directory(dir) => std::fs::read(dir.path().join(place)).ok(),
            Kept::Bucket(bucket) => {
                let got = now(bucket.get(&Path::parse(place).unwrap())).ok()?;
                Some(now(got.bytes()).unwrap().to_vec())
            }
        }
    }

    pub(crate) fn remove_at(&self, place: &str) {
        match &self.kept {
            Kept::Directory(dir) => std::fs::remove_file(dir.path().join(place)).unwrap(),
            Kept::Bucket(bucket) => now(bucket.delete(&Path::parse(place).unwrap())).unwrap(),
        }
    }

    pub(crate) fn objects(&self) -> Objects {
        self.objects_over(self.store())
    }

    fn objects_over(&self, store: Arc<dyn ObjectStore>) -> Objects {
        match &self.kept {
            Kept::Directory(dir) => {
                drop(Objects::open(dir.path()).unwrap());
                Objects::over(dir.path(), store).unwrap()
            }
            Kept::Bucket(_) => Objects::in_bucket(store),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.objects(), self.options.clone())
    }

    pub(crate) fn engine_over(&self, store: Arc<dyn ObjectStore>) -> Engine {
        Engine::new(self.objects_over(store), self.options.clone())
    }

    /// Everything below `work`, reservations included, but for those that a bucket keeps empty.
    pub(crate) fn work(&self) -> Vec<String> {
        let mut found = self.below("work");
        found.retain(|place| {
            let is_emptied = matches!(self.kept, Kept::Bucket(_))
                && place.starts_with("work/.names/")
                && self.get_at(place).is_some_and(|held| held.is_empty());
            !is_emptied
        });
        found
    }

    /// Every object below a folder of the place.
    pub(crate) fn below(&self, folder: &str) -> Vec<String> {
        let mut found = match &self.kept {
            Kept::Directory(dir) => files(dir.path(), folder),
            Kept::Bucket(bucket) => {
                let listed = bucket.list(Some(&Path::parse(folder).unwrap()));
                let listed: Vec<_> = now(listed.try_collect()).unwrap();
                let places = listed.iter().map(|object| object.location.to_string());
                places.collect()
            }
        };
        found.sort();
        found
    }

    pub(crate) async fn run(&self, request: Value) -> Result<Outcome, Failure> {
        match self
            .engine()
            .run(&job("r1", 1, request), None, &mut Caller::default())
            .await?
        {
            Ended::Finished(outcome) => Ok(outcome),
            Ended::Stopped => panic!("nobody asked to stop"),
        }
    }
}

/// What a store in memory answers, which it does at once.
fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("memory does not wait")
}

fn files(root: &std::path::Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    found
}

pub(crate) fn tenant() -> Tenant {
    Tenant::parse(TENANT).unwrap()
}

pub(crate) fn id(text: &str) -> WorkId {
    WorkId::parse(text).unwrap()
}

pub(crate) fn job(request_id: &str, claim: u64, request: Value) -> Job<ProcessData> {
    Job {
        tenant: tenant(),
        request_id: id(request_id),
        claim,
        request: typed(request),
    }
}

pub(crate) fn typed(request: Value) -> ProcessData {
    serde_json::from_str(&request.to_string()).expect("a well typed request")
}

pub(crate) fn request(input: &str, operations: Value, output: &str) -> Value {
    json!({ "input": input, "operations": operations, "output": { "name": output } })
}

/// Remembers the last durable checkpoint; stops where it is told to.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    pub(crate) durable: Option<Checkpoint>,
    pub(crate) percentages: Vec<f64>,
    pub(crate) checkpoints: usize,
    /// Stops at this checkpoint of the run, counted from 1.
    pub(crate) stop_at: Option<usize>,
    /// Whether the checkpoint at which it stops was made durable.
    pub(crate) loses_last: bool,
    /// Whether the request is to stop when it would publish.
    pub(crate) refuses_commit: bool,
}

impl Hooks<Checkpoint> for Caller {
    async fn progress(&mut self, percentage: f64, _: &str) -> Flow {
        self.percentages.push(percentage);
        Flow::Continue
    }

    async fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Flow {
        self.checkpoints += 1;
        let stops = self.stop_at == Some(self.checkpoints);
        if !(stops && self.loses_last) {
            let text = serde_json::to_string(checkpoint).unwrap();
            assert!(text.len() <= 4096, "a checkpoint is small: {text}");
            self.durable = Some(serde_json::from_str(&text).unwrap());
        }
        if stops { Flow::Stop } else { Flow::Continue }
    }

    async fn commit(&mut self) -> Flow {
        if self.refuses_commit {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }
}

/// A failure in one line: its kind, its text, and where.
pub(crate) fn said(failure: &Failure) -> String {
    match failure {
        Failure::Invalid(problems) => {
            let all = problems
                .iter()
                .map(|p| format!("{}: {}", p.pointer, p.message));
            format!("invalid {}", all.collect::<Vec<_>>().join("; "))
        }
        Failure::NotFound(_) => format!("not found: {failure}"),
        Failure::Conflict { .. } => format!("conflict: {failure}"),
        Failure::Input { pointer, .. } => {
            format!("input {}: {failure}", pointer.as_deref().unwrap_or("-"))
        }
        Failure::InputChanged(_) => format!("changed: {failure}"),
        Failure::Limit { pointer, .. } => {
            format!("limit {}: {failure}", pointer.as_deref().unwrap_or("-"))
        }
        other => format!("other: {other}"),
    }
}
