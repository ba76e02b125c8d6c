//! The process that is killed: an order comes in through the environment, one line for each answer goes out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lift::json::Json;
use lift::task::record::NewTask;
use lift::task::store::{Put, TaskStore};
use lift::task::transition::{Applied, Transition};
use lift_embedded::{EmbeddedTasks, Options};
use tokio::task::JoinSet;

use crate::support::{LEASE, at, chain, claim, finish, task};

const ORDER: &str = "LIFT_STORE_CHILD";

/// What a child is told to do.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) dir: PathBuf,
    /// The number of its first request.
    pub(crate) first: u64,
    /// Requests that it works on at once.
    pub(crate) producers: u64,
    /// It stops by itself after so many requests.
    pub(crate) requests: u64,
}

impl Order {
    fn to_text(&self) -> OsString {
        let Self {
            dir,
            first,
            producers,
            requests,
        } = self;
        format!("{first} {producers} {requests} {}", dir.display()).into()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (first, producers, requests) = (number()?, number()?, number()?);
        Some(Self {
            dir: parts.next()?.into(),
            first,
            producers,
            requests,
        })
    }

    /// This test binary again, as the child; `under` is what it runs under, such as `strace`.
    pub(crate) fn command(&self, under: &[&str]) -> Command {
        let exe = std::env::current_exe().unwrap();
        let mut command = match under.split_first() {
            Some((tool, args)) => {
                let mut command = Command::new(tool);
                command.args(args).arg(exe);
                command
            }
            None => Command::new(exe),
        };
        command.args(["--exact", "child::child", "--nocapture", "--test-threads=1"]);
        command
            .env(ORDER, self.to_text())
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        command
    }
}

/// Not a test: what [`Order::command`] runs. Without an order it does nothing.
#[test]
fn child() {
    let Some(order) = std::env::var_os(ORDER) else {
        return;
    };
    let order = Order::parse(order.to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work(order));
}

/// A payload whose length differs from request to request, so that tables are written under way.
pub(crate) fn input(n: u64) -> Json {
    let bytes = usize::try_from(n.wrapping_mul(0x9e37_79b9) % 24_000).unwrap();
    Json::parse(format!("[{n},\"{}\"]", "x".repeat(bytes))).unwrap()
}

pub(crate) fn request(n: u64) -> NewTask {
    NewTask {
        input: input(n),
        ..task(n)
    }
}

fn open(dir: &Path) -> EmbeddedTasks {
    EmbeddedTasks::open(dir, &Options::default()).unwrap_or_else(|error| panic!("{}", chain(error)))
}

async fn work(order: Order) {
    let store = Arc::new(open(&order.dir));
    let report = store.report();
    println!("opened {} {}", report.commits_lost, report.unreadable_count);
    let next = Arc::new(AtomicU64::new(order.first));
    let last = order.first + order.requests;
    let mut producers = JoinSet::new();
    for _ in 0..order.producers {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        producers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= last || !one(&store, n).await {
                    return;
                }
            }
        });
    }
    producers.join_all().await;
    match store.close().await {
        Ok(()) => println!("closed"),
        Err(error) => println!("failed {}", chain(error)),
    }
}

/// Sees one request through; false once the store refuses.
async fn one(store: &EmbeddedTasks, n: u64) -> bool {
    match store.put(request(n)).await {
        Ok(Put::Stored(_)) => println!("put {n}"),
        Ok(other) => panic!("put {n}: {other:?}"),
        Err(error) => return refused(store, n, chain(error)).await,
    }
    let checkpoint = Some(Json::parse(n.to_string()).unwrap());
    let steps = [
        ("claim", claim()),
        (
            "checkpoint",
            Transition::Renew {
                claim: 1,
                lease: LEASE,
                progress: None,
                checkpoint,
            },
        ),
        ("finish", finish(1, n)),
    ];
    // Every fifth stays queued and every fourth running, so that openings meet them.
    let steps = steps.into_iter().take(if n.is_multiple_of(5) {
        0
    } else if n.is_multiple_of(4) {
        2
    } else {
        3
    });
    for (name, transition) in steps {
        match store.apply(&task(n).key, transition, at(1)).await {
            Ok(Applied::Done(_)) => println!("{name} {n}"),
            Ok(other) => panic!("{name} {n}: {other:?}"),
            Err(error) => return refused(store, n, chain(error)).await,
        }
    }
    true
}

/// A store that refuses writes must still read what it answered, and go on refusing.
async fn refused(store: &EmbeddedTasks, n: u64, error: String) -> bool {
    println!("refused {n} {error}");
    assert!(store.writable().is_err());
    for n in n.saturating_sub(40)..n {
        let read = store
            .get(&task(n).key)
            .await
            .map(|record| record.map(|record| record.state));
        println!("read {n} {read:?}");
    }
    let error = store.put(request(n + 1_000_000)).await.unwrap_err();
    println!("again {}", chain(error));
    false
}
