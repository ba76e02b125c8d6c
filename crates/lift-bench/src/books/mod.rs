//! What was due, sent, heard and lost comes in, in the order in which it is told; counts and latencies go out.
//!
//! The ledger: every message has its client's number and its own, and is answered once, twice, late, out of order or
//! never. No clock is here: times are microseconds after the first phase's start.

mod cell;
mod client;
mod seconds;

use std::{collections::HashMap, sync::Arc};

pub(crate) use self::{
    cell::{Cell, Sketch},
    seconds::Second,
};
use self::{client::Client, seconds::Seconds};
use crate::report::{count, latency};

/// Microseconds after the first phase's start.
pub(crate) type Micros = u64;
/// A virtual client's number, from 0, over all processes.
pub(crate) type ClientNo = u64;
/// A message's number with its client, from 1.
pub(crate) type Seq = u32;

/// Stands among the errors for a handshake without an answer.
const UNREACHABLE: &str = "UNREACHABLE";
/// A kill may be told so long after the losses that it caused: the word passes between processes.
const TOLD_LATE_WITHIN: Micros = 1_000_000;

/// Where something is counted: its phase and its behaviour, both by their place in the scenario.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Place {
    /// The phase in which it was due.
    pub(crate) phase: u16,
    /// The behaviour of the client.
    pub(crate) behaviour: u16,
}

/// What ends the wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Nothing is waited for.
    Nothing,
    /// A direct answer, or a request's end.
    Answer,
    /// An acknowledgment.
    Acknowledgment,
}

/// What was heard about a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// It is answered.
    Reply,
    /// It is accepted, to be answered later.
    Acknowledged {
        /// An earlier message with the same key made the request.
        duplicate: bool,
    },
    /// How far its request is.
    Progress {
        /// Order.
        seq: u64,
        /// 0–100.
        percentage: f64,
    },
    /// Its request ended.
    End {
        /// Order.
        seq: u64,
        /// With a result.
        complete: bool,
        /// With an error.
        why: Option<Why>,
    },
    /// It was refused.
    Refused(Why),
}

/// An error, as the server says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) code: Arc<str>,
    /// In words, for people.
    pub(crate) said: Arc<str>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    /// A client was to start at `due`.
    Begun {
        client: ClientNo,
        place: Place,
        due: Micros,
    },
    /// Something of its connections.
    Connection {
        client: ClientNo,
        what: OfConnection,
    },
    /// Something of a message, or of none that is known.
    Message {
        client: ClientNo,
        seq: Option<Seq>,
        what: OfMessage,
    },
    /// A message was to be sent, and there is no client that could take it.
    Missed { place: Place },
    /// The scenario killed the server: connections are lost from now on.
    Killed { at: Micros },
    /// Something due was begun so late, by the generator's own fault.
    Lag { at: Micros, late: Micros },
}

/// What happened to a client's connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OfConnection {
    /// One is open.
    Opened { at: Micros },
    /// A handshake was answered with another status than 101; none stands for no answer.
    NotOpened { at: Micros, status: Option<u16> },
    /// The client gave up before its first.
    Failed,
    /// The scenario cut it, and keeps the client away until `back`.
    Cut { at: Micros, back: Micros },
    /// It ended: the server's close code, or none.
    Lost { at: Micros, code: Option<u16> },
    /// The client closed it.
    Closed { at: Micros },
    /// A resume was answered with requests that were not recovered.
    Unrecovered { at: Micros, requests: u64 },
}

/// What happened to a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OfMessage {
    /// It is to be sent at `due`.
    Due {
        place: Place,
        due: Micros,
        awaited: Awaited,
    },
    /// It was given to the connection.
    Sent { at: Micros },
    /// It was not taken after all.
    NotSent,
    /// Something was heard of it.
    Heard { at: Micros, said: Said },
    /// Its answer is not what is expected.
    Unexpected,
}

/// Everything that is known of a run so far.
#[derive(Debug)]
pub(crate) struct Books {
    late_after: Micros,
    /// When each phase ends; what happens after the last belongs to it.
    phase_ends: Vec<Micros>,
    cells: HashMap<Place, Cell>,
    clients: HashMap<ClientNo, Client>,
    seconds: Seconds,
    /// By phase.
    lag: HashMap<u16, Sketch>,
    /// When the scenario last killed the server.
    killed: Option<Micros>,
    /// Connections that were dropped lately: a kill may be told after them.
    dropped: Vec<Dropped>,
}

