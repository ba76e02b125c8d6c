//! What one virtual client did and heard comes in, what that means for the counts goes out.

use std::collections::HashMap;

use super::{Awaited, Micros, Place, Said, Seq};
use crate::report::{count, latency};

/// One virtual client's page.
#[derive(Debug)]
pub(super) struct Client {
    place: Place,
    due: Micros,
    /// How many connections were opened.
    connections: u32,
    /// When the last was.
    opened: Micros,
    link: Link,
    /// Connections that were cut, and whose loss is told after the next was open.
    owed: u32,
    /// The highest message that was answered on this connection.
    highest: Seq,
    messages: HashMap<Seq, Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Not yet, or closed by the client.
    Closed,
    Open,
    /// Cut by the scenario; the loss is still to be seen.
    Cut {
        back: Micros,
    },
    /// Lost at this time, or to be counted from it.
    Lost {
        at: Micros,
    },
}

pub(super) enum Opening {
    First { took: Micros },
    Again { took: Option<Micros> },
}

pub(super) enum Loss {
    NotOpen,
    Cut,
    Sudden,
}

#[derive(Debug)]
struct Message {
    place: Place,
    due: Micros,
    sent: Option<Micros>,
    awaited: Awaited,
    answered: bool,
    acknowledged: bool,
    progress: Option<Progress>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    connection: u32,
    seq: u64,
    percentage: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    connection: u32,
    seq: u64,
    complete: bool,
}

