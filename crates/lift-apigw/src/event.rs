//! In: the JSON that API Gateway gives a route's integration. Out: an `Event` that borrows from it, and back.
//!
//! Keys are written in the service's order (developer guide, "Set up a WebSocket API integration
//! request"; `aws-lambda-rust-runtime` fixtures). Unknown keys are ignored when read.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fields::{Fields, Multi, Params, Scalar, Single, Text};

/// The route key of connect events.
pub const CONNECT: &str = "$connect";
/// The route key of disconnect events.
pub const DISCONNECT: &str = "$disconnect";
/// The route key of messages that no other route takes.
pub const DEFAULT: &str = "$default";

/// What a route's integration is invoked with.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A handshake waits for an answer.
    Connect(Connect<'a>),
    /// A client sent a message.
    Message(Message<'a>),
    /// A connection is gone.
    Disconnect(Disconnect<'a>),
}

/// A handshake that waits for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The request's headers without `Connection` and `Upgrade`.
    pub headers: Params<'a>,
    /// The query parameters, decoded; absent where the URL had none.
    pub query: Option<Params<'a>>,
    /// The stage's variables; absent where it defines none.
    pub stage_variables: Option<Fields<'a, Text<'a>>>,
    /// Where, when and who.
    pub context: RequestContext<'a>,
}

/// A message that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// The stage's variables; absent where it defines none.
    pub stage_variables: Option<Fields<'a, Text<'a>>>,
    /// Where, when and who.
    pub context: RequestContext<'a>,
    /// The message's own id, in the form of a request id.
    pub message_id: Cow<'a, str>,
    /// The text as sent; base64 where `is_base64_encoded`.
    pub body: Cow<'a, str>,
    /// Whether the body is base64 of what was sent.
    pub is_base64_encoded: bool,
}

/// A connection that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// `Host`, and three more with empty values.
    pub headers: Params<'a>,
    /// The stage's variables; absent where it defines none.
    pub stage_variables: Option<Fields<'a, Text<'a>>>,
    /// Where, when and who.
    pub context: RequestContext<'a>,
    /// The close code as the gateway saw it; 1005 and 1006 included.
    pub status_code: u16,
    /// The close reason; empty where there was none.
    pub reason: Cow<'a, str>,
}

/// What every event says about its connection and request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestContext<'a> {
    /// The selected route, not the evaluated selection expression.
    pub route_key: Cow<'a, str>,
    /// The authorizer's context and `principalId`; absent where no Lambda authorizer ran.
    pub authorizer: Option<Fields<'a, Scalar<'a>>>,
    /// Same value as `request_id`.
    pub extended_request_id: Cow<'a, str>,
    /// When the request came, as `21/Nov/2025:20:39:29 +0000`.
    pub request_time: Cow<'a, str>,
    /// The stage's name.
    pub stage: Cow<'a, str>,
    /// When the handshake came, in ms since the epoch.
    pub connected_at: u64,
    /// When the request came, in ms since the epoch.
    pub request_time_epoch: u64,
    /// Who sent it, as far as the transport knows.
    pub identity: Identity<'a>,
    /// The request's id.
    pub request_id: Cow<'a, str>,
    /// The `Host` that the client used.
    pub domain_name: Cow<'a, str>,
    /// The connection's id: opaque, 16 characters today.
    pub connection_id: Cow<'a, str>,
    /// The API's id.
    pub api_id: Cow<'a, str>,
}

/// Who sent a request, as far as the transport knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity<'a> {
    /// The API key, where one was used.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Cow<'a, str>>,
    /// The API key's id, where one was used.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<Cow<'a, str>>,
    /// The handshake's `User-Agent`, where one was sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// The client's address.
    #[serde(borrow)]
    pub source_ip: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Reads an event; strings without escapes are borrowed.
    ///
    /// # Errors
    /// The text is not JSON, or lacks what its `eventType` requires.
    pub fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// What the event says about its connection and request.
    #[must_use]
    pub fn context(&self) -> &RequestContext<'a> {
        match self {
            Self::Connect(connect) => &connect.context,
            Self::Message(message) => &message.context,
            Self::Disconnect(disconnect) => &disconnect.context,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadEvent::deserialize(deserializer)?
            .check()
            .map_err(serde::de::Error::missing_field)
    }
}

/// The union of the three shapes, as read; `check` says which one it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadEvent<'a> {
    #[serde(borrow, default)]
    headers: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow, default)]
    multi_value_headers: Option<Fields<'a, Vec<Text<'a>>>>,
    #[serde(borrow, default)]
    query_string_parameters: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow, default)]
    multi_value_query_string_parameters: Option<Fields<'a, Vec<Text<'a>>>>,
    #[serde(borrow, default)]
    stage_variables: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow)]
    request_context: ReadContext<'a>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReadContext<'a> {
    #[serde(borrow)]
    route_key: Cow<'a, str>,
    #[serde(default)]
    disconnect_status_code: Option<u16>,
    #[serde(borrow, default)]
    authorizer: Option<Fields<'a, Scalar<'a>>>,
    #[serde(borrow, default)]
    message_id: Option<Cow<'a, str>>,
    event_type: EventType,
    #[serde(borrow)]
    extended_request_id: Cow<'a, str>,
    #[serde(borrow)]
    request_time: Cow<'a, str>,
    #[serde(borrow, default)]
    disconnect_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stage: Cow<'a, str>,
    connected_at: u64,
    request_time_epoch: u64,
    #[serde(borrow)]
    identity: Identity<'a>,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    domain_name: Cow<'a, str>,
    #[serde(borrow)]
    connection_id: Cow<'a, str>,
    #[serde(borrow)]
    api_id: Cow<'a, str>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum EventType {
    Connect,
    Message,
    Disconnect,
}

