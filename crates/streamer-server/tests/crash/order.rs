//! The order itself: no acknowledgment is written to its socket before the disk has what it says.
//!
//! For each frame about a request R that promises something durable, the log of system calls must
//! have, in this order: a `write` to a journal (`*.jnl`) whose bytes hold what is promised about R,
//! returned; an `fdatasync` of the same journal, entered after that and returned 0; the frame's
//! write to the socket, entered after that. In the same way a collection's changes are on the disk
//! before it is written that their request has completed. `strace` stops a thread at the entry and at the return
//! of each call until it has logged it, so the log's order is the order of what happened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::strace;
use crate::support::home::{Home, Server};
use crate::support::orders;

const REQUESTS: usize = 12;
/// Changes of a `bulk_operation`: more than one write to the journal takes.
const ITEMS: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Edge {
    Enter,
    Return,
}

/// One line of the log: a call's entry or return, or both in one.
#[derive(Debug)]
struct Event<'a> {
    thread: &'a str,
    edges: &'a [Edge],
    call: &'a str,
    /// Arguments at the entry, the result at the return.
    text: &'a str,
}

fn parse(line: &str) -> Option<Event<'_>> {
    let (thread, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix("<... ") {
        let (call, text) = rest.split_once(" resumed>")?;
        return Some(Event {
            thread,
            edges: &[Edge::Return],
            call,
            text,
        });
    }
    let (call, text) = rest.split_once('(')?;
    let edges: &[Edge] = match text.ends_with("<unfinished ...>") {
        true => &[Edge::Enter],
        false => &[Edge::Enter, Edge::Return],
    };
    Some(Event {
        thread,
        edges,
        call,
        text,
    })
}

/// What one write to a journal must hold before something may be said or written.
#[derive(Debug)]
struct Promise {
    request: String,
    kind: Kind,
    /// All of these are in the write's bytes.
    holds: Vec<String>,
    /// The journal that has it.
    written: Option<String>,
    durable: bool,
    frames: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The record when it is accepted, before `acknowledgment`.
    Accepted,
    /// A change of a collection, before the record that it has completed.
    Changed,
    /// The record when it has completed, before `complete`.
    Completed,
}

impl Kind {
    /// Where its journal is. What a change says is in the request's own record, too.
    fn database(self) -> &'static str {
        match self {
            Self::Accepted | Self::Completed => "/store/",
            Self::Changed => "/collections/",
        }
    }
}

impl Promise {
    fn new(request: &str, kind: Kind, holds: &[&str]) -> Self {
        Self {
            request: request.to_owned(),
            kind,
            holds: holds.iter().map(|text| (*text).to_owned()).collect(),
            written: None,
            durable: false,
            frames: 0,
        }
    }

