//! In: what each socket that is not a WebSocket yet is doing. Out: room for the next one, and which one is over.
//!
//! The number of such sockets is bounded. Where a new one finds no room, the one that has kept the
//! server waiting longest makes it: connections that never finish a handshake keep nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The sockets of one listener that are not upgraded.
#[derive(Debug)]
pub(crate) struct Lobby {
    places_max: usize,
    /// How long a client may keep the server waiting.
    silence_max: Duration,
    /// How long even where others find no room.
    patience: Duration,
    guests: Mutex<Guests>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Guests {
    count: usize,
    /// The number of whoever began to wait last.
    last: u64,
    /// Those whose turn it is to send, longest waiting first.
    silent: BTreeMap<u64, (Instant, watch::Sender<Turn>)>,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The client's: a TLS handshake or a request's head is not complete, or the rest of a
    /// response not taken.
    Client { number: u64, until: Instant },
    /// Ours: a request is being answered.
    Server,
    /// Both: the response is being written.
    Writing { until: Instant },
    /// Nobody's any more: somebody else has the place.
    Over,
}

enum Room {
    Free,
    At(Instant),
    Unknown,
}

impl Lobby {
    pub(crate) fn new(places_max: usize, silence_max: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            places_max: places_max.max(1),
            silence_max,
            patience,
            guests: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Waits for room, and takes it. Dropping the future takes none.
    pub(crate) async fn enter(self: &Arc<Self>) -> Arc<Place> {
        loop {
            let room = self
                .guests()
                .make_room(self.places_max, self.patience, Instant::now());
            match room {
                Room::Free => break,
                Room::Unknown => self.left.notified().await,
                Room::At(at) => tokio::select! {
                    () = self.left.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
        let turn = watch::Sender::new(Turn::Server);
        self.guests().count += 1;
        let place = Place {
            lobby: Arc::clone(self),
            turn,
        };
        place.clients_turn();
        Arc::new(place)
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    fn make_room(&mut self, places_max: usize, patience: Duration, now: Instant) -> Room {
        if self.count < places_max {
            return Room::Free;
        }
        match self.silent.first_entry() {
            None => Room::Unknown,
            Some(longest) if longest.get().0 + patience > now => {
                Room::At(longest.get().0 + patience)
            }
            Some(longest) => {
                let (_, turn) = longest.remove();
                turn.send_replace(Turn::Over);
                self.count -= 1;
                Room::Free
            }
        }
    }
}

/// One socket's place in the lobby, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lobby: Arc<Lobby>,
    turn: watch::Sender<Turn>,
}

impl Place {
    /// The client is to send something.
    pub(crate) fn clients_turn(&self) {
        let mut guests = self.lobby.guests();
        guests.last += 1;
        let (number, now) = (guests.last, Instant::now());
        let until = now + self.lobby.silence_max;
        if self.change(&mut guests, Turn::Client { number, until }) {
            let entry = (now, self.turn.clone());
            guests.silent.insert(number, entry);
            // Whoever waits for room knows now when there will be some.
            self.lobby.left.notify_one();
        }
    }

    /// A request is complete.
    pub(crate) fn servers_turn(&self) {
        self.change(&mut self.lobby.guests(), Turn::Server);
    }

    /// A response is being written, until then at the latest.
    pub(crate) fn writing(&self, until: Instant) {
        self.change(&mut self.lobby.guests(), Turn::Writing { until });
    }

    /// Waits until somebody else has the place, or the client has taken too long.
    pub(crate) async fn over(&self) {
        let mut turns = self.turn.subscribe();
        loop {
            let turn = *turns.borrow_and_update();
            let until = match turn {
                Turn::Over => return,
                Turn::Client { until, .. } | Turn::Writing { until } => until,
                Turn::Server => {
                    // The sender is `self`.
                    _ = turns.changed().await;
                    continue;
                }
            };
            tokio::select! {
                _ = turns.changed() => {}
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Whether the place was still this socket's.
    fn change(&self, guests: &mut Guests, next: Turn) -> bool {
        let before = *self.turn.borrow();
        match before {
            Turn::Over => return false,
            Turn::Client { number, .. } => _ = guests.silent.remove(&number),
            Turn::Server | Turn::Writing { .. } => {}
        }
        self.turn.send_replace(next);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.lobby.guests();
        if self.change(&mut guests, Turn::Over) {
            guests.count -= 1;
        }
        drop(guests);
        self.lobby.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_hears_that_somebody_can_be_let_go() {
        let lobby = Lobby::new(1, Duration::from_secs(10), Duration::ZERO);
        let first = lobby.enter().await;
        first.servers_turn();
        let mut next = std::pin::pin!(lobby.enter());
        let waits = tokio::time::timeout(Duration::from_secs(1), &mut next).await;
        assert!(waits.is_err(), "a request that is answered keeps its place");
        first.clients_turn();
        let enters = tokio::time::timeout(Duration::from_secs(1), next).await;
        assert!(enters.is_ok(), "its client is silent now");
        first.over().await;
    }
}
