//! A temporary directory of objects, and a caller that remembers checkpoints as a framework would.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use serde_json::{Value, json};
use streamer::objects::{Objects, Tenant, WorkId};
use streamer::tasks::claim::{Ended, Flow, Hooks, Job};
use streamer::tasks::failure::Failure;
use streamer::tasks::process_data::{Checkpoint, Engine, Options, Outcome, ProcessData};
use tempfile::TempDir;

pub(crate) const TENANT: &str = "acme";

pub(crate) struct Place {
    dir: TempDir,
    pub(crate) options: Options,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(dir.path().join("objects").join(TENANT)).unwrap();
        Self {
            dir,
            options: Options::default(),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("objects").join(TENANT).join(name)
    }

    pub(crate) fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        std::fs::read(self.path(name))
            .ok()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::open(self.dir.path()).unwrap()
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.objects(), self.options.clone())
    }

    pub(crate) fn engine_over(&self, store: Arc<dyn ObjectStore>) -> Engine {
        Engine::new(
            Objects::over(self.dir.path(), store).unwrap(),
            self.options.clone(),
        )
    }

    /// Every file below `work`, reservations included.
    pub(crate) fn work(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().join("work")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(
                        path.strip_prefix(self.dir.path())
                            .unwrap()
                            .display()
                            .to_string(),
                    ),
                }
            }
        }
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
