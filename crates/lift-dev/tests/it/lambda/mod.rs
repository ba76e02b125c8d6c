//! In: functions that behave and functions that do not. Out: whether they run as on Lambda, and hurt no other.

mod runtimes;
mod hostile;
mod life;
mod extensions;
mod invoke;
mod gateway;
mod logs;
mod watching;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use lift_dev::feed::{Entry, Feed, Happened};
use lift_dev::lambda::{Call, Failure, Fate, Functions, Settings};
use lift_dev::plan::{Asynchronous, Function, Logging, Plan};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

/// Time in which what is waited for must come.
const SOON: Duration = Duration::from_secs(20);

/// Functions of a plan, with where their files and what they report are.
struct Run {
    functions: Functions,
    feed: Receiver<Happened>,
    feed_in: Feed,
    directory: TempDir,
}

/// A function from one file: `NAME.py` is Python's, `NAME.mjs` Node's, anything else a `bootstrap`.
fn function(directory: &Path, name: &str, file: &str, text: &str) -> Function {
    let code = directory.join(name);
    fs::create_dir_all(&code).expect("a directory");
    fs::write(code.join(file), text).expect("a file");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(code.join(file), mode).expect("its mode");
    let (module, ending) = file.split_once('.').unwrap_or((file, ""));
    Function {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        runtime: match ending {
            "py" => "python3.12",
            "js" | "mjs" | "cjs" => "nodejs20.x",
            _ => "provided.al2023",
        }
        .to_owned(),
        handler: format!("{module}.handler"),
        code,
        command: None,
        qualifiers: Vec::new(),
        build: None,
        inline: None,
        watch: Vec::new(),
        memory_mb: 128,
        timeout: Duration::from_secs(10),
        environment: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        logging: Logging::default(),
        concurrency_max: None,
        asynchronous: Asynchronous::default(),
        statements: Vec::new(),
    }
}

impl Run {
    fn new(directory: TempDir, functions: Vec<Function>, settings: Settings) -> Self {
        let plan = Plan {
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            functions,
            ..Plan::default()
        };
        let (feed, entries) = Feed::new();
        Self {
            functions: Functions::new(&plan, settings, feed.clone()).expect("functions that start"),
            feed: entries,
            feed_in: feed,
            directory,
        }
    }

    fn call(function: &str, payload: &Value) -> Call {
        Call {
            function: function.to_owned(),
            payload: Bytes::from(payload.to_string()),
            cause: "test".to_owned(),
            request_id: None,
            trace: None,
            deadline: Some(SOON),
            fate: Fate::Lives,
        }
    }

    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, Failure> {
        let answer = self
            .functions
            .invoke(Self::call(function, &payload))
            .await?;
        Ok(serde_json::from_slice(&answer).expect("JSON"))
    }

    /// The first entry from here on that is looked for.
    async fn entry(&mut self, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let mut seen = Vec::new();
        let find = async {
            while let Some(Happened { entry, .. }) = self.feed.recv().await {
                if wanted(&entry) {
                    return Some(entry);
                }
                seen.push(entry);
            }
            None
        };
        let found = tokio::time::timeout(SOON, find).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("it is not among {seen:#?}"))
    }

    /// The first line with this text that a function writes.
    async fn line(&mut self, text: &str) -> String {
        let has = |entry: &Entry| matches!(entry, Entry::Log { line, .. } if line.contains(text));
        match self.entry(has).await {
            Entry::Log { line, .. } => line,
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, function: &str) -> usize {
        let counts = self.functions.environments();
        let found = counts.iter().find(|(name, _)| name == function);
        found.map_or(0, |(_, count)| *count)
    }

    /// Waits until the function has so many environments.
    async fn until_count(&self, function: &str, count: usize) {
        let reached = async {
            while self.count(function) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        assert!(
            reached.is_ok(),
            "{:?} never has {count}",
            self.functions.environments()
        );
    }
}

/// A runtime of its own in Python, for what no official client does; `call` and `next` as the API has them.
fn raw(body: &str) -> String {
    format!(
        r#"#!/usr/bin/env python3
import http.client, json, os, signal, sys, threading, time
sys.stdout.reconfigure(line_buffering=True)

def call(method, path, body=None, headers=None, base="/2018-06-01/runtime/"):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, base + path, body, headers or {{}})
    response = connection.getresponse()
    return response, response.read()

def extension(method, path, body=None, headers=None):
    return call(method, path, body, headers, "/2020-01-01/extension/")

def next():
    response, body = call("GET", "invocation/next")
    return response.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body), response

def answer(id, value):
    return call("POST", f"invocation/{{id}}/response", json.dumps(value))

{body}
"#
    )
}

fn one(file: &str, text: &str) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let function = function(directory.path(), "one", file, text);
    Run::new(directory, vec![function], Settings::default())
}
