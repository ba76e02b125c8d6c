//! In: what a session knows of its connection. Out: the JSON of the events for its functions.
//!
//! Source: developer guide, "Set up a WebSocket API integration request" and "… Lambda
//! authorizers" (the latter's headers hold `Connection` and `Upgrade`, the former's do not).

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use lift_apigw::authorizer::Request;
use lift_apigw::event::{self, Connect, Disconnect, Event, Identity, Message, RequestContext};
use lift_apigw::fields::{Fields, Params, Scalar, Text as JsonText};
use lift_apigw::{management, time};

use super::Timestamp;
use super::authorizer::Context;
use super::codec::Text;
use super::handshake::Upgrade;
use super::rules::Rules;
use crate::{ConnectionId, RequestId};

/// What stays known of a connection after its handshake.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) connection_id: ConnectionId,
    pub(super) connected_at: Timestamp,
    pub(super) authorizer: Option<Context>,
    user_agent: Option<String>,
    source_ip: String,
    domain_name: String,
    kept: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Facts {
    pub(super) fn new(
        rules: &Rules,
        upgrade: &Upgrade,
        connection_id: ConnectionId,
        now: Timestamp,
    ) -> Self {
        let host = rules
            .api
            .domain_name
            .as_deref()
            .or_else(|| upgrade.last("Host"));
        Self {
            connection_id,
            connected_at: now,
            authorizer: None,
            user_agent: upgrade.last("User-Agent").map(str::to_owned),
            source_ip: upgrade.source_ip.clone(),
            domain_name: host.unwrap_or_default().to_owned(),
            kept: OnceLock::new(),
        }
    }

    /// Whether a handshake's `context.NAME` holds something.
    pub(super) fn has(&self, rules: &Rules, name: &str) -> bool {
        let value = match name {
            "apiId" => rules.api.api_id.as_str(),
            "stage" => rules.api.stage.as_str(),
            "domainName" => self.domain_name.as_str(),
            "connectionId" => self.connection_id.as_str(),
            "routeKey" => event::CONNECT,
            "identity.sourceIp" => self.source_ip.as_str(),
            "identity.userAgent" => self.user_agent.as_deref().unwrap_or_default(),
            _ => "",
        };
        !value.is_empty()
    }

    pub(super) fn describe(&self, last_active_at: Timestamp) -> management::Connection<'static> {
        management::Connection {
            connected_at: time::iso8601(self.connected_at.epoch_ms()).into(),
            identity: management::Identity {
                source_ip: self.source_ip.clone().into(),
                user_agent: self.user_agent.clone().unwrap_or_default().into(),
            },
            last_active_at: time::iso8601(last_active_at.epoch_ms()).into(),
        }
    }

    pub(super) fn authorizer_event(
        &self,
        rules: &Rules,
        upgrade: &Upgrade,
        trace: &str,
        at: At<'_>,
    ) -> FunctionEvent {
        let arn = rules.connect_arn();
        let own = [
            ("Connection", "upgrade"),
            ("Upgrade", "websocket"),
            ("content-length", "0"),
        ];
        let own = own.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        let request = Request {
            method_arn: Cow::Borrowed(&arn),
            headers: Params::headers(headers(upgrade, trace).chain(own)),
            query: upgrade.params().unwrap_or_default(),
            stage_variables: stage_variables(rules),
            context: RequestContext {
                authorizer: None,
                ..self.context(rules, event::CONNECT, at)
            },
        };
        json(&request).into()
    }

    pub(super) fn connect_event(
        &self,
        rules: &Rules,
        upgrade: &Upgrade,
        trace: &str,
        authorizer_latency_ms: u64,
        at: At<'_>,
    ) -> FunctionEvent {
        let mut context = self.context(rules, event::CONNECT, at);
        if let Some(Fields(pairs)) = &mut context.authorizer {
            let latency = Scalar::Number(authorizer_latency_ms.into());
            pairs.push((Cow::Borrowed("integrationLatency"), latency));
        }
        json(&Event::Connect(Connect {
            headers: Params::headers(headers(upgrade, trace)),
            query: upgrade.params(),
            stage_variables: defined_stage_variables(rules),
            context,
        }))
        .into()
    }

    pub(super) fn disconnect_event(
        &self,
        rules: &Rules,
        status_code: u16,
        reason: &str,
        at: At<'_>,
    ) -> FunctionEvent {
        let host = (
            Cow::Borrowed("Host"),
            Cow::Borrowed(self.domain_name.as_str()),
        );
        let empty = ["x-api-key", "X-Forwarded-For", "x-restapi"]
            .map(|name| (Cow::Borrowed(name), Cow::Borrowed("")));
        json(&Event::Disconnect(Disconnect {
            headers: Params::headers(std::iter::once(host).chain(empty)),
            stage_variables: defined_stage_variables(rules),
            context: self.context(rules, event::DISCONNECT, at),
            status_code,
            reason: Cow::Borrowed(reason),
        }))
        .into()
    }

    fn context<'f>(&'f self, rules: &'f Rules, route: &'f str, at: At<'f>) -> RequestContext<'f> {
        let request_id = Cow::Borrowed(at.request_id.as_str());
        RequestContext {
            route_key: Cow::Borrowed(route),
            authorizer: self.authorizer.as_ref().map(borrowed),
            extended_request_id: request_id.clone(),
            request_time: time::clf(at.now.epoch_ms()).into(),
            stage: Cow::Borrowed(&rules.api.stage),
            connected_at: self.connected_at.epoch_ms(),
            request_time_epoch: at.now.epoch_ms(),
            identity: Identity {
                api_key: None,
                api_key_id: None,
                user_agent: self.user_agent.as_deref().map(Cow::Borrowed),
                source_ip: Cow::Borrowed(&self.source_ip),
            },
            request_id,
            domain_name: Cow::Borrowed(&self.domain_name),
            connection_id: Cow::Borrowed(self.connection_id.as_str()),
            api_id: Cow::Borrowed(&rules.api.api_id),
        }
    }
}

