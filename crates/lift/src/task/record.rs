//! The stored record of one request: what is known about it between two messages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::ErrorBody;
use crate::id::{ConnectionId, Owner, RequestId};
use crate::json::{Json, present};

/// Messages about a request go to its last so many distinct attached connections.
pub const ATTACHED_TOLD_MAX: usize = 8;

/// The attached list is compacted once it is so long.
pub const ATTACHED_KEPT_MAX: usize = 32;

/// Message n (from 1) of claim k has `seq` (k−1) × this + n.
pub const SEQ_PER_CLAIM: u64 = 1_000_000;

/// Results above this many bytes are stored beside the record, not in it.
pub const INLINE_BYTES_MAX: usize = 4 * 1024;

/// Names a record: its owner and its id, never the id alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Whose request it is.
    pub owner: Owner,
    /// Which of theirs.
    pub id: RequestId,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Durable and waiting for a worker.
    Queued,
    /// Claimed by a worker.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Ended with a result.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because its owner asked.
    Cancelled,
}

impl State {
    /// Whether nothing more will happen to the request.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The latest progress that is worth telling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Its place in what is said about the request.
    pub seq: u64,
    /// 0 to 100.
    pub percentage: f64,
    /// For people, at most 512 bytes.
    pub message: String,
    /// For programs, at most 2 KiB.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Json>,
}

/// Where a completed request's result is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultAt {
    /// In the record.
    Inline(Json),
    /// In the store, beside the record; read it with `TaskStore::result`.
    Beside,
    /// An object with this name; clients get a URL that expires.
    Object(String),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a result.
    Completed(ResultAt),
    /// With an error.
    Failed(ErrorBody),
    /// Cancelled.
    Cancelled,
}

impl Outcome {
    /// The state that a request with this outcome is in.
    pub const fn state(&self) -> State {
        match self {
            Self::Completed(_) => State::Completed,
            Self::Failed(_) => State::Failed,
            Self::Cancelled => State::Cancelled,
        }
    }
}

/// The end of a request: written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terminal {
    /// The `seq` of its terminal message.
    pub seq: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// One request as the store keeps it; the payload lies beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Owner and id.
    pub key: Key,
    /// The `id` of the message that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The action that it asked for.
    pub action: String,
    /// What the client sent along, never trusted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Where it stands.
    pub state: State,
    /// How often it was claimed; the number of the last claim fences every later write.
    pub claim: u64,
    /// When the last claim was made.
    #[serde(default)]
    pub claimed_at: Timestamp,
    /// When the last claim was last renewed.
    #[serde(default)]
    pub renewed_at: Timestamp,
    /// Set when the process of a claim died with nothing else running.
    #[serde(default)]
    pub died_alone: bool,
    /// Attempts that failed retryably.
    pub failures: u32,
    /// Claims that were lost and counted.
    pub lost: u32,
    /// Those of them since the checkpoint last moved.
    pub lost_in_a_row: u32,
    /// The latest durable progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Where the next claim goes on.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub checkpoint: Option<Json>,
    /// When the checkpoint last moved.
    #[serde(default)]
    pub checkpoint_at: Timestamp,
    /// Its owner asked for it to be cancelled.
    #[serde(default)]
    pub cancel_requested: bool,
    /// Its effect may have happened: neither its owner nor its deadline ends it any more.
    #[serde(default)]
    pub committed: bool,
    /// Connections that want to hear of it, oldest first.
    pub attached: Vec<ConnectionId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was first claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it must have ended.
    pub deadline_at: Timestamp,
    /// When a worker should look at it: absent once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When the record may be purged.
    pub expires_at: Timestamp,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
}

impl Record {
    /// The attempt that users see: 1 + attempts that failed retryably or were counted lost.
    pub const fn attempt(&self) -> u32 {
        1 + self.failures + self.lost
    }

    /// The connections that hear of the request: the last eight distinct ones, oldest first.
    pub fn told(&self) -> Vec<ConnectionId> {
        let mut told: Vec<ConnectionId> = Vec::new();
        for id in self.attached.iter().rev() {
            if told.len() < ATTACHED_TOLD_MAX && !told.contains(id) {
                told.push(id.clone());
            }
        }
        told.reverse();
        told
    }

    /// When it must have ended; never, once it is committed.
    pub const fn ends_by(&self) -> Timestamp {
        match self.committed {
            true => Timestamp::from_millis(u64::MAX),
            false => self.deadline_at,
        }
    }

    /// The `seq` of message `n` (from 1) of the current claim.
    pub const fn seq(&self, n: u64) -> u64 {
        self.claim.saturating_sub(1) * SEQ_PER_CLAIM + n
    }
}

/// A key that makes sending the same request twice harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// What the client chose; scoped to owner and action.
    pub key: String,
    /// SHA-256 of the payload's canonical JSON, in hex.
    pub payload_hash: String,
}

/// A request to be stored.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Owner and id.
    pub key: Key,
    /// The `id` of the message that submits it.
    pub client_id: Option<String>,
    /// The action.
    pub action: String,
    /// What the client sent along.
    pub metadata: BTreeMap<String, String>,
    /// The payload.
    pub input: Json,
    /// The connection that submits it.
    pub connection: ConnectionId,
    /// Makes a second `put` of the same request find the first.
    pub idempotency: Option<Idempotency>,
    /// Now.
    pub created_at: Timestamp,
    /// How long to wait before the first claim.
    pub start_after: Duration,
    /// From acceptance to the deadline.
    pub timeout: Duration,
    /// From acceptance to the purge.
    pub keep: Duration,
    /// The owner may have so many requests that are queued or retrying.
    pub queued_max: usize,
}

impl NewTask {
    /// The record that a store writes for it.
    pub fn record(&self) -> Record {
        Record {
            key: self.key.clone(),
            client_id: self.client_id.clone(),
            action: self.action.clone(),
            metadata: self.metadata.clone(),
            state: State::Queued,
            claim: 0,
            claimed_at: Timestamp::default(),
            renewed_at: Timestamp::default(),
            died_alone: false,
            failures: 0,
            lost: 0,
            lost_in_a_row: 0,
            progress: None,
            checkpoint: None,
            checkpoint_at: Timestamp::default(),
            cancel_requested: false,
            committed: false,
            attached: vec![self.connection.clone()],
            created_at: self.created_at,
            started_at: None,
            deadline_at: self.created_at + self.timeout,
            due_at: Some(self.created_at + self.start_after.min(self.timeout)),
            expires_at: self.created_at + self.keep,
            terminal: None,
        }
    }
}
