//! In: when a connection opened, was active, was blocked. Out: the close that is due, and when the next one is.
//!
//! Source: developer guide, "Quotas": 10 minutes idle, 2 hours in all, both 1001. Messages in either
//! direction count as activity (captured); pings do not (*unverified*).

use std::time::Duration;

use lift_apigw::close::Close;

use super::Timestamp;
use super::rules::Limits;

#[derive(Debug)]
pub(super) struct Clocks {
    opened: Timestamp,
    active: Timestamp,
    blocked: Option<Timestamp>,
    close_by: Option<Timestamp>,
}

impl Clocks {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            opened: now,
            active: now,
            blocked: None,
            close_by: None,
        }
    }

    /// The handshake is over: both clocks start.
    pub(super) fn opened(&mut self, now: Timestamp) {
        (self.opened, self.active) = (now, now);
    }

    pub(super) fn active(&mut self, now: Timestamp) {
        self.active = now;
    }

    pub(super) fn last_active(&self) -> Timestamp {
        self.active
    }

    pub(super) fn blocked(&mut self, now: Timestamp) {
        self.blocked.get_or_insert(now);
    }

    pub(super) fn resumed(&mut self) {
        self.blocked = None;
    }

    pub(super) fn close_by(&mut self, at: Timestamp) {
        self.close_by = Some(self.close_by.map_or(at, |known| known.min(at)));
    }

    pub(super) fn deadline(&self, limits: &Limits) -> Option<Timestamp> {
        self.all(limits)
            .into_iter()
            .flatten()
            .map(|(at, _)| at)
            .min()
    }

    pub(super) fn due(&self, limits: &Limits, now: Timestamp) -> Option<Close> {
        let due = self
            .all(limits)
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at <= now);
        due.min_by_key(|(at, _)| *at).map(|(_, close)| close)
    }

    fn all(&self, limits: &Limits) -> [Option<(Timestamp, Close)>; 4] {
        let scaled = |duration: Duration| duration / limits.speed.get();
        [
            limits
                .idle
                .map(|idle| (self.active + scaled(idle), Close::IDLE)),
            limits
                .lifetime
                .map(|life| (self.opened + scaled(life), Close::EXPIRED)),
            self.blocked
                .map(|since| (since + limits.stalled, Close::TOO_SLOW)),
            self.close_by.map(|at| (at, Close::RESTART)),
        ]
    }
}
