//! What is said about a request: its record comes in, the messages for its connections go out.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::record::{Key, Outcome, Progress, Record, ResultAt, State, Terminal};
use super::store::TaskStore;
use crate::clock::Timestamp;
use crate::error::{ErrorBody, StoreError};
use crate::json::Json;
use crate::limits::Limits;
use crate::message::{Message, rfc3339, rfc3339_now};

/// Keeps results that are too large for a message. Implement it to add a place for objects.
#[async_trait]
pub trait Results: fmt::Debug + Send + Sync + 'static {
    /// Keeps a result and names it. Keeping the same request's result again replaces it.
    ///
    /// # Errors
    /// When it could not be kept.
    async fn keep(&self, key: &Key, result: Bytes) -> Result<String, StoreError>;

    /// A URL that anyone can get the named result from until `expires_at`.
    fn url(&self, key: &Key, name: &str, expires_at: Timestamp) -> String;
}

/// A result as a client gets it.
enum Told {
    Inline(Json),
    At { url: String, expires_at: Timestamp },
}

/// Reads what a terminal record's result is, or where.
async fn told(
    store: &dyn TaskStore,
    results: &dyn Results,
    limits: &Limits,
    key: &Key,
    result: &ResultAt,
    now: Timestamp,
) -> Result<Told, StoreError> {
    Ok(match result {
        ResultAt::Inline(json) => Told::Inline(json.clone()),
        ResultAt::Beside => Told::Inline(
            store
                .result(key)
                .await?
                .ok_or_else(|| StoreError::corrupt("a result is missing"))?,
        ),
        ResultAt::Object(name) => {
            let expires_at = now + limits.result_url_for;
            Told::At {
                url: results.url(key, name, expires_at),
                expires_at,
            }
        }
    })
}

/// The progress message of a record.
pub(crate) fn progress(record: &Record, progress: &Progress) -> Message {
    Message::Progress {
        request_id: record.key.id,
        id: record.client_id.clone(),
        seq: progress.seq,
        percentage: progress.percentage,
        message: progress.message.clone(),
        metadata: progress.metadata.clone(),
    }
}

/// The terminal message of a record.
///
/// # Errors
/// When a result that lies beside the record cannot be read.
pub(crate) async fn terminal(
    store: &dyn TaskStore,
    results: &dyn Results,
    limits: &Limits,
    record: &Record,
    terminal: &Terminal,
    now: Timestamp,
) -> Result<Message, StoreError> {
    let (request_id, id, seq) = (record.key.id, record.client_id.clone(), terminal.seq);
    Ok(match &terminal.outcome {
        Outcome::Completed(result) => {
            match told(store, results, limits, &record.key, result, now).await? {
                Told::Inline(json) => Message::Complete {
                    request_id,
                    id,
                    seq,
                    result: Some(json),
                    result_url: None,
                    expires_at: None,
                },
                Told::At { url, expires_at } => Message::Complete {
                    request_id,
                    id,
                    seq,
                    result: None,
                    result_url: Some(url),
                    expires_at: Some(expires_at),
                },
            }
        }
        Outcome::Failed(error) => Message::Error {
            request_id: Some(request_id),
            id,
            seq: Some(seq),
            error: Box::new(error.clone()),
        },
        Outcome::Cancelled => Message::Cancelled {
            request_id,
            id,
            seq,
        },
    })
}

/// A request as `request.get`, `request.list` and `GET /requests/{id}` show it.
#[derive(Debug, Serialize)]
pub struct RequestView<'a> {
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    action: &'a str,
    state: State,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorBody>,
    #[serde(serialize_with = "rfc3339_now")]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
    finished_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct ProgressView<'a> {
    seq: u64,
    percentage: f64,
    message: &'a str,
}

impl<'a> RequestView<'a> {
    /// The request without its result or error, as a list shows it.
    pub fn brief(record: &'a Record) -> Self {
        Self {
            request_id: record.key.id.to_string(),
            id: record.client_id.as_deref(),
            action: &record.action,
            state: record.state,
            attempt: record.attempt(),
            progress: record.progress.as_ref().map(|progress| ProgressView {
                seq: progress.seq,
                percentage: progress.percentage,
                message: &progress.message,
            }),
            result: None,
            result_url: None,
            expires_at: None,
            error: None,
            created_at: record.created_at,
            started_at: record.started_at,
            finished_at: record.terminal.as_ref().map(|terminal| terminal.at),
        }
    }

    /// The whole request.
    ///
    /// # Errors
    /// When a result that lies beside the record cannot be read.
    pub(crate) async fn full(
        store: &dyn TaskStore,
        results: &dyn Results,
        limits: &Limits,
        record: &'a Record,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut view = Self::brief(record);
        match record.terminal.as_ref().map(|terminal| &terminal.outcome) {
            Some(Outcome::Completed(result)) => {
                match told(store, results, limits, &record.key, result, now).await? {
                    Told::Inline(json) => view.result = Some(json),
                    Told::At { url, expires_at } => {
                        view.result_url = Some(url);
                        view.expires_at = Some(expires_at);
                    }
                }
            }
            Some(Outcome::Failed(error)) => view.error = Some(error),
            Some(Outcome::Cancelled) | None => {}
        }
        Ok(view)
    }
}
