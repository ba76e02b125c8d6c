//! A temporary directory of objects and collections, and a caller that remembers checkpoints as a framework would.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use streamer::objects::{Objects, Tenant, WorkId};
use streamer::tasks::bulk_operation::{Collections, Page};
use streamer::tasks::claim::{Flow, Hooks, Job};
use streamer::tasks::failure::Failure;

pub(crate) const TENANT: &str = "acme";

pub(crate) fn tenant() -> Tenant {
    Tenant::parse(TENANT).unwrap()
}

pub(crate) fn id(text: &str) -> WorkId {
    WorkId::parse(text).unwrap()
}

pub(crate) fn job<R: DeserializeOwned>(request_id: &str, claim: u64, request: &Value) -> Job<R> {
    Job {
        tenant: tenant(),
        request_id: id(request_id),
        claim,
        request: serde_json::from_str(&request.to_string()).expect("a well typed request"),
    }
}

pub(crate) fn objects(dir: &Path) -> Objects {
    std::fs::create_dir_all(dir.join("objects").join(TENANT)).unwrap();
    Objects::open(dir).unwrap()
}

pub(crate) fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(dir.join("objects").join(TENANT).join(name), text).unwrap();
}

pub(crate) fn get(dir: &Path, name: &str) -> Option<String> {
    let path = dir.join("objects").join(TENANT).join(name);
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

/// The lines of an NDJSON object.
pub(crate) fn lines(dir: &Path, name: &str) -> Vec<Value> {
    let text = get(dir, name).unwrap_or_else(|| panic!("there is no `{name}`"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Records: version and text by key.
pub(crate) type Held = BTreeMap<String, (u64, String)>;

/// What a collection holds.
pub(crate) async fn records(collections: &Collections, name: &str) -> Held {
    let mut view = collections.view(&tenant(), name).await.unwrap();
    let mut all = BTreeMap::new();
    loop {
        match view.next(7).await.unwrap() {
            Page::Records(page) => all.extend(
                page.into_iter()
                    .map(|record| (record.key, (record.version, record.text))),
            ),
            Page::End => break,
            Page::Moved => panic!("nobody changes `{name}` now"),
        }
    }
    assert_eq!(view.records(), all.len() as u64);
    all
}

/// A kind of place of records; each passes the same tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    #[cfg(feature = "lambda")]
    Table,
}

impl Kind {
    /// Empty collections of this kind, for objects in `dir`.
    pub(crate) async fn collections(self, dir: &Path) -> Collections {
        match self {
            Self::Embedded => Collections::open(dir).unwrap(),
            #[cfg(feature = "lambda")]
            Self::Table => crate::table::collections().await,
        }
    }
}

/// Each of these tests runs at each kind of place.
macro_rules! at_each_kind {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                Box::pin(super::$test(crate::place::Kind::Embedded)).await;
            })+
        }

        #[cfg(feature = "lambda")]
        mod table {
            $(#[tokio::test]
            async fn $test() {
                if crate::tables::local().await.is_some() {
                    Box::pin(super::$test(crate::place::Kind::Table)).await;
                }
            })+
        }
    };
}
pub(crate) use at_each_kind;

/// What is left below `work`.
pub(crate) fn left(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("work")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".names").collect()
}

/// Remembers the last durable checkpoint; stops where it is told to.
#[derive(Debug)]
pub(crate) struct Caller<C> {
    pub(crate) durable: Option<C>,
    pub(crate) percentages: Vec<f64>,
    /// Stops when it hears of progress so many times.
    pub(crate) stop_at: Option<usize>,
}

impl<C> Default for Caller<C> {
    fn default() -> Self {
        Self {
            durable: None,
            percentages: Vec::new(),
            stop_at: None,
        }
    }
}

impl<C: Serialize + DeserializeOwned + Send + Sync> Hooks<C> for Caller<C> {
    async fn commit(&mut self) -> Flow {
        Flow::Continue
    }

    async fn progress(&mut self, percentage: f64, _: &str) -> Flow {
        self.percentages.push(percentage);
        match self.stop_at {
            Some(at) if self.percentages.len() >= at => Flow::Stop,
            _ => Flow::Continue,
        }
    }

    async fn checkpoint(&mut self, checkpoint: &C) -> Flow {
        let text = serde_json::to_string(checkpoint).unwrap();
        assert!(text.len() <= 4096, "a checkpoint is small: {text}");
        self.durable = Some(serde_json::from_str(&text).unwrap());
        Flow::Continue
    }
}

/// A failure in one line: its kind, its text, and where.
pub(crate) fn said(failure: &Failure) -> String {
    match failure {
        Failure::Invalid(problems) => {
            let all = problems
                .iter()
                .map(|p| format!("{} {}", p.pointer, p.message));
            format!("invalid {}", all.collect::<Vec<_>>().join("; "))
        }
        Failure::NotFound(_) => format!("not found: {failure}"),
        Failure::Conflict { .. } => format!("conflict: {failure}"),
        Failure::InputChanged(_) => format!("changed: {failure}"),
        Failure::Limit { limit, max, .. } => format!("limit {limit} {max}"),
        other => format!("other: {other}"),
    }
}