/// A connection that was dropped.
#[derive(Debug)]
struct Dropped {
    place: Place,
    opened: Micros,
    at: Micros,
    code: u16,
}

impl Books {
    /// Empty books; answers that take longer than `late_after` are late.
    pub(crate) fn new(late_after: Micros, phase_ends: Vec<Micros>) -> Self {
        Self {
            late_after,
            phase_ends,
            cells: HashMap::new(),
            clients: HashMap::new(),
            seconds: Seconds::default(),
            lag: HashMap::new(),
            killed: None,
            dropped: Vec::new(),
        }
    }

    /// Takes one thing that happened.
    pub(crate) fn note(&mut self, note: Note) {
        match note {
            Note::Begun { client, place, due } => {
                self.cell(place).count(count::CONNECTIONS);
                self.clients.insert(client, Client::new(place, due));
            }
            Note::Connection { client, what } => self.connection(client, what),
            Note::Message { client, seq, what } => self.message(client, seq, what),
            Note::Missed { place } => {
                let cell = self.cell(place);
                cell.count(count::DUE);
                cell.count(count::MISSED);
            }
            Note::Killed { at } => self.killed(at),
            Note::Lag { at, late } => {
                let phase = self.phase(at);
                self.lag.entry(phase).or_default().record(late);
            }
        }
    }

    /// What was dropped in the moment before the kill was told was killed.
    fn killed(&mut self, at: Micros) {
        self.killed = Some(at);
        for dropped in std::mem::take(&mut self.dropped) {
            if dropped.opened >= at || dropped.at.saturating_add(TOLD_LATE_WITHIN) < at {
                continue;
            }
            let cell = self.cell(dropped.place);
            cell.uncount(count::DROPPED);
            cell.count(count::KILLED);
            if let Some(closes) = cell.closes.get_mut(&dropped.code) {
                *closes = closes.saturating_sub(1);
            }
            cell.closes.retain(|_, times| *times > 0);
        }
    }

    fn connection(&mut self, client_no: ClientNo, what: OfConnection) {
        let Some(home) = self.clients.get(&client_no).map(Client::place) else {
            return;
        };
        match what {
            OfConnection::Opened { at } => self.opened(client_no, at),
            OfConnection::Lost { at, code } => self.lost(client_no, at, code),
            OfConnection::Closed { at } => {
                let client = self.clients.get_mut(&client_no);
                if client.is_some_and(Client::close) {
                    self.seconds.closed(at);
                }
            }
            OfConnection::NotOpened { at, status } => {
                let place = self.place(home, at);
                let cell = self.cell(place);
                match status {
                    Some(status) => *cell.handshakes.entry(status).or_default() += 1,
                    None => cell.error(UNREACHABLE, "no connection, or no answer to its handshake"),
                }
            }
            OfConnection::Failed => self.cell(home).count(count::FAILED),
            OfConnection::Cut { at, back } => {
                let client = self.clients.get_mut(&client_no);
                if client.is_some_and(|client| client.cut(at, back)) {
                    let place = self.place(home, at);
                    self.cell(place).count(count::CUT);
                }
            }
            OfConnection::Unrecovered { at, requests } => {
                let place = self.place(home, at);
                self.cell(place).add(count::UNRECOVERED, requests);
            }
        }
    }

    fn message(&mut self, client_no: ClientNo, seq: Option<Seq>, what: OfMessage) {
        if let OfMessage::Heard { at, said } = what {
            return self.heard(client_no, at, seq, said);
        }
        let known = self.clients.get_mut(&client_no).zip(seq);
        let Some((client, seq)) = known else { return };
        match what {
            OfMessage::Due {
                place,
                due,
                awaited,
            } => {
                // A step's message is due in another phase than its client was, perhaps.
                let place = self.place(place, due);
                if let Some(client) = self.clients.get_mut(&client_no) {
                    client.due(seq, place, due, awaited);
                }
                self.cell(place).count(count::DUE);
            }
            OfMessage::Sent { at } => {
                if let Some(place) = client.sent(seq, at) {
                    self.cell(place).count(count::SENT);
                    self.seconds.sent(at);
                }
            }
            OfMessage::NotSent => {
                if let Some(place) = client.not_sent(seq) {
                    self.cell(place).uncount(count::SENT);
                }
            }
            OfMessage::Unexpected => {
                if let Some(place) = client.place_of(seq) {
                    let cell = self.cell(place);
                    cell.uncount(count::ANSWERED);
                    cell.count(count::REFUSED);
                    cell.error("UNEXPECTED_ANSWER", "it is not what the scenario expects");
                }
            }
            OfMessage::Heard { .. } => {}
        }
    }

