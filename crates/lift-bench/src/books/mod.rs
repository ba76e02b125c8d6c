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

/// After a server that the scenario killed is there again, connections may still be found lost for this long.
const FOUND_LOST_WITHIN: Micros = 5_000_000;

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
        /// With an error of this code.
        code: Option<Arc<str>>,
    },
    /// It was refused, with this code.
    Refused(Arc<str>),
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
    /// It is there again.
    Back { at: Micros },
    /// Something due was begun so late, by the generator's own fault.
    Lag { late: Micros },
}

/// What happened to a client's connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OfConnection {
    /// One is open.
    Opened { at: Micros },
    /// A handshake was answered with another status than 101; none stands for no answer.
    NotOpened { status: Option<u16> },
    /// The client gave up before its first.
    Failed,
    /// The scenario cut it, and keeps the client away until `back`.
    Cut { at: Micros, back: Micros },
    /// It ended: the server's close code, or none.
    Lost { at: Micros, code: Option<u16> },
    /// The client closed it.
    Closed { at: Micros },
    /// A resume was answered with requests that were not recovered.
    Unrecovered { requests: u64 },
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
    /// Something was heard of it.
    Heard { at: Micros, said: Said },
    /// Its answer is not what is expected.
    Unexpected,
}

/// Everything that is known of a run so far.
#[derive(Debug)]
pub(crate) struct Books {
    late_after: Micros,
    cells: HashMap<Place, Cell>,
    clients: HashMap<ClientNo, Client>,
    seconds: Seconds,
    lag: Sketch,
    /// From when to when losses are the scenario's doing.
    killed: Option<(Micros, Micros)>,
}

impl Books {
    /// Empty books; answers that take longer than `late_after` are late.
    pub(crate) fn new(late_after: Micros) -> Self {
        Self {
            late_after,
            cells: HashMap::new(),
            clients: HashMap::new(),
            seconds: Seconds::default(),
            lag: Sketch::default(),
            killed: None,
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
            Note::Killed { at } => self.killed = Some((at, Micros::MAX)),
            Note::Back { at } => {
                let since = self.killed.map_or(at, |(since, _)| since);
                self.killed = Some((since, at.saturating_add(FOUND_LOST_WITHIN)));
            }
            Note::Lag { late } => self.lag.record(late),
        }
    }

    fn connection(&mut self, client_no: ClientNo, what: OfConnection) {
        match what {
            OfConnection::Opened { at } => return self.opened(client_no, at),
            OfConnection::Lost { at, code } => return self.lost(client_no, at, code),
            OfConnection::Closed { at } => {
                let open = self.of(client_no).is_some_and(|(_, client)| client.close());
                if open {
                    self.seconds.closed(at);
                }
                return;
            }
            OfConnection::NotOpened { .. }
            | OfConnection::Failed
            | OfConnection::Cut { .. }
            | OfConnection::Unrecovered { .. } => {}
        }
        let Some((cell, client)) = self.of(client_no) else {
            return;
        };
        match what {
            OfConnection::NotOpened {
                status: Some(status),
            } => {
                *cell.handshakes.entry(status).or_default() += 1;
            }
            OfConnection::NotOpened { status: None } => cell.error("UNREACHABLE"),
            OfConnection::Failed => cell.count(count::FAILED),
            OfConnection::Cut { at, back } => {
                cell.count(count::CUT);
                client.cut(at, back);
            }
            OfConnection::Unrecovered { requests } => cell.add(count::UNRECOVERED, requests),
            OfConnection::Opened { .. }
            | OfConnection::Lost { .. }
            | OfConnection::Closed { .. } => {}
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
                client.due(seq, place, due, awaited);
                self.cell(place).count(count::DUE);
            }
            OfMessage::Sent { at } => {
                if let Some(place) = client.sent(seq, at) {
                    self.cell(place).count(count::SENT);
                    self.seconds.sent(at);
                }
            }
            OfMessage::Unexpected => {
                if let Some(place) = client.place_of(seq) {
                    let cell = self.cell(place);
                    cell.uncount(count::ANSWERED);
                    cell.count(count::REFUSED);
                    cell.error("UNEXPECTED_ANSWER");
                }
            }
            OfMessage::Heard { .. } => {}
        }
    }

    /// Closes the books: what is not answered now is lost.
    pub(crate) fn close(mut self) -> Closed {
        let lost: Vec<Place> = self.clients.values().flat_map(Client::unanswered).collect();
        for place in lost {
            self.cell(place).count(count::LOST);
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

    fn opened(&mut self, client: ClientNo, at: Micros) {
        let Some((cell, client)) = self.of(client) else {
            return;
        };
        *cell.handshakes.entry(101).or_default() += 1;
        match client.open(at) {
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

    fn lost(&mut self, client: ClientNo, at: Micros, code: Option<u16>) {
        let killed = self
            .killed
            .is_some_and(|(from, to)| (from..=to).contains(&at));
        let Some((cell, client)) = self.of(client) else {
            return;
        };
        match client.lose(at) {
            client::Loss::NotOpen => return,
            client::Loss::Cut => {}
            client::Loss::Sudden if killed => cell.count(count::CUT),
            client::Loss::Sudden => {
                cell.count(count::DROPPED);
                *cell.closes.entry(code.unwrap_or(1006)).or_default() += 1;
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
        let (place, heard) = known.unwrap_or_else(|| (home, client::Heard::of_nothing()));
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
        if let Said::Refused(code)
        | Said::End {
            code: Some(code), ..
        } = said
        {
            cell.error(&code);
            self.seconds.failed(at);
        }
        if let Some(took) = heard.corrected {
            self.seconds.answered(at, took);
        }
    }

    fn cell(&mut self, place: Place) -> &mut Cell {
        self.cells.entry(place).or_default()
    }

    fn of(&mut self, client: ClientNo) -> Option<(&mut Cell, &mut Client)> {
        let client = self.clients.get_mut(&client)?;
        Some((self.cells.entry(client.place()).or_default(), client))
    }
}

/// Books that nothing more is written into.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// What was counted where.
    pub(crate) cells: HashMap<Place, Cell>,
    /// What happened in each second.
    pub(crate) seconds: Vec<Second>,
    /// How late what was due was begun.
    pub(crate) lag: Sketch,
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
        let mut books = Books::new(Micros::MAX);
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
}
