//! A behaviour's steps come in; what one client does when, from its first connection on, goes out.

use crate::scenario::{Behaviour, Message, Reconnect, Repeat, Span, Step};

use super::timeline::{millis, seconds};

/// Rounds of a `repeat` that are laid out one by one; more are spread evenly over their time.
const ROUNDS_MAX: u32 = 32;
/// Most entries of a life; past it, rounds are spread.
const ENTRIES_MAX: usize = 1_000;
/// When `stay` ends that lasts until the run does.
pub(super) const END_MS: u64 = u64::MAX;

/// What happens once or, over a time, some times.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) what: What<'a>,
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    pub(super) times: f64,
}

/// What a client does.
#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    Connect,
    Disconnect,
    /// It asks for what is open, after a lost connection.
    Resume,
    Send(&'a Message),
    /// It is connected for so many seconds of that time.
    Open,
}

/// What one client does, times from its start.
#[derive(Debug, Default)]
pub(super) struct Life<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    /// The longest time that it says nothing, before it stays.
    pub(super) silent_ms: u64,
    /// The longest time that it stays; none if it does not.
    pub(super) stays_ms: Option<u64>,
    /// The longest time that one connection is open.
    pub(super) open_ms: u64,
    now_ms: u64,
    said_ms: u64,
    connected_ms: Option<u64>,
    /// From when on the time that it is connected is in no entry yet.
    unnoted_ms: u64,
}

/// The middle of a span.
fn mean_ms(span: Span) -> u64 {
    millis(span.at(0.5))
}

impl<'a> Life<'a> {
    pub(super) fn of(behaviour: &'a Behaviour) -> Self {
        let mut life = Self::default();
        life.walk(&behaviour.steps);
        life.leave();
        life
    }

    fn walk(&mut self, steps: &'a [Step]) {
        for step in steps {
            match step {
                Step::Connect => self.connect(),
                Step::Send(message) => {
                    self.note(What::Send(message));
                    self.said();
                }
                Step::Think(span) => self.pass(mean_ms(*span)),
                Step::Repeat(repeat) => self.repeat(repeat),
                Step::Stay(stay) => {
                    let lasts = stay.at_most.map_or(END_MS, mean_ms);
                    self.said();
                    self.stays_ms = self.stays_ms.max(Some(lasts));
                    self.pass(lasts);
                    self.said_ms = self.now_ms;
                }
                Step::Reconnect(Reconnect { offline }) => {
                    self.leave();
                    self.pass(mean_ms(*offline));
                    self.connect();
                    self.note(What::Resume);
                }
                Step::Disconnect => self.leave(),
            }
        }
    }

    fn repeat(&mut self, repeat: &'a Repeat) {
        let every_ms = repeat.every.map_or(0, millis);
        let mut left = repeat.times;
        while left > 0 && self.now_ms < END_MS {
            let spread = repeat.times > ROUNDS_MAX || self.entries.len() > ENTRIES_MAX;
            self.note_open();
            let (start_ms, first) = (self.now_ms, self.entries.len());
            self.walk(&repeat.steps);
            let took_ms = self.now_ms.saturating_sub(start_ms).max(every_ms);
            self.now_ms = start_ms.saturating_add(took_ms);
            self.note_open();
            left -= 1;
            if spread {
                return self.spread(first, took_ms, left);
            }
        }
    }

    /// What a round did since its first entry is done so many times more.
    fn spread(&mut self, first: usize, took_ms: u64, more: u32) {
        let more_ms = took_ms.saturating_mul(more.into());
        for entry in self.entries.iter_mut().skip(first) {
            entry.times *= f64::from(more) + 1.0;
            entry.until_ms = entry.until_ms.saturating_add(more_ms);
        }
        self.pass(more_ms);
        self.unnoted_ms = self.now_ms;
        self.said_ms = self.said_ms.saturating_add(more_ms);
    }

    fn connect(&mut self) {
        if self.connected_ms.is_none() {
            self.note(What::Connect);
            self.connected_ms = Some(self.now_ms);
            self.unnoted_ms = self.now_ms;
            self.said_ms = self.now_ms;
        }
    }

    fn leave(&mut self) {
        self.note_open();
        let Some(since_ms) = self.connected_ms.take() else {
            return;
        };
        self.said();
        self.open_ms = self.open_ms.max(self.now_ms - since_ms);
        self.note(What::Disconnect);
    }

    fn note_open(&mut self) {
        if self.connected_ms.is_some() && self.now_ms > self.unnoted_ms {
            self.entries.push(Entry {
                what: What::Open,
                from_ms: self.unnoted_ms,
                until_ms: self.now_ms,
                times: seconds(self.now_ms - self.unnoted_ms),
            });
            self.unnoted_ms = self.now_ms;
        }
    }

    fn said(&mut self) {
        let silent_ms = self.now_ms.saturating_sub(self.said_ms);
        self.silent_ms = self.silent_ms.max(silent_ms);
        self.said_ms = self.now_ms;
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms = self.now_ms.saturating_add(ms);
    }

    fn note(&mut self, what: What<'a>) {
        self.entries.push(Entry {
            what,
            from_ms: self.now_ms,
            until_ms: self.now_ms,
            times: 1.0,
        });
    }
}
