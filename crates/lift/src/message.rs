//! What a server says: a message goes in, its JSON text comes out.

use bytes::Bytes;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::ErrorBody;
use crate::id::RequestId;
use crate::json::Json;
use crate::task::record::State;

/// Everything that goes to a client, by its `type`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// A sync or control action is done.
    Response {
        /// The request; absent for control actions.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestId>,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The answer.
        data: Json,
    },
    /// A request is durable.
    Acknowledgment {
        /// The request.
        request_id: RequestId,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Where it stands.
        status: State,
        /// Whether an idempotency key led to an earlier request.
        duplicate: bool,
    },
    /// How far a request is.
    Progress {
        /// The request.
        request_id: RequestId,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Its place in what is said about the request.
        seq: u64,
        /// 0 to 100.
        percentage: f64,
        /// For people.
        message: String,
        /// For programs.
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Json>,
    },
    /// A request ended with a result.
    Complete {
        /// The request.
        request_id: RequestId,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Its place in what is said about the request.
        seq: u64,
        /// The result, unless it has a URL.
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Json>,
        /// Where to get a result that is too large for a message.
        #[serde(skip_serializing_if = "Option::is_none")]
        result_url: Option<String>,
        /// Until when.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339")]
        expires_at: Option<Timestamp>,
    },
    /// A request ended because its owner asked.
    Cancelled {
        /// The request.
        request_id: RequestId,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Its place in what is said about the request.
        seq: u64,
    },
    /// A message was refused, or a request ended with an error.
    Error {
        /// The request, if the message became one.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<RequestId>,
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Present exactly when this ends a request.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// What is wrong.
        error: Box<ErrorBody>,
    },
    /// The answer to `ping`.
    Pong {
        /// The client's correlation id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The server's clock.
        #[serde(serialize_with = "rfc3339_now")]
        server_time: Timestamp,
    },
    /// The server will close soon.
    GoingAway {
        /// When to connect again, in milliseconds from now.
        reconnect_after_ms: u64,
    },
}

impl Message {
    /// The message as it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        // Room for all of most messages: a buffer that grows is copied.
        const AROUND_BYTES: usize = 160;
        let data = match self {
            Self::Response { data, .. } => data.len_bytes(),
            _ => AROUND_BYTES,
        };
        let mut bytes = Vec::with_capacity(data + AROUND_BYTES);
        match serde_json::to_writer(&mut bytes, self) {
            Ok(()) => bytes.into(),
            Err(error) => {
                tracing::error!(%error, "a message has no JSON form");
                Bytes::from_static(br#"{"type":"error","error":{"code":"INTERNAL_ERROR","message":"the server could not do this","retryable":true}}"#)
            }
        }
    }
}

pub(crate) fn rfc3339<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn rfc3339_now<S: serde::Serializer>(
    at: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}
