//! The text of a server message comes in, one typed message goes out.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use crate::{
    error::ErrorBody,
    view::{RequestId, State},
};

/// What the server says. Fields and types of later versions are no error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// A sync or control action is done.
    Response(Response),
    /// An async request is durable.
    Acknowledgment(Acknowledgment),
    /// How far a request is.
    Progress(Progress),
    /// A request ended with a result.
    Complete(Complete),
    /// A request ended because it was asked to.
    Cancelled(Cancelled),
    /// A message was refused, or a request ended with an error.
    Error(Failure),
    /// Answer to `ping`.
    Pong(Pong),
    /// The server will close this connection soon.
    GoingAway(GoingAway),
    /// API Gateway's own error frame.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    GatewayError(GatewayError),
    /// A type of a later version.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    Unknown(Unknown),
}

impl ServerMessage {
    /// Reads the text of one message.
    ///
    /// # Errors
    /// Neither an object with a `type` nor a gateway's error frame, or a known type whose fields are missing or of
    /// another type.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let tag: Tag<'_> = match serde_json::from_str(text) {
            Ok(tag) => tag,
            Err(error) => {
                let frame = serde_json::from_str(text).map(Self::GatewayError);
                return frame.map_err(|_not_one| error);
            }
        };
        Ok(match &*tag.kind {
            "response" => Self::Response(serde_json::from_str(text)?),
            "acknowledgment" => Self::Acknowledgment(serde_json::from_str(text)?),
            "progress" => Self::Progress(serde_json::from_str(text)?),
            "complete" => Self::Complete(serde_json::from_str(text)?),
            "cancelled" => Self::Cancelled(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            "pong" => Self::Pong(serde_json::from_str(text)?),
            "going_away" => Self::GoingAway(serde_json::from_str(text)?),
            other => Self::Unknown(Unknown {
                kind: other.to_owned(),
            }),
        })
    }

    /// The `id` of the client message that this one is about.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Response(m) => m.id.as_deref(),
            Self::Acknowledgment(m) => m.id.as_deref(),
            Self::Progress(m) => m.id.as_deref(),
            Self::Complete(m) => m.id.as_deref(),
            Self::Cancelled(m) => m.id.as_deref(),
            Self::Error(m) => m.id.as_deref(),
            Self::Pong(m) => m.id.as_deref(),
            Self::GoingAway(_) | Self::GatewayError(_) | Self::Unknown(_) => None,
        }
    }

    /// The request that this message is about.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Response(m) => m.request_id.as_ref(),
            Self::Acknowledgment(m) => Some(&m.request_id),
            Self::Progress(m) => Some(&m.request_id),
            Self::Complete(m) => Some(&m.request_id),
            Self::Cancelled(m) => Some(&m.request_id),
            Self::Error(m) => m.request_id.as_ref(),
            Self::Pong(_) | Self::GoingAway(_) | Self::GatewayError(_) | Self::Unknown(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for ServerMessage {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        Self::parse(text.get()).map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

/// A sync or control action is done.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// The `id` of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request; absent where a control action is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The answer; JSON `null` where there is none.
    #[serde(default = "null")]
    #[schemars(with = "serde_json::Value")]
    pub data: Box<RawValue>,
}

/// An async request is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgment {
    /// The `id` of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request.
    pub request_id: RequestId,
    /// Its state.
    pub status: State,
    /// Whether an earlier message with the same idempotency key made it.
    #[serde(default, deserialize_with = "crate::absent::or_default")]
    pub duplicate: bool,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The `id` of the message that submitted the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request.
    pub request_id: RequestId,
    /// Order among the messages about this request.
    pub seq: u64,
    /// 0–100; a client shows the maximum.
    #[schemars(range(min = 0, max = 100))]
    pub percentage: f64,
    /// What is being done, for people.
    #[serde(default, deserialize_with = "crate::absent::or_default")]
    pub message: String,
    /// What the task adds, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, serde_json::Value>>,
}

/// A request ended with a result.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Complete {
    /// The `id` of the message that submitted the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request.
    pub request_id: RequestId,
    /// Order among the messages about this request.
    pub seq: u64,
    /// The result, if it is small.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub result: Option<Box<RawValue>>,
    /// Where the result is, if it is large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_url: Option<String>,
    /// When `result_url` stops working (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A request ended because it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// The `id` of the message that submitted the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request.
    pub request_id: RequestId,
    /// Order among the messages about this request.
    pub seq: u64,
}

/// A message was refused, or a request ended with an error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The `id` of the message that was refused, or that submitted the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request; absent where the message was refused before it became one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Present exactly where this ends the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why.
    pub error: ErrorBody,
}

/// Answer to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The `id` of the ping, where the host can echo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The server's time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_time: Option<String>,
}

/// The server will close this connection soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoingAway {
    /// Milliseconds to wait before connecting again.
    #[serde(default, deserialize_with = "crate::absent::or_default")]
    pub reconnect_after_ms: u64,
}

/// API Gateway's own error frame: one message got no answer, and it does not say which.
///
/// `{"message": "Internal server error", "connectionId":"…", "requestId":"…"}`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayError {
    /// Why, in the gateway's words.
    pub message: String,
    /// The gateway's id of the connection.
    pub connection_id: String,
    /// The gateway's id of the message, which the function's log has.
    pub request_id: String,
}

/// A message of a later version, of which only the type is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its `type`.
    pub kind: String,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