    /// Closes the books: what is not answered now is lost, or was never sent.
    pub(crate) fn close(mut self) -> Closed {
        let unanswered: Vec<_> = self.clients.values().flat_map(Client::unanswered).collect();
        for (place, was_sent) in unanswered {
            let cell = self.cell(place);
            cell.count(if was_sent { count::LOST } else { count::UNSENT });
        }
        Closed {
            cells: self.cells,
            seconds: self.seconds.finish(),
            lag: self.lag,
        }
    }

    /// What is known of one second so far.
    pub(crate) fn second(&self, second: u64) -> Second {
        self.seconds.get(second)
    }

    fn opened(&mut self, client_no: ClientNo, at: Micros) {
        let Some(client) = self.clients.get_mut(&client_no) else {
            return;
        };
        let (home, opening) = (client.place(), client.open(at));
        let place = match opening {
            client::Opening::First { .. } => home,
            client::Opening::Again { .. } => self.place(home, at),
        };
        let cell = self.cell(place);
        *cell.handshakes.entry(101).or_default() += 1;
        match opening {
            client::Opening::First { took } => {
                cell.count(count::OPENED);
                cell.time(latency::CONNECT, took);
            }
            client::Opening::Again { took } => {
                cell.count(count::RECONNECTED);
                if let Some(took) = took {
                    cell.time(latency::RECONNECT, took);
                }
            }
        }
        self.seconds.opened(at);
    }

    fn lost(&mut self, client_no: ClientNo, at: Micros, code: Option<u16>) {
        let Some(client) = self.clients.get_mut(&client_no) else {
            return;
        };
        let (home, opened, loss) = (client.place(), client.opened(), client.lose(at));
        // No connection outlives its server.
        let killed = self.killed.is_some_and(|killed| opened < killed);
        let place = self.place(home, at);
        match loss {
            client::Loss::NotOpen => return,
            client::Loss::Cut => {}
            client::Loss::Sudden if killed => self.cell(place).count(count::KILLED),
            client::Loss::Sudden => {
                let code = code.unwrap_or(1006);
                let cell = self.cell(place);
                cell.count(count::DROPPED);
                *cell.closes.entry(code).or_default() += 1;
                self.dropped
                    .retain(|dropped| dropped.at.saturating_add(TOLD_LATE_WITHIN) >= at);
                self.dropped.push(Dropped {
                    place,
                    opened,
                    at,
                    code,
                });
                self.seconds.failed(at);
            }
        }
        self.seconds.closed(at);
    }

    fn heard(&mut self, client_no: ClientNo, at: Micros, seq: Option<Seq>, said: Said) {
        let Some(client) = self.clients.get_mut(&client_no) else {
            return;
        };
        let home = client.place();
        let known = seq.and_then(|seq| client.hear(seq, at, &said));
        let (place, heard) = known.unwrap_or_else(|| (home, client::Heard::of_nothing(&said)));
        let late = heard.corrected.is_some_and(|took| took > self.late_after);
        let cell = self.cell(place);
        for count in heard.counts() {
            cell.count(count);
        }
        for (name, took) in heard.times() {
            cell.time(name, took);
        }
        if late {
            cell.count(count::LATE);
        }
        if let Said::Refused(why) | Said::End { why: Some(why), .. } = said {
            cell.error(&why.code, &why.said);
            self.seconds.failed(at);
        }
        if let Some(took) = heard.corrected {
            self.seconds.answered(at, took);
        }
    }

    fn cell(&mut self, place: Place) -> &mut Cell {
        self.cells.entry(place).or_default()
    }

    /// Where what happens to a client at this time is counted.
    fn place(&self, home: Place, at: Micros) -> Place {
        Place {
            phase: self.phase(at),
            ..home
        }
    }

    fn phase(&self, at: Micros) -> u16 {
        let ended = self.phase_ends.iter().filter(|ends| **ends <= at).count();
        let last = self.phase_ends.len().saturating_sub(1);
        u16::try_from(ended.min(last)).unwrap_or(u16::MAX)
    }
}

/// Books that nothing more is written into.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// What was counted where.
    pub(crate) cells: HashMap<Place, Cell>,
    /// What happened in each second.
    pub(crate) seconds: Vec<Second>,
    /// How late what was due was begun, by phase.
    pub(crate) lag: HashMap<u16, Sketch>,
}

