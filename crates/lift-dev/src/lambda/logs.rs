//! In: what functions write, as much and as fast as they like. Out: lines of bounded length at a bounded rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::feed::{Entry, Feed};

/// Bytes of a line that are shown.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Bytes that are read at a time.
const READ_BYTES: usize = 32 * 1024;

/// Lines of one function that are shown at once, and in each second after that.
const BURST_LINES: u64 = 2_000;
const LINES_PER_SECOND: u64 = 1_000;

/// Where the lines of one function go.
#[derive(Debug)]
pub(super) struct Log {
    function: String,
    feed: Feed,
    budget: Mutex<Budget>,
}

impl Log {
    pub(super) fn new(function: &str, feed: Feed) -> Self {
        Self {
            function: function.to_owned(),
            feed,
            budget: Mutex::new(Budget::new(Instant::now())),
        }
    }

    /// Reads to the end; never holds up the writer.
    ///
    /// A line that has no end when an invocation is `answered` ends there: what comes later is another's.
    pub(super) async fn copy(
        self: Arc<Self>,
        mut from: impl AsyncRead + Unpin,
        mut answered: watch::Receiver<()>,
    ) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = tokio::select! {
                biased;
                read = from.read(&mut buffer) => read,
                Ok(()) = answered.changed() => {
                    lines.end(|line| self.line(Instant::now(), line));
                    continue;
                }
            };
            let count = match read {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let now = Instant::now();
            lines.push(buffer.get(..count).unwrap_or_default(), |line| {
                self.line(now, line);
            });
        }
        lines.end(|line| self.line(Instant::now(), line));
    }

    fn line(&self, now: Instant, line: &[u8]) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(missed) = budget.take(now) else {
            return;
        };
        drop(budget);
        if missed > 0 {
            self.put(format!("({missed} lines are not shown)"));
        }
        self.put(String::from_utf8_lossy(line).into_owned());
    }

    fn put(&self, line: String) {
        self.feed.put(Entry::Log {
            function: self.function.clone(),
            line,
        });
    }

    /// Says how many lines were not shown; for when an environment ends.
    pub(super) fn settle(&self) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = std::mem::take(&mut budget.missed);
        drop(budget);
        if missed > 0 {
            self.put(format!("({missed} lines are not shown)"));
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
            let shown = text.get(..room).unwrap_or(text);
            if ended && self.begun.is_empty() {
                line(shown);
                continue;
            }
            self.begun.extend_from_slice(shown);
            if ended {
                line(&self.begun);
                self.begun.clear();
            }
        }
    }

    fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            line(&std::mem::take(&mut self.begun));
        }
    }
}

#[derive(Debug)]
struct Budget {
    lines: u64,
    at: Instant,
    missed: u64,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            lines: BURST_LINES,
            at: now,
            missed: 0,
        }
    }

    /// Whether a line may be shown, and how many were not since the last one.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let since = now.saturating_duration_since(self.at);
        let earned = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let earned = earned.saturating_mul(LINES_PER_SECOND) / 1_000;
        if earned > 0 {
            self.lines = self.lines.saturating_add(earned).min(BURST_LINES);
            self.at += Duration::from_millis(earned.saturating_mul(1_000) / LINES_PER_SECOND);
            self.at = self.at.max(now - Duration::from_secs(1).min(since));
        }
        match self.lines.checked_sub(1) {
            Some(left) => {
                self.lines = left;
                Some(std::mem::take(&mut self.missed))
            }
            None => {
                self.missed += 1;
                None
            }
        }
    }
}