/// What a function is invoked with: JSON, which a message's event becomes once somebody asks.
#[derive(Clone, Debug)]
pub struct FunctionEvent(Form);

#[derive(Clone, Debug)]
enum Form {
    Json(Bytes),
    Message(Arc<MessageEvent>),
}

/// What a message's event is made of.
#[derive(Debug)]
pub(super) struct MessageEvent {
    pub(super) rules: Arc<Rules>,
    pub(super) facts: Arc<Facts>,
    pub(super) route: String,
    pub(super) request_id: RequestId,
    pub(super) message_id: RequestId,
    pub(super) now: Timestamp,
    pub(super) body: Text,
}

/// About what a message's event has beside its body, in bytes.
const AROUND_BODY_BYTES: usize = 1024;

impl FunctionEvent {
    /// The event as JSON.
    #[must_use]
    pub fn json(&self) -> Bytes {
        match &self.0 {
            Form::Json(event) => event.clone(),
            Form::Message(event) => json(&Event::Message(event.message())),
        }
    }

    /// The event of a message, without its detour over JSON: for functions in this process.
    #[must_use]
    pub fn message(&self) -> Option<Message<'_>> {
        match &self.0 {
            Form::Json(_) => None,
            Form::Message(event) => Some(event.message()),
        }
    }

    /// What the client sent, without the rest of its event.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        match &self.0 {
            Form::Json(_) => None,
            Form::Message(event) => Some(&event.body),
        }
    }

    /// What a function in this process made of the connection at its first message, and need not
    /// make again at each: the event's part that is the same for all of them. There is one such
    /// value a connection; one of another type is made each time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn keep<T: Send + Sync + 'static, E>(
        &self,
        make: impl FnOnce(&Message<'_>) -> Result<T, E>,
    ) -> Option<Result<Arc<T>, E>> {
        let Form::Message(event) = &self.0 else {
            return None;
        };
        let kept = &event.facts.kept;
        if let Some(Ok(known)) = kept.get().map(|kept| Arc::clone(kept).downcast()) {
            return Some(Ok(known));
        }
        let made = make(&event.message()).map(Arc::new);
        Some(made.inspect(|made| {
            let made: Arc<dyn Any + Send + Sync> = Arc::clone(made) as _;
            // Two at once make the same.
            _ = kept.set(made);
        }))
    }

    /// About how many bytes it has as JSON.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Form::Json(event) => event.len(),
            Form::Message(event) => event.body.as_bytes().len() + AROUND_BODY_BYTES,
        }
    }
}

impl PartialEq for FunctionEvent {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for FunctionEvent {}

impl From<Bytes> for FunctionEvent {
    fn from(event: Bytes) -> Self {
        Self(Form::Json(event))
    }
}

impl From<MessageEvent> for FunctionEvent {
    fn from(event: MessageEvent) -> Self {
        Self(Form::Message(Arc::new(event)))
    }
}

impl MessageEvent {
    fn message(&self) -> Message<'_> {
        let at = At {
            request_id: &self.request_id,
            now: self.now,
        };
        Message {
            stage_variables: defined_stage_variables(&self.rules),
            context: self.facts.context(&self.rules, &self.route, at),
            message_id: Cow::Borrowed(self.message_id.as_str()),
            body: Cow::Borrowed(&self.body),
            is_base64_encoded: false,
        }
    }
}

/// Which request an event is, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) request_id: &'a RequestId,
    pub(super) now: Timestamp,
}

/// The client's headers without those of the hop, and what API Gateway adds to them.
fn headers<'u>(
    upgrade: &'u Upgrade,
    trace: &'u str,
) -> impl Iterator<Item = (Cow<'u, str>, Cow<'u, str>)> {
    const REPLACED: [&str; 7] = [
        "Connection",
        "Upgrade",
        "Content-Length",
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
    ];
    let kept = |name: &str| {
        !REPLACED
            .iter()
            .any(|replaced| name.eq_ignore_ascii_case(replaced))
    };
    let sent = upgrade.headers.iter().filter(move |(name, _)| kept(name));
    // The scheme and port are AWS's, where every client comes by TLS to port 443.
    let added = [
        ("X-Amzn-Trace-Id", trace),
        ("X-Forwarded-For", upgrade.source_ip.as_str()),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ];
    sent.map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(added)
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
}

fn borrowed(context: &Context) -> Fields<'_, Scalar<'_>> {
    let pairs = context.0.iter().map(|(key, value)| {
        let value = match value {
            Scalar::Text(text) => Scalar::Text(Cow::Borrowed(text.as_ref())),
            other @ (Scalar::Number(_) | Scalar::Bool(_)) => other.clone(),
        };
        (Cow::Borrowed(key.as_ref()), value)
    });
    Fields(pairs.collect())
}

fn stage_variables(rules: &Rules) -> Fields<'_, JsonText<'_>> {
    let pairs = rules.api.stage_variables.iter();
    Fields(
        pairs
            .map(|(k, v)| (Cow::Borrowed(k.as_str()), JsonText(Cow::Borrowed(v))))
            .collect(),
    )
}

fn defined_stage_variables(rules: &Rules) -> Option<Fields<'_, JsonText<'_>>> {
    (!rules.api.stage_variables.is_empty()).then(|| stage_variables(rules))
}

fn json(event: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(event)
        .expect("string keys and plain values")
        .into()
}