#[cfg(test)]
mod tests {
    use super::{OfConnection::*, *};

    #[test]
    fn the_loss_of_a_connection_that_was_cut_may_be_told_after_the_next_is_open() {
        let place = Place {
            phase: 0,
            behaviour: 0,
        };
        let mut books = Books::new(Micros::MAX, vec![Micros::MAX]);
        books.note(Note::Begun {
            client: 7,
            place,
            due: 0,
        });
        for what in [
            Opened { at: 10 },
            Cut { at: 20, back: 30 },
            Opened { at: 40 },
            // Of the first connection, and then of the second.
            Lost { at: 50, code: None },
            Lost {
                at: 60,
                code: Some(1001),
            },
        ] {
            books.note(Note::Connection { client: 7, what });
        }
        let closed = books.close();
        let measures = closed.cells.get(&place).map(Cell::measures);
        let measures = measures.unwrap_or_default();
        let counted = |name: &str| measures.counts.get(name).copied();
        assert_eq!(
            (counted(count::CUT), counted(count::DROPPED)),
            (Some(1), Some(1))
        );
        assert_eq!(measures.closes, [(1001, 1)].into());
        assert_eq!(closed.seconds.last().map(|second| second.open), Some(0));
    }

    #[test]
    fn what_ends_with_a_killed_server_is_no_drop_whenever_the_kill_is_told() {
        let place = Place {
            phase: 0,
            behaviour: 0,
        };
        let lost = |at| Note::Connection {
            client: 1,
            what: Lost { at, code: None },
        };
        let opened = |at| Note::Connection {
            client: 1,
            what: Opened { at },
        };
        let killed = |at| Note::Killed { at };
        for (notes, wanted) in [
            // Told before, and found out long after.
            (
                vec![opened(10), killed(20), lost(9_000_000)],
                (Some(1), None),
            ),
            // Told a moment after what it did.
            (vec![opened(10), lost(20), killed(25)], (Some(1), Some(0))),
            // A connection of the next server, which drops it.
            (vec![killed(5), opened(10), lost(20)], (None, Some(1))),
            // Too long before to be the same.
            (
                vec![opened(10), lost(20), killed(2_000_000)],
                (None, Some(1)),
            ),
        ] {
            let mut books = Books::new(Micros::MAX, vec![Micros::MAX]);
            books.note(Note::Begun {
                client: 1,
                place,
                due: 0,
            });
            let told = format!("{notes:?}");
            for note in notes {
                books.note(note);
            }
            let closed = books.close();
            let measures = closed.cells.get(&place).map(Cell::measures);
            let measures = measures.unwrap_or_default();
            let counted = |name: &str| measures.counts.get(name).copied();
            let counts = (counted(count::KILLED), counted(count::DROPPED));
            assert_eq!(counts, wanted, "{told}");
            let closes = u64::from(wanted.1 == Some(1));
            assert_eq!(measures.closes.values().sum::<u64>(), closes, "{told}");
        }
    }

    #[test]
    fn what_happens_to_a_connection_counts_in_the_phase_of_its_time() {
        let at = |phase| Place {
            phase,
            behaviour: 0,
        };
        let mut books = Books::new(Micros::MAX, vec![100, 200, 300]);
        books.note(Note::Begun {
            client: 1,
            place: at(0),
            due: 0,
        });
        for what in [
            Opened { at: 10 },
            Lost {
                at: 150,
                code: None,
            },
            NotOpened {
                at: 210,
                status: None,
            },
            Opened { at: 400 },
        ] {
            books.note(Note::Connection { client: 1, what });
        }
        // A step's message, in the middle of the second phase.
        books.note(Note::Message {
            client: 1,
            seq: Some(1),
            what: OfMessage::Due {
                place: at(0),
                due: 120,
                awaited: Awaited::Answer,
            },
        });
        let closed = books.close();
        let counted = |phase, name: &str| {
            let measures = closed.cells.get(&at(phase)).map(Cell::measures);
            measures.and_then(|measures| measures.counts.get(name).copied())
        };
        assert_eq!(counted(0, count::OPENED), Some(1));
        assert_eq!(counted(1, count::DROPPED), Some(1));
        assert_eq!(counted(1, count::UNSENT), Some(1));
        assert_eq!(counted(2, count::RECONNECTED), Some(1));
        assert_eq!(counted(0, count::DUE), None);
    }
}