    /// What every durable request promises.
    fn of(request: &str) -> [Self; 2] {
        [
            Self::new(
                request,
                Kind::Accepted,
                &[request, r#"\"state\":\"queued\""#],
            ),
            Self::new(
                request,
                Kind::Completed,
                &[request, r#"\"state\":\"completed\""#],
            ),
        ]
    }
}

/// Follows the log.
struct Journal {
    promises: Vec<Promise>,
    /// Of each thread in a call: the promises that its write holds, by their places.
    writing: HashMap<String, (Vec<usize>, String)>,
    /// Those that its sync will cover.
    syncing: HashMap<String, Vec<usize>>,
}

impl Journal {
    fn follow(&mut self, event: &Event<'_>) {
        for edge in event.edges {
            match (event.call, edge) {
                ("write" | "writev" | "pwrite64", Edge::Enter) => {
                    let Some(journal) = journal(event.text) else {
                        continue;
                    };
                    let held = self.places(|promise| {
                        let is_there = |text: &String| event.text.contains(text.as_str());
                        journal.contains(promise.kind.database())
                            && promise.holds.iter().all(is_there)
                    });
                    for place in &held {
                        self.nothing_is_missing(*place, event.text);
                    }
                    let writing = (held, journal.to_owned());
                    self.writing.insert(event.thread.to_owned(), writing);
                }
                ("write" | "writev" | "pwrite64", Edge::Return) => {
                    let Some((held, journal)) = self.writing.remove(event.thread) else {
                        continue;
                    };
                    assert!(!event.text.contains(") = -1"), "{}", event.text);
                    for place in held {
                        self.promises[place].written = Some(journal.clone());
                    }
                }
                ("fdatasync" | "fsync", Edge::Enter) => {
                    if let Some(journal) = journal(event.text) {
                        let covered = self.places(|one| one.written.as_deref() == Some(journal));
                        self.syncing.insert(event.thread.to_owned(), covered);
                    }
                }
                ("fdatasync" | "fsync", Edge::Return) => {
                    for place in self.syncing.remove(event.thread).unwrap_or_default() {
                        self.promises[place].durable |= event.text.trim_end().ends_with("= 0");
                    }
                }
                _ => {}
            }
        }
    }

    fn places(&self, is: impl Fn(&Promise) -> bool) -> Vec<usize> {
        let all = self.promises.iter().enumerate();
        all.filter_map(|(place, promise)| is(promise).then_some(place))
            .collect()
    }

    /// What has completed has changed what it was to change.
    fn nothing_is_missing(&self, place: usize, text: &str) {
        let promise = &self.promises[place];
        let changes = self.promises.iter().filter(|change| {
            change.kind == Kind::Changed
                && promise.kind == Kind::Completed
                && change.request == promise.request
        });
        for change in changes {
            assert!(
                change.durable,
                "completed before the disk had its changes: {text}"
            );
        }
    }

    fn frame(&mut self, frame: &str, kind: Kind, line: &str) {
        let promise = self
            .promises
            .iter_mut()
            .find(|promise| promise.kind == kind && frame.contains(promise.request.as_str()));
        let promise = promise.expect("a frame names its request");
        assert!(
            promise.durable,
            "written to the socket before the disk had it: {line}"
        );
        promise.frames += 1;
    }

    fn frames(&self, request: &str, kind: Kind) -> usize {
        let of = |promise: &&Promise| promise.request == request && promise.kind == kind;
        self.promises.iter().find(of).unwrap().frames
    }
}

/// The journal that a call is about, by its path.
fn journal(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    path.ends_with(".jnl").then_some(path)
}

/// Follows a whole log.
fn follow(text: &str, promises: Vec<Promise>) -> Journal {
    let mut journal = Journal {
        promises,
        writing: HashMap::new(),
        syncing: HashMap::new(),
    };
    for line in text.lines() {
        let Some(event) = parse(line) else { continue };
        journal.follow(&event);
        if !event.text.contains("<TCP") && !event.text.contains("<socket:")
            || event.edges[0] == Edge::Return
        {
            continue;
        }
        for (word, kind) in [
            ("acknowledgment", Kind::Accepted),
            ("complete", Kind::Completed),
        ] {
            let frames = event
                .text
                .split(r#"{\"type\":\""#)
                .filter(|frame| frame.starts_with(word));
            for frame in frames {
                journal.frame(frame, kind, line);
            }
        }
    }
    journal
}

/// A server under `strace`, and where its log is.
async fn traced(home: &Home) -> (Server, PathBuf) {
    let log = home.path().join("strace.log");
    let calls = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg";
    let server = strace::start(home, &log, &["-s", "65536", "-e", calls]).await;
    (server, log)
}

/// Ends the server, and follows what it did.
async fn followed(mut server: Server, log: &Path, promises: Vec<Promise>) -> Journal {
    let pid = server.pid();
    server.kill().await;
    follow(&strace::log(log, pid).await, promises)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgment_follows_the_fdatasync_that_covers_it() {
    let home = Home::new();
    let (server, log) = traced(&home).await;
    orders::write(&home.objects("acme").join("in.csv"), 20, 1);
    // One after the other, then all at once, so that one group of writes covers several.
    let mut requests = Vec::new();
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    for n in 0..REQUESTS {
        let request = ada
            .submit(
                "process_data",
                orders::payload("in.csv", &format!("a{n}.csv")),
            )
            .await;
        ada.ended(&request).await;
        requests.push(request);
    }
    for n in 0..REQUESTS {
        let payload = orders::payload("in.csv", &format!("b{n}.csv"));
        ada.send(&json!({"id": format!("b{n}"), "action": "process_data", "payload": payload}))
            .await;
    }
    let mut ended = 0;
    while ended < REQUESTS {
        let message = ada.next().await;
        match message["type"].as_str().unwrap() {
            "acknowledgment" => requests.push(message["request_id"].as_str().unwrap().to_owned()),
            "complete" => ended += 1,
            "progress" => {}
            _ => panic!("{message}"),
        }
    }
    let promises = requests.iter().flat_map(|request| Promise::of(request));
    let journal = followed(server, &log, promises.collect()).await;
    for request in &requests {
        assert_eq!(
            journal.frames(request, Kind::Accepted),
            1,
            "{request}: its acknowledgment was found in the log"
        );
        // An end is told at least once (docs/protocol.md).
        assert!(
            journal.frames(request, Kind::Completed) >= 1,
            "{request}: its end was found in the log"
        );
    }
    assert_eq!(requests.len(), 2 * REQUESTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collections_changes_are_on_the_disk_before_their_request_has_completed() {
    let home = Home::new();
    let (server, log) = traced(&home).await;
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let mut promises = Vec::new();
    for n in 0..REQUESTS {
        let first = format!("the first of {n}.");
        let items: Vec<_> = (0..ITEMS)
            .map(|item| {
                let text = if item == 0 { first.as_str() } else { "another" };
                json!({"op": "create", "key": format!("k{n}-{item}"), "record": {"text": text}})
            })
            .collect();
        let payload =
            json!({"collection": "c", "items": items, "output": {"name": format!("o{n}.ndjson")}});
        let request = ada.submit("bulk_operation", payload).await;
        ada.ended(&request).await;
        promises.extend(Promise::of(&request));
        promises.push(Promise::new(&request, Kind::Changed, &[&first]));
        // The last write of all, too.
        let last = format!("k{n}-{}", ITEMS - 1);
        promises.push(Promise::new(&request, Kind::Changed, &[&last, "another"]));
    }
    let journal = followed(server, &log, promises).await;
    for promise in &journal.promises {
        assert!(promise.durable, "{promise:?}");
        let told = promise.kind == Kind::Changed || promise.frames >= 1;
        assert!(told, "{promise:?}");
    }
}

#[test]
fn a_frame_before_its_sync_is_found() {
    let write = r#"7 write(5</store/0.jnl>, "{\"id\":\"R1\",\"state\":\"queued\"}", 9) = 9"#;
    let frame =
        r#"8 sendto(9<TCP:[1]>, "{\"type\":\"acknowledgment\",\"request_id\":\"R1\"}", 9) = 9"#;
    let (entry, back) = (
        "7 fdatasync(5</store/0.jnl> <unfinished ...>",
        "7 <... fdatasync resumed>) = 0",
    );
    let failed = "7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)";
    let another = "7 fdatasync(6</collections/0.jnl>) = 0";
    let follows = |lines: &[&str]| {
        let promises = || Promise::of("R1").into_iter().collect();
        std::panic::catch_unwind(|| follow(&lines.join("\n"), promises())).is_ok()
    };
    assert!(follows(&[write, entry, back, frame]));
    assert!(!follows(&[write, frame]));
    assert!(!follows(&[write, entry, frame, back]));
    assert!(!follows(&[write, entry, failed, frame]));
    assert!(!follows(&[entry, write, back, frame]));
    assert!(!follows(&[write, another, frame]));
}

#[test]
fn an_end_before_the_sync_of_a_change_is_found() {
    let change = r#"7 write(6</collections/0.jnl>, "rec{\"text\":\"new\"}", 9) = 9"#;
    let synced = "7 fdatasync(6</collections/0.jnl>) = 0";
    let other = "7 fdatasync(5</store/0.jnl>) = 0";
    let end = r#"7 write(5</store/0.jnl>, "{\"id\":\"R1\",\"state\":\"completed\"}", 9) = 9"#;
    let follows = |lines: &[&str]| {
        let promises = || {
            let all = Promise::of("R1").into_iter();
            all.chain([Promise::new("R1", Kind::Changed, &["new"])])
                .collect()
        };
        std::panic::catch_unwind(|| follow(&lines.join("\n"), promises())).is_ok()
    };
    assert!(follows(&[change, synced, end]));
    assert!(!follows(&[change, end]));
    assert!(!follows(&[change, other, end]));
    assert!(!follows(&[end, change, synced]));
}
