//! In: what happens in the gateway and the functions. Out: the same, one entry after another, to whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc;

/// Entries that wait to be shown; what comes when it is full is counted and not shown.
const ENTRIES_MAX: usize = 4_096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// Something to know: a rebuild, a table that was created, a function that cannot be started.
    Notice {
        /// The sentence.
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
        /// The answer's status: 101 where it began.
        status: u16,
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

/// Takes entries. Cheap to clone; never waits.
#[derive(Clone, Debug)]
pub struct Feed {
    entries: mpsc::Sender<Entry>,
    missed: Arc<AtomicU64>,
}

impl Feed {
    /// A feed, and where its entries come out.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Entry>) {
        let (entries, receiver) = mpsc::channel(ENTRIES_MAX);
        let missed = Arc::default();
        (Self { entries, missed }, receiver)
    }

    /// Adds an entry, or counts it as missed where nobody keeps up.
    pub fn put(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a [`Entry::Notice`].
    pub fn notice(&self, text: impl Into<String>) {
        self.put(Entry::Notice { text: text.into() });
    }

    /// How many entries were not shown.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}
