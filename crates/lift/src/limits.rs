//! Every limit of an app, by name, with its default.

use std::time::Duration;

use crate::rate::Rate;
use crate::registry::Room;

/// What an app bounds. Sizes in bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// A handler whose estimate is above this is deferred (5 s).
    pub defer_above: Duration,
    /// A sync handler that runs longer is answered `TIMEOUT` (28 s: below API Gateway's 29).
    pub sync_timeout: Duration,
    /// From acceptance to the deadline, where the message does not say (1 h).
    pub request_timeout: Duration,
    /// The longest `timeout_ms` that a message may ask for (24 h).
    pub request_timeout_max: Duration,
    /// How long a record lives (7 d).
    pub keep: Duration,
    /// How long a claim lasts without a renewal (15 s).
    pub lease: Duration,
    /// How often a claim is renewed (5 s).
    pub renew_every: Duration,
    /// Tries of a task that fails retryably, in all (3).
    pub tries: u32,
    /// Lost claims in a row, with no checkpoint moved, that end a task (5).
    pub lost_in_a_row_max: u32,
    /// Tasks that run at once in this process (64).
    pub running_max: usize,
    /// Tasks of one owner that run at once in this process (16).
    pub running_per_owner_max: usize,
    /// Requests of one owner that wait; then `OVERLOADED` (1,000).
    pub queued_per_owner_max: usize,
    /// Results above this become a URL (100 KiB).
    pub result_bytes_max: usize,
    /// Answers above this are refused as API Gateway would (128 KiB).
    pub answer_bytes_max: usize,
    /// How long a result URL works (1 h).
    pub result_url_for: Duration,
    /// Time that a task which was asked to stop gets before it is dropped (2 s).
    pub stop_grace: Duration,
    /// Messages of one connection; past it `RATE_LIMITED` (none).
    pub connection_rate: Option<Rate>,
    /// Messages of one user (none).
    pub user_rate: Option<Rate>,
    /// Messages of one tenant (none).
    pub tenant_rate: Option<Rate>,
    /// New connections of one user; past it 429 (none).
    pub user_connect_rate: Option<Rate>,
    /// New connections of one tenant (none).
    pub tenant_connect_rate: Option<Rate>,
    /// Connections at once; past it 429 (any number).
    pub connections: Room,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            defer_above: Duration::from_secs(5),
            sync_timeout: Duration::from_secs(28),
            request_timeout: HOUR,
            request_timeout_max: 24 * HOUR,
            keep: 7 * 24 * HOUR,
            lease: Duration::from_secs(15),
            renew_every: Duration::from_secs(5),
            tries: 3,
            lost_in_a_row_max: 5,
            running_max: 64,
            running_per_owner_max: 16,
            queued_per_owner_max: 1_000,
            result_bytes_max: 100 * 1024,
            answer_bytes_max: 128 * 1024,
            result_url_for: HOUR,
            stop_grace: Duration::from_secs(2),
            connection_rate: None,
            user_rate: None,
            tenant_rate: None,
            user_connect_rate: None,
            tenant_connect_rate: None,
            connections: Room::ENDLESS,
        }
    }
}
