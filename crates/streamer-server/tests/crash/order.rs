//! The order itself: no acknowledgment is written to its socket before the disk has what it says.
//!
//! For each frame about a request R that promises something durable, the log of system calls must
//! have, in this order: a `write` to a journal (`*.jnl`) whose bytes hold what is promised about R,
//! returned; an `fdatasync` of the same journal, entered after that and returned 0; the frame's
//! write to the socket, entered after that. `strace` stops a thread at the entry and at the return
//! of each call until it has logged it, so the log's order is the order of what happened.

use std::collections::HashMap;

use serde_json::json;

use crate::strace;
use crate::support::home::Home;
use crate::support::orders;

const REQUESTS: usize = 12;

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

/// What is known about one promise.
#[derive(Debug, Default)]
struct Promise {
    written: bool,
    durable: bool,
    frames: usize,
}

/// Follows the log with the promises `(request id, mark)`: `mark` is in the record's bytes.
#[derive(Default)]
struct Journal {
    promises: HashMap<(String, &'static str), Promise>,
    /// Of each thread in a call: the promises that its write holds, or its sync will cover.
    under_way: HashMap<String, Vec<(String, &'static str)>>,
}

/// In the record's JSON when it is accepted, and when it has completed.
const MARKS: [(&str, &str); 2] = [
    ("acknowledgment", r#"\"state\":\"queued\""#),
    ("complete", r#"\"state\":\"completed\""#),
];

impl Journal {
    fn follow(&mut self, event: &Event<'_>, requests: &[String]) {
        let on_journal = event.text.contains(".jnl>");
        for edge in event.edges {
            match (event.call, edge) {
                ("write" | "writev" | "pwrite64", Edge::Enter) if on_journal => {
                    let holds = |request: &&String| event.text.contains(request.as_str());
                    let marks = MARKS.iter().filter(|(_, mark)| event.text.contains(mark));
                    let held = requests.iter().filter(holds);
                    let held = held.flat_map(|request| {
                        marks.clone().map(|(kind, _)| (request.clone(), *kind))
                    });
                    self.under_way
                        .insert(event.thread.to_owned(), held.collect());
                }
                ("write" | "writev" | "pwrite64", Edge::Return) => {
                    for promise in self.under_way.remove(event.thread).unwrap_or_default() {
                        self.promises.entry(promise).or_default().written = true;
                    }
                }
                ("fdatasync" | "fsync", Edge::Enter) if on_journal => {
                    let covered = self.promises.iter().filter(|(_, promise)| promise.written);
                    let covered = covered.map(|(promise, _)| promise.clone()).collect();
                    self.under_way.insert(event.thread.to_owned(), covered);
                }
                ("fdatasync" | "fsync", Edge::Return) => {
                    for promise in self.under_way.remove(event.thread).unwrap_or_default() {
                        if event.text.trim_end().ends_with("= 0") {
                            self.promises.entry(promise).or_default().durable = true;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, request: &str, kind: &'static str, line: &str) {
        let promise = self.promises.entry((request.to_owned(), kind)).or_default();
        assert!(
            promise.durable,
            "written to the socket before the disk had it: {line}"
        );
        promise.frames += 1;
    }
}

/// Follows a whole log.
fn follow(text: &str, requests: &[String]) -> Journal {
    let mut journal = Journal::default();
    for line in text.lines() {
        let Some(event) = parse(line) else { continue };
        journal.follow(&event, requests);
        if !event.text.contains("<TCP") && !event.text.contains("<socket:")
            || event.edges[0] == Edge::Return
        {
            continue;
        }
        for (kind, _) in MARKS {
            let frames = event
                .text
                .split(r#"{\"type\":\""#)
                .filter(|frame| frame.starts_with(kind));
            for frame in frames {
                let request = requests
                    .iter()
                    .find(|request| frame.contains(request.as_str()));
                journal.frame(request.expect("a frame names its request"), kind, line);
            }
        }
    }
    journal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgment_follows_the_fdatasync_that_covers_it() {
    let home = Home::new();
    let log = home.path().join("strace.log");
    let calls = "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg";
    let mut server = strace::start(&home, &log, &["-s", "65536", "-e", calls]).await;
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
    let pid = server.pid();
    server.kill().await;
    let text = strace::log(&log, pid).await;

    let journal = follow(&text, &requests);
    for request in &requests {
        let frames = |kind| journal.promises[&(request.clone(), kind)].frames;
        assert_eq!(
            frames("acknowledgment"),
            1,
            "{request}: its acknowledgment was found in the log"
        );
        // An end is told at least once (docs/protocol.md).
        assert!(
            frames("complete") >= 1,
            "{request}: its end was found in the log"
        );
    }
    assert_eq!(requests.len(), 2 * REQUESTS);
}

#[test]
fn a_frame_before_its_sync_is_found() {
    let write = r#"7 write(5</s/0.jnl>, "{\"id\":\"R1\",\"state\":\"queued\"}", 9) = 9"#;
    let frame =
        r#"8 sendto(9<TCP:[1]>, "{\"type\":\"acknowledgment\",\"request_id\":\"R1\"}", 9) = 9"#;
    let (entry, back) = (
        "7 fdatasync(5</s/0.jnl> <unfinished ...>",
        "7 <... fdatasync resumed>) = 0",
    );
    let failed = "7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)";
    let follows = |lines: &[&str]| {
        std::panic::catch_unwind(|| follow(&lines.join("\n"), &["R1".to_owned()])).is_ok()
    };
    assert!(follows(&[write, entry, back, frame]));
    assert!(!follows(&[write, frame]));
    assert!(!follows(&[write, entry, frame, back]));
    assert!(!follows(&[write, entry, failed, frame]));
    assert!(!follows(&[entry, write, back, frame]));
}
