//! What happens to connections and the time come in, when to dial, ping and give up goes out.

use std::time::Duration;

use streamer_protocol::close;
use tokio::time::Instant;

use super::State;
use crate::backoff::Tries;

/// A connection that lived this long resets the backoff.
const STABLE: Duration = Duration::from_secs(5);
/// Ping after this long without a message, when nothing is in flight (API Gateway closes after 10 minutes).
const PING_IDLE: Duration = Duration::from_secs(240);
/// Ping after this long without a message, when something is in flight.
const PING_BUSY: Duration = Duration::from_secs(30);
/// A connection that says nothing for this long after a ping is dead.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// A replaced connection is closed after this long, even if it still owes answers.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// Longest `reconnect_after_ms` that is honoured.
const GOING_AWAY_MAX: Duration = Duration::from_secs(300);

/// One connection of a client's life; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link(pub(super) u64);

impl Link {
    /// Of a connection that has no others beside it.
    pub(crate) const ONLY: Self = Self(0);
}

/// What keep-alive wants done.
pub(super) enum Keep {
    Nothing,
    Ping(Link),
    Dead(Link),
}

/// The connections: at most one being made, one in use, and one that the one in use has replaced.
#[derive(Debug)]
pub(super) struct Links {
    made: u64,
    dialing: Option<Link>,
    live: Option<Live>,
    leaving: Option<(Link, Instant)>,
    dial_at: Option<Instant>,
    tries: Tries,
    cause: String,
}

#[derive(Debug)]
struct Live {
    link: Link,
    since: Instant,
    heard: Instant,
    pinged: Option<Instant>,
    going_away: bool,
}

impl Links {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            made: 0,
            dialing: None,
            live: None,
            leaving: None,
            dial_at: Some(now),
            tries: Tries::default(),
            cause: String::new(),
        }
    }

    pub(super) fn live(&self) -> Option<Link> {
        self.live.as_ref().map(|live| live.link)
    }

    pub(super) fn leaving(&self) -> Option<Link> {
        self.leaving.map(|(link, _)| link)
    }

    pub(super) fn is_going_away(&self, link: Link) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.link == link && live.going_away)
    }

    /// The connection is up. Returns one that is replaced for the second time and must be closed now.
    pub(super) fn opened(&mut self, now: Instant, link: Link) -> Option<Link> {
        self.dialing = None;
        self.dial_at = None;
        let live = Live {
            link,
            since: now,
            heard: now,
            pinged: None,
            going_away: false,
        };
        let old = self.live.replace(live)?;
        self.leaving
            .replace((old.link, now + LEAVE_WITHIN))
            .map(|(link, _)| link)
    }

    pub(super) fn dial_failed(&mut self, now: Instant, random: f64, cause: String) {
        let wait = self.tries.fail(random);
        self.not_opened(now + wait, cause);
    }

    pub(super) fn throttled(&mut self, now: Instant, random: f64, cause: String) {
        let wait = self.tries.throttle(random);
        self.not_opened(now + wait, cause);
    }

    fn not_opened(&mut self, again: Instant, cause: String) {
        self.dialing = None;
        self.dial_at = Some(again);
        self.cause = cause;
    }

    /// Something was heard; `false` if the connection is one of the past.
    pub(super) fn heard(&mut self, now: Instant, link: Link) -> bool {
        match &mut self.live {
            Some(live) if live.link == link => {
                live.heard = now;
                live.pinged = None;
                true
            }
            _ => self.leaving() == Some(link),
        }
    }

    /// The connection is gone; `false` if it was one of the past.
    pub(super) fn lost(&mut self, now: Instant, random: f64, link: Link, code: u16) -> bool {
        if self.leaving() == Some(link) {
            self.leaving = None;
            return true;
        }
        if self.live() != Some(link) {
            return false;
        }
        self.forgive_if_stable(now);
        self.live = None;
        self.cause = close::meaning(code).to_owned();
        // A time that `going_away` gave stands: the server is not there before it.
        if self.dialing.is_none() && self.dial_at.is_none() {
            self.dial_at = Some(now + self.tries.fail(random));
        }
        true
    }

    /// No connection is made before `until`.
    pub(super) fn stay_away(&mut self, until: Instant) {
        self.dial_at = self.dial_at.map(|at| at.max(until));
    }

    /// The server will close: another connection is made first.
    pub(super) fn going_away(&mut self, now: Instant, link: Link, after: Duration) {
        let Some(live) = self.live.as_mut().filter(|live| live.link == link) else {
            return;
        };
        live.going_away = true;
        self.forgive_if_stable(now);
        if self.dialing.is_none() {
            self.dial_at = Some(now + after.min(GOING_AWAY_MAX));
        }
    }

    /// The live connection's token has expired: another connection is made first.
    pub(super) fn replace(&mut self, now: Instant, random: f64) {
        if self.dialing.is_some() || self.dial_at.is_some() {
            return;
        }
        let delay = if self.forgive_if_stable(now) {
            Duration::ZERO
        } else {
            self.tries.fail(random)
        };
        self.dial_at = Some(now + delay);
    }

    /// The connection to make now, if one is due.
    pub(super) fn dial(&mut self, now: Instant) -> Option<Link> {
        if self.dialing.is_some() {
            return None;
        }
        self.dial_at.take_if(|at| *at <= now)?;
        self.made += 1;
        self.dialing = Some(Link(self.made));
        self.dialing
    }

    pub(super) fn keep_alive(&mut self, now: Instant, busy: bool) -> Keep {
        let due = self.next_keep_alive(busy);
        match &mut self.live {
            Some(live) if due.is_some_and(|at| at <= now) => {
                if live.pinged.is_some() {
                    return Keep::Dead(live.link);
                }
                live.pinged = Some(now);
                Keep::Ping(live.link)
            }
            _ => Keep::Nothing,
        }
    }

    /// The replaced connection, if it owes nothing or its time is over.
    pub(super) fn leave(&mut self, now: Instant, owes: bool) -> Option<Link> {
        self.leaving
            .take_if(|(_, until)| !owes || *until <= now)
            .map(|(link, _)| link)
    }

    /// Every connection that is up.
    pub(super) fn up(&self) -> impl Iterator<Item = Link> {
        self.live().into_iter().chain(self.leaving())
    }

    /// When something is due by time alone.
    pub(super) fn next_due(&self, busy: bool) -> impl Iterator<Item = Instant> {
        let dial_at = self.dial_at.filter(|_| self.dialing.is_none());
        [
            dial_at,
            self.next_keep_alive(busy),
            self.leaving.map(|(_, until)| until),
        ]
        .into_iter()
        .flatten()
    }

    pub(super) fn state(&self) -> State {
        match (&self.live, self.dialing, self.dial_at) {
            (Some(_), _, _) => State::Connected,
            (None, None, Some(until)) => State::Waiting {
                until,
                attempt: self.tries.all(),
                cause: self.cause.clone(),
            },
            (None, _, _) => State::Connecting {
                attempt: self.tries.all(),
            },
        }
    }

    fn next_keep_alive(&self, busy: bool) -> Option<Instant> {
        let live = self.live.as_ref()?;
        let quiet = if busy { PING_BUSY } else { PING_IDLE };
        Some(
            live.pinged
                .map_or(live.heard + quiet, |at| at + PONG_WITHIN),
        )
    }

    /// Forgets failures if the live connection has lived long enough, and says whether it has.
    fn forgive_if_stable(&mut self, now: Instant) -> bool {
        let stable = self
            .live
            .as_ref()
            .is_some_and(|live| now >= live.since + STABLE);
        if stable {
            self.tries = Tries::default();
        }
        stable
    }
}