impl<'a> ReadEvent<'a> {
    fn check(self) -> Result<Event<'a>, &'static str> {
        let headers = Params::from_maps(self.headers, self.multi_value_headers);
        let query = Params::from_maps(
            self.query_string_parameters,
            self.multi_value_query_string_parameters,
        );
        let mut read = self.request_context;
        let (message_id, status_code, reason) = (
            read.message_id.take(),
            read.disconnect_status_code.take(),
            read.disconnect_reason.take(),
        );
        let event_type = read.event_type;
        let context = RequestContext::from(read);
        let stage_variables = self.stage_variables;
        Ok(match event_type {
            EventType::Connect => Event::Connect(Connect {
                headers: headers.ok_or("headers")?,
                query,
                stage_variables,
                context,
            }),
            EventType::Message => Event::Message(Message {
                stage_variables,
                context,
                message_id: message_id.ok_or("messageId")?,
                body: self.body.unwrap_or_default(),
                is_base64_encoded: self.is_base64_encoded,
            }),
            EventType::Disconnect => Event::Disconnect(Disconnect {
                headers: headers.unwrap_or_default(),
                stage_variables,
                context,
                // Events captured before 2024 lack both; 1006 is "no close frame was seen".
                status_code: status_code.unwrap_or(crate::close::ABNORMAL),
                reason: reason.unwrap_or_default(),
            }),
        })
    }
}

impl<'a> From<ReadContext<'a>> for RequestContext<'a> {
    fn from(read: ReadContext<'a>) -> Self {
        Self {
            route_key: read.route_key,
            authorizer: read.authorizer,
            extended_request_id: read.extended_request_id,
            request_time: read.request_time,
            stage: read.stage,
            connected_at: read.connected_at,
            request_time_epoch: read.request_time_epoch,
            identity: read.identity,
            request_id: read.request_id,
            domain_name: read.domain_name,
            connection_id: read.connection_id,
            api_id: read.api_id,
        }
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Connect(connect) => connect.serialize(serializer),
            Self::Message(message) => message.serialize(serializer),
            Self::Disconnect(disconnect) => disconnect.serialize(serializer),
        }
    }
}

impl Serialize for Connect<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WriteEvent {
            headers: Some(Single(&self.headers)),
            multi_value_headers: Some(Multi(&self.headers)),
            query_string_parameters: self.query.as_ref().map(Single),
            multi_value_query_string_parameters: self.query.as_ref().map(Multi),
            stage_variables: self.stage_variables.as_ref(),
            request_context: WriteContext::new(EventType::Connect, &self.context),
            body: None,
            is_base64_encoded: false,
        }
        .serialize(serializer)
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut context = WriteContext::new(EventType::Message, &self.context);
        context.message_id = Some(&self.message_id);
        WriteEvent {
            headers: None,
            multi_value_headers: None,
            query_string_parameters: None,
            multi_value_query_string_parameters: None,
            stage_variables: self.stage_variables.as_ref(),
            request_context: context,
            body: Some(&self.body),
            is_base64_encoded: self.is_base64_encoded,
        }
        .serialize(serializer)
    }
}

impl Serialize for Disconnect<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut context = WriteContext::new(EventType::Disconnect, &self.context);
        context.disconnect_status_code = Some(self.status_code);
        context.disconnect_reason = Some(&self.reason);
        WriteEvent {
            headers: Some(Single(&self.headers)),
            multi_value_headers: Some(Multi(&self.headers)),
            query_string_parameters: None,
            multi_value_query_string_parameters: None,
            stage_variables: self.stage_variables.as_ref(),
            request_context: context,
            body: None,
            is_base64_encoded: false,
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriteEvent<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Single<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<Multi<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_string_parameters: Option<Single<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_query_string_parameters: Option<Multi<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_variables: Option<&'e Fields<'e, Text<'e>>>,
    request_context: WriteContext<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'e str>,
    is_base64_encoded: bool,
}

/// The order of these fields is the order on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriteContext<'e> {
    route_key: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<&'e Fields<'e, Scalar<'e>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'e str>,
    event_type: EventType,
    extended_request_id: &'e str,
    request_time: &'e str,
    message_direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'e str>,
    stage: &'e str,
    connected_at: u64,
    request_time_epoch: u64,
    identity: &'e Identity<'e>,
    request_id: &'e str,
    domain_name: &'e str,
    connection_id: &'e str,
    api_id: &'e str,
}

impl<'e> WriteContext<'e> {
    pub(crate) fn new(event_type: EventType, context: &'e RequestContext<'_>) -> Self {
        Self {
            route_key: &context.route_key,
            disconnect_status_code: None,
            authorizer: context.authorizer.as_ref(),
            message_id: None,
            event_type,
            extended_request_id: &context.extended_request_id,
            request_time: &context.request_time,
            message_direction: "IN",
            disconnect_reason: None,
            stage: &context.stage,
            connected_at: context.connected_at,
            request_time_epoch: context.request_time_epoch,
            identity: &context.identity,
            request_id: &context.request_id,
            domain_name: &context.domain_name,
            connection_id: &context.connection_id,
            api_id: &context.api_id,
        }
    }
}
