//! In: what happens in the gateway and the functions. Out: the same with its time, one after another, to whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::wall_clock;

/// Entries that wait to be shown; what comes when it is full is counted and not shown.
const ENTRIES_MAX: usize = 4_096;

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// Something to know: a rebuild, a table that was created.
    Notice {
        /// The sentence.
        text: String,
    },
    /// Something that is not as it should be: a function that ended, code that does not build.
    Problem {
        /// The sentence, which names whose it is.
        text: String,
    },
    /// An invocation ended.
    Invocation {
        /// The function's name.
        function: String,
        /// The invocation's request id.
        request_id: String,
        /// What it was for: `$connect`, `$default`, `stream`, `invoke`, `schedule`.
        cause: String,
        /// `ok`, or the error's type.
        outcome: String,
        /// Time from the call to the answer, in microseconds.
        took_us: u64,
        /// Time that the environment's start took, where this invocation waited for one, in
        /// microseconds.
        cold_us: Option<u64>,
        /// What to do about it, where a limit of this machine refused it.
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// A line that a function wrote.
    Log {
        /// The function's name.
        function: String,
        /// The line, without its end.
        line: String,
    },
    /// An `@connections` call.
    Management {
        /// The API's logical id.
        api: String,
        /// `POST`, `GET` or `DELETE`.
        method: String,
        /// The connection's id.
        connection: String,
        /// Bytes of a post.
        bytes: u64,
        /// The answer's status.
        status: u16,
    },
    /// A connection began, or an upgrade was refused.
    Connected {
        /// The API's logical id.
        api: String,
        /// The connection's id; a refused upgrade has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// The answer's status: 101 where it began.
        status: u16,
    },
    /// A message, or a control frame that carries none.
    Frame {
        /// The API's logical id.
        api: String,
        /// The connection's id.
        connection: String,
        /// Which way it goes.
        direction: Direction,
        /// What it is.
        opcode: Opcode,
        /// Its payload's bytes, where they are kept so long.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// The beginning of its text, without what a terminal would obey.
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<String>,
    },
    /// A connection ends, after what is queued for the client.
    Closed {
        /// The API's logical id.
        api: String,
        /// The connection's id.
        connection: String,
        /// Who ends it.
        by: By,
        /// The close code; 1006 where the client left without a close frame.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// A fault that was asked for strikes.
    Fault {
        /// The API's logical id.
        api: String,
        /// The connection's id.
        connection: String,
        /// The fault's name.
        fault: &'static str,
        /// What it strikes: a route's key, `authorizer`, or `@connections`.
        at: String,
    },
    /// A batch of a stream was dealt with.
    Batch {
        /// The mapping's logical id.
        mapping: String,
        /// How many records.
        records: u64,
        /// `ok`, or what becomes of it.
        outcome: String,
    },
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "RFC 6455 has them")]
pub enum Opcode {
    Text,
    Binary,
    Ping,
    Pong,
}

/// Who ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The client, with a close frame or by leaving.
    Client,
    /// The gateway, for a rule, a `DELETE` or its own end.
    Gateway,
}

/// How much of what happens is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    #[default]
    All,
    /// Problems alone.
    Problems,
}

/// Takes entries. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct Feed {
    happened: mpsc::Sender<Happened>,
    missed: Arc<AtomicU64>,
    /// Of these, those that have not been told of.
    untold: Arc<AtomicU64>,
    detail: Detail,
}

impl Feed {
    /// A feed of everything, and where it comes out.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Happened>) {
        Self::with_detail(Detail::All)
    }

    /// A feed of so much, and where it comes out.
    #[must_use]
    pub fn with_detail(detail: Detail) -> (Self, mpsc::Receiver<Happened>) {
        let (happened, receiver) = mpsc::channel(ENTRIES_MAX);
        let feed = Self {
            happened,
            missed: Arc::default(),
            untold: Arc::default(),
            detail,
        };
        (feed, receiver)
    }

    /// How much is wanted: what costs much to say need not be made where it is not.
    #[must_use]
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// Adds an entry, or counts it as missed where nobody keeps up.
    pub fn put(&self, entry: Entry) {
        if self.detail == Detail::Problems && !matches!(entry, Entry::Problem { .. }) {
            return;
        }
        if self.untold.load(Ordering::Relaxed) > 0 {
            self.tell_of_missed();
        }
        if !self.send(entry) {
            self.missed.fetch_add(1, Ordering::Relaxed);
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says where something is missing, once there is room for it.
    fn tell_of_missed(&self) {
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let text = format!("{untold} lines are not shown: they came too fast");
        if untold > 0 && !self.send(Entry::Problem { text }) {
            self.untold.fetch_add(untold, Ordering::Relaxed);
        }
    }

    fn send(&self, entry: Entry) -> bool {
        let at_ms = wall_clock().epoch_ms();
        self.happened.try_send(Happened { at_ms, entry }).is_ok()
    }

    /// Adds a [`Entry::Notice`].
    pub fn notice(&self, text: impl Into<String>) {
        self.put(Entry::Notice { text: text.into() });
    }

    /// Adds a [`Entry::Problem`].
    pub fn problem(&self, text: impl Into<String>) {
        self.put(Entry::Problem { text: text.into() });
    }

    /// How many entries were not shown.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES_MAX, Entry, Feed};

    #[test]
    fn what_has_no_room_is_counted_and_told_where_it_is_missing() {
        let (feed, mut happened) = Feed::new();
        let texts = (0..ENTRIES_MAX + 3).map(|i| i.to_string());
        texts.for_each(|text| feed.notice(text));
        assert_eq!(feed.missed(), 3);
        for i in 0..ENTRIES_MAX {
            let entry = happened.try_recv().unwrap().entry;
            let text = i.to_string();
            assert_eq!(entry, Entry::Notice { text });
        }
        feed.notice("next");
        let rest = [(); 2].map(|()| happened.try_recv().unwrap().entry);
        let told = "3 lines are not shown: they came too fast".to_owned();
        let next = "next".to_owned();
        assert_eq!(
            rest,
            [Entry::Problem { text: told }, Entry::Notice { text: next }]
        );
        assert!(happened.try_recv().is_err());
        assert_eq!(feed.missed(), 3);
    }
}
