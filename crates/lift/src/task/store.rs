//! The boundary to where requests are kept; every backend passes [`conformance`](super::conformance).
//!
//! Each method is one call of a store such as DynamoDB: conditions ride on the writes, and the
//! record image that a write returns is all that its caller needs to decide whom to tell.

use std::fmt;

use async_trait::async_trait;

use serde::{Deserialize, Serialize};

use super::record::{Idempotency, Key, NewTask, Outcome, Record, State};
use super::transition::{Applied, Transition};
use crate::clock::Timestamp;
use crate::error::{Code, StoreError};
use crate::id::{Owner, RequestId, TenantId};
use crate::json::Json;

/// What became of a [`put`](TaskStore::put).
#[derive(Debug, Clone, PartialEq)]
pub enum Put {
    /// It is durable.
    Stored(Box<Record>),
    /// The idempotency key names this earlier request with an equal payload, or the request itself
    /// is stored already.
    Duplicate(RequestId),
    /// The idempotency key names an earlier request with another payload.
    Mismatch,
    /// The owner has `queued_max` requests waiting already.
    Full,
}

/// Which of an owner's requests to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those older than this one.
    pub before: Option<RequestId>,
    /// At most so many.
    pub limit: usize,
}

/// Some requests, newest first, and whether there are more.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The requests.
    pub records: Vec<Record>,
    /// The last id looked at, if more may follow.
    pub next: Option<RequestId>,
}

/// Which of a tenant's requests to read, by when they were accepted.
#[derive(Debug, Clone)]
pub struct ActivityQuery {
    /// Accepted then or later.
    pub from: Timestamp,
    /// Accepted before.
    pub until: Timestamp,
    /// Where the page before this one ended.
    pub after: Option<Accepted>,
    /// At most so many.
    pub limit: usize,
}

/// A request's place among those of its tenant: what an index by time needs to go on after it.
///
/// A store that spreads a tenant over shards, as DynamoDB needs it, finds the shard from the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accepted {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub key: Key,
}

/// What a report needs to know of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Which request, and when it was accepted.
    pub accepted: Accepted,
    /// The action that it asked for.
    pub action: String,
    /// Where it stands.
    pub state: State,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// Why it failed, if it has.
    pub failed: Option<Code>,
}

impl Activity {
    /// Of a record.
    pub fn of(record: &Record) -> Self {
        let failed = match record.terminal.as_ref().map(|terminal| &terminal.outcome) {
            Some(Outcome::Failed(error)) => Some(error.code),
            Some(Outcome::Completed(_) | Outcome::Cancelled) | None => None,
        };
        Self {
            accepted: Accepted {
                at: record.created_at,
                key: record.key.clone(),
            },
            action: record.action.clone(),
            state: record.state,
            ended_at: record.terminal.as_ref().map(|terminal| terminal.at),
            failed,
        }
    }
}

/// Some of a tenant's requests, and whether there are more.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityPage {
    /// The requests.
    pub requests: Vec<Activity>,
    /// Where the next page starts, if more may follow.
    pub next: Option<Accepted>,
}

/// A request that a worker should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// Which.
    pub key: Key,
    /// [`Record::ends_by`]: past it, to look at it is to end it.
    pub deadline_at: Timestamp,
}

impl Due {
    /// What an index of due requests keeps of a record, if it is to be looked at.
    pub fn of(record: &Record) -> Option<Self> {
        Some(Self {
            at: record.due_at?,
            key: record.key.clone(),
            deadline_at: record.ends_by(),
        })
    }
}

/// When a store is told how far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshots {
    /// Before each message about it: no later claim says less.
    Each,
    /// With the lease's renewal, since each write is paid for: a later claim may begin from what was
    /// said up to a renewal's interval before.
    WithLease,
}

/// Keeps requests. Implement it to add a backend.
///
/// A future may be dropped half-way: the call has then happened or not, as after a lost answer.
#[async_trait]
pub trait TaskStore: fmt::Debug + Send + Sync + 'static {
    /// Stores a new request with its payload and its idempotency key, all or nothing; when this
    /// returns [`Put::Stored`] the request survives the machine's loss of power.
    async fn put(&self, new: NewTask) -> Result<Put, StoreError>;

    /// What a [`put`](Self::put) of this key would find: [`Put::Duplicate`], [`Put::Mismatch`] or
    /// nothing. Asked only where a check refuses a request that may be a repetition.
    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError>;

    /// The record, as of the last write that was answered.
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// The payload.
    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError>;

    /// A result that [`ResultAt::Beside`](super::record::ResultAt::Beside) speaks of.
    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError>;

    /// One owner's requests.
    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError>;

    /// Requests of one tenant, of all its users, that were accepted within a time: page after page each
    /// once, but for those that are purged meanwhile. Their order is the store's: one that spreads a
    /// tenant over shards gives one shard after the other.
    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError>;

    /// Moves a request on by the rules of [`apply`](super::transition::apply), atomically.
    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError>;

    /// Requests due at `now` or before, the longest due first, after `after` if given.
    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// When the next request falls due, if one is known to: a hint that saves polling.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// When it is told how far a task is.
    fn snapshots(&self) -> Snapshots {
        Snapshots::Each
    }

    /// Removes up to `limit` ended requests past their time to live, and says how many.
    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