/// What hearing something means.
#[derive(Debug, Default)]
pub(super) struct Heard {
    counts: [Option<&'static str>; 4],
    times: [Option<(&'static str, Micros)>; 2],
    /// The corrected latency of an answer or end.
    pub(super) corrected: Option<Micros>,
}

impl Heard {
    /// What answers nothing that was sent.
    pub(super) fn of_nothing(said: &Said) -> Self {
        let mut heard = Self::default();
        heard.count(match said {
            Said::Refused(_) => count::FAILURES,
            _ => count::UNKNOWN,
        });
        heard
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = &'static str> {
        self.counts.into_iter().flatten()
    }

    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, Micros)> {
        self.times.into_iter().flatten()
    }

    fn count(&mut self, name: &'static str) {
        if let Some(free) = self.counts.iter_mut().find(|count| count.is_none()) {
            *free = Some(name);
        }
    }

    fn time(&mut self, name: &'static str, took: Micros) {
        if let Some(free) = self.times.iter_mut().find(|time| time.is_none()) {
            *free = Some((name, took));
        }
    }
}

impl Client {
    pub(super) fn new(place: Place, due: Micros) -> Self {
        Self {
            place,
            due,
            connections: 0,
            opened: 0,
            link: Link::Closed,
            owed: 0,
            highest: 0,
            messages: HashMap::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn open(&mut self, at: Micros) -> Opening {
        self.connections += 1;
        self.opened = at;
        self.highest = 0;
        let before = std::mem::replace(&mut self.link, Link::Open);
        if matches!(before, Link::Cut { .. }) {
            self.owed += 1;
        }
        if self.connections == 1 {
            return Opening::First {
                took: at.saturating_sub(self.due),
            };
        }
        let since = match before {
            Link::Cut { back } => Some(back),
            Link::Lost { at } => Some(at),
            Link::Closed | Link::Open => None,
        };
        Opening::Again {
            took: since.map(|since| at.saturating_sub(since)),
        }
    }

    /// When its last connection was opened.
    pub(super) fn opened(&self) -> Micros {
        self.opened
    }

    /// Whether there was a connection to cut.
    pub(super) fn cut(&mut self, at: Micros, back: Micros) -> bool {
        let open = self.link == Link::Open;
        if open {
            self.link = Link::Cut { back: back.max(at) };
        }
        open
    }

    pub(super) fn lose(&mut self, at: Micros) -> Loss {
        if self.owed > 0 {
            self.owed -= 1;
            return Loss::Cut;
        }
        match self.link {
            Link::Open => {
                self.link = Link::Lost { at };
                Loss::Sudden
            }
            Link::Cut { back } => {
                self.link = Link::Lost { at: back };
                Loss::Cut
            }
            Link::Closed | Link::Lost { .. } => Loss::NotOpen,
        }
    }

    /// Whether it was open.
    pub(super) fn close(&mut self) -> bool {
        let before = std::mem::replace(&mut self.link, Link::Closed);
        matches!(before, Link::Open | Link::Cut { .. })
    }

    pub(super) fn due(&mut self, seq: Seq, place: Place, due: Micros, awaited: Awaited) {
        let message = Message {
            place,
            due,
            sent: None,
            awaited,
            answered: false,
            acknowledged: false,
            progress: None,
            end: None,
        };
        self.messages.insert(seq, message);
    }

    /// Where it is counted, if it was not sent before.
    pub(super) fn sent(&mut self, seq: Seq, at: Micros) -> Option<Place> {
        let message = self.messages.get_mut(&seq)?;
        let first = message.sent.is_none();
        message.sent = Some(at);
        first.then_some(message.place)
    }

    /// Where it was counted as sent.
    pub(super) fn not_sent(&mut self, seq: Seq) -> Option<Place> {
        let message = self.messages.get_mut(&seq)?;
        message.sent.take().map(|_| message.place)
    }

    pub(super) fn place_of(&self, seq: Seq) -> Option<Place> {
        self.messages.get(&seq).map(|message| message.place)
    }

    /// The places of messages that still wait for their answer, and whether they were sent.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (Place, bool)> {
        let waiting = self
            .messages
            .values()
            .filter(|message| !message.answered && message.awaited != Awaited::Nothing);
        waiting.map(|message| (message.place, message.sent.is_some()))
    }

    pub(super) fn hear(&mut self, seq: Seq, at: Micros, said: &Said) -> Option<(Place, Heard)> {
        let connection = self.connections;
        let message = self.messages.get_mut(&seq)?;
        let mut heard = Heard::default();
        match *said {
            Said::Reply | Said::Refused(_) => {
                if message.answered || message.end.is_some() {
                    heard.count(count::DUPLICATES);
                    return Some((message.place, heard));
                }
                message.answered = true;
                heard.count(if *said == Said::Reply {
                    count::ANSWERED
                } else {
                    count::REFUSED
                });
                message.time(at, &mut heard, latency::REPLY, latency::REPLY_UNCORRECTED);
                self.order(seq, &mut heard);
            }
            Said::Acknowledged { duplicate } => {
                if message.acknowledged {
                    if !duplicate {
                        heard.count(count::DUPLICATES);
                    }
                    return Some((message.place, heard));
                }
                message.acknowledged = true;
                heard.count(count::ACKNOWLEDGED);
                heard.time(latency::ACKNOWLEDGMENT, at.saturating_sub(message.due));
                if message.awaited == Awaited::Acknowledgment {
                    message.answered = true;
                    heard.count(count::ANSWERED);
                    heard.corrected = Some(at.saturating_sub(message.due));
                }
                self.order(seq, &mut heard);
            }
            Said::Progress { seq, percentage } => {
                message.progress(connection, seq, percentage, at, &mut heard)
            }
            Said::End { seq, complete, .. } => {
                let end = End {
                    connection,
                    seq,
                    complete,
                };
                message.end(end, at, &mut heard);
            }
        }
        self.messages
            .get(&seq)
            .map(|message| (message.place, heard))
    }

    fn order(&mut self, seq: Seq, heard: &mut Heard) {
        if seq < self.highest {
            heard.count(count::REORDERED);
        }
        self.highest = self.highest.max(seq);
    }
}

impl Message {
    fn time(
        &self,
        at: Micros,
        heard: &mut Heard,
        corrected: &'static str,
        uncorrected: &'static str,
    ) {
        let took = at.saturating_sub(self.due);
        heard.time(corrected, took);
        if let Some(sent) = self.sent {
            heard.time(uncorrected, at.saturating_sub(sent));
        }
        heard.corrected = Some(took);
    }

    fn progress(
        &mut self,
        connection: u32,
        seq: u64,
        percentage: f64,
        at: Micros,
        heard: &mut Heard,
    ) {
        heard.count(count::PROGRESS);
        let back = self.progress.is_some_and(|before| {
            (before.connection == connection && seq <= before.seq) || percentage < before.percentage
        });
        let ended = self.end.is_some_and(|end| end.connection == connection);
        if back || ended {
            heard.count(count::PROGRESS_BACK);
        }
        if self.progress.is_none() {
            heard.time(latency::PROGRESS, at.saturating_sub(self.due));
        }
        self.progress = Some(Progress {
            connection,
            seq,
            percentage,
        });
    }

    fn end(&mut self, end: End, at: Micros, heard: &mut Heard) {
        if let Some(first) = self.end {
            if first.seq != end.seq || first.complete != end.complete {
                heard.count(count::ENDED_TWICE);
            } else if first.connection == end.connection {
                // A connection that came after the first end is told it again: that is what a resume is for.
                heard.count(count::ENDED_AGAIN);
            }
            self.end = Some(end);
            return;
        }
        self.end = Some(end);
        heard.count(count::ENDED);
        if !end.complete {
            heard.count(count::NOT_COMPLETED);
        }
        if self.awaited == Awaited::Answer {
            heard.count(match (self.answered, end.complete) {
                (true, _) => count::DUPLICATES,
                (false, true) => count::ANSWERED,
                (false, false) => count::REFUSED,
            });
            self.answered = true;
        }
        self.time(
            at,
            heard,
            latency::COMPLETION,
            latency::COMPLETION_UNCORRECTED,
        );
    }
}
