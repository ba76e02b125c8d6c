//! Notes from every virtual client come in, one thread writes them into the books, which come out at the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    books::{Books, Closed, Micros, Note},
    report::Moment,
};

/// Notes that wait for the thread that keeps the books: some seconds of the fastest generator.
const NOTES_MAX: usize = 1 << 18;

/// Where clients tell what happened. Clones write into the same books.
#[derive(Debug, Clone)]
pub(crate) struct Diary {
    notes: SyncSender<Page>,
    start: Instant,
    unwritten: Arc<AtomicU64>,
}

/// What the thread that keeps the books is given.
#[derive(Debug)]
enum Page {
    Note(Note),
    /// What comes later is not written any more.
    End,
}

/// The thread that keeps the books.
#[derive(Debug)]
pub(crate) struct Keeper {
    notes: SyncSender<Page>,
    thread: JoinHandle<Closed>,
    unwritten: Arc<AtomicU64>,
}

impl Diary {
    /// Opens the books of a run that starts at `start`; each second is told as it ends.
    pub(crate) fn open(
        start: Instant,
        books: Books,
        live: watch::Sender<Moment>,
    ) -> std::io::Result<(Self, Keeper)> {
        let (notes, written) = mpsc::sync_channel(NOTES_MAX);
        let unwritten = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || keep(books, &written, start, &live))?;
        let diary = Self {
            notes: notes.clone(),
            start,
            unwritten: Arc::clone(&unwritten),
        };
        let keeper = Keeper {
            notes,
            thread,
            unwritten,
        };
        Ok((diary, keeper))
    }

    /// Tells what happened. A full queue is counted, and makes the run invalid.
    pub(crate) fn note(&self, note: Note) {
        if self.notes.try_send(Page::Note(note)).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells how late the generator began what was due, and nothing but itself held up.
    pub(crate) fn late(&self, due: Instant) {
        let late = Instant::now().saturating_duration_since(due);
        self.note(Note::Lag {
            at: self.at(due),
            late: micros(late),
        });
    }

    /// The time now.
    pub(crate) fn now(&self) -> Micros {
        self.at(Instant::now())
    }

    /// A time as the books have it.
    pub(crate) fn at(&self, instant: Instant) -> Micros {
        micros(instant.saturating_duration_since(self.start))
    }
}

impl Keeper {
    /// Waits until every note is written that was told before. Gives how many were not written, too.
    pub(crate) fn close(self) -> (Closed, u64) {
        let unwritten = self.unwritten.load(Ordering::Relaxed);
        // A thread that has ended already is joined all the same.
        let _ = self.notes.send(Page::End);
        let closed = self
            .thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (closed, unwritten)
    }
}

pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

fn keep(
    mut books: Books,
    notes: &mpsc::Receiver<Page>,
    start: Instant,
    live: &watch::Sender<Moment>,
) -> Closed {
    let mut second = 0;
    loop {
        let ends = start + Duration::from_secs(second + 1);
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            live.send_replace(Moment::of(second, &[books.second(second)]));
            second += 1;
            continue;
        }
        match notes.recv_timeout(left) {
            Ok(Page::Note(note)) => books.note(note),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Page::End) | Err(RecvTimeoutError::Disconnected) => return books.close(),
        }
    }
}
