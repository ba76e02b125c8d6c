//! In: rates, and that something happens now. Out: whether it may.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use lift_apigw::event::CONNECT;

use super::Timestamp;
use super::quota::Rate;
use super::rules::{Route, Rules};

/// A token bucket as one number: when it will be full again, in ns since the epoch (GCRA, ITU-T I.371).
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(super) fn take(&self, rate: Rate, now: Timestamp) -> bool {
        let now_ns = now.epoch_ms().saturating_mul(1_000_000);
        let token_ns = 1_000_000_000 / u64::from(rate.per_second.get());
        let most_ns = token_ns.saturating_mul(u64::from(rate.burst.get()));
        let taken = |full_at_ns: u64| {
            let after = full_at_ns.max(now_ns).saturating_add(token_ns);
            (after - now_ns <= most_ns).then_some(after)
        };
        let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
        self.full_at_ns.fetch_update(set, read, taken).is_ok()
    }
}

/// The rates that all connections of a gateway share.
#[derive(Debug, Default)]
pub struct Throttle {
    connections: Bucket,
    requests: Bucket,
    /// Of the routes that have a rate of their own.
    routes: BTreeMap<String, Bucket>,
}

impl Throttle {
    /// Full buckets for these rules.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let routes = rules.routes.iter();
        let with_rate = routes.filter(|(_, route)| route.rate.is_some());
        Self {
            routes: with_rate
                .map(|(key, _)| (key.clone(), Bucket::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// Whether a handshake may go on.
    pub(super) fn connection(&self, rules: &Rules, now: Timestamp) -> bool {
        let rate = rules.limits.connection_rate;
        let route = rules.routes.get(CONNECT);
        rate.is_none_or(|rate| self.connections.take(rate, now))
            && route.is_none_or(|route| self.route(CONNECT, route, now))
    }

    /// Whether a message or an `@connections` call may go on.
    pub(super) fn request(&self, rules: &Rules, now: Timestamp) -> bool {
        let rate = rules.limits.message_rate;
        rate.is_none_or(|rate| self.requests.take(rate, now))
    }

    /// Whether a route may take another message.
    pub(super) fn route(&self, key: &str, route: &Route, now: Timestamp) -> bool {
        let Some(rate) = route.rate else {
            return true;
        };
        let bucket = self.routes.get(key);
        bucket.is_none_or(|bucket| bucket.take(rate, now))
    }
}
