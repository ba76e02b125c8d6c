//! The only place that knows both event types: API Gateway's JSON comes in, an app's answer goes out.
//!
//! One function serves every role that a gateway may invoke; a Lambda host and the gateway on one
//! machine call the same two.

mod identity;

pub use identity::TENANT;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use lift::app::{NotConnected, Runtime};
use lift::clock::Timestamp;
use lift::event::Connection;
use lift::following::Following;
use lift::id::ConnectionId;
use lift::identity::{Denied, Handshake};
use lift::outbound::Hold;
use lift::request::Follow;
use lift_apigw::authorizer::{Effect, Request, Response as Policy};
use lift_apigw::event::{Event, RequestContext};
use lift_apigw::fields::{Params, Scalar};
use lift_apigw::response::Response;

/// What most answers fit, so that they are not moved while they are written.
const ANSWER_BYTES: usize = 1_024;
const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

/// The function failed; API Gateway acts on the text of an authorizer's error alone.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An authorizer refuses: the client gets 401. The text is the one that API Gateway looks for.
    #[error("Unauthorized")]
    Unauthorized,
    /// The event cannot be read, or cannot have come from the gateway that the app is deployed to.
    #[error("the event cannot be read")]
    Event(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A backend failed where an answer would have let the client in, or lost it.
    #[error("the event cannot be handled now")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the gateway is to be answered, and what is to be done once it has been.
#[derive(Debug)]
pub struct Handled {
    /// The proxy response.
    pub body: Bytes,
    /// What follows; drop it or [`run`](After::run) it when the answer is on its way.
    pub after: Option<After>,
}

/// What follows an answer: news of requests that it spoke of.
#[derive(Debug)]
pub struct After {
    connection: Arc<Connection>,
    follow: Vec<Follow>,
    hold: Hold,
    following: Following,
}

impl After {
    /// Whether nothing follows, so that dropping it is enough.
    pub fn is_quiet(&self) -> bool {
        self.follow.is_empty()
    }

    /// Lets held posts go, then says what follows.
    pub async fn run(self, runtime: &Runtime) {
        drop(self.hold);
        let _counted = self.following;
        runtime.follow(&self.connection.id, self.follow).await;
    }
}

/// Answers an authorizer event with a policy (API Gateway developer guide, "Control access to
/// WebSocket APIs with Lambda authorizers"). A `trace` rides along to every event of the connection.
///
/// # Errors
/// [`Failure::Unauthorized`] for a token that is missing or bad (401); anything else is 500.
/// A good token that is not allowed here is no error but a policy that denies (403).
pub async fn authorize(
    runtime: &Runtime,
    event: &[u8],
    trace: Option<&str>,
) -> Result<Bytes, Failure> {
    let request = Request::parse(event).map_err(|error| Failure::Event(error.into()))?;
    let handshake = Handshake {
        headers: pairs(&request.headers),
        query: pairs(&request.query),
        source_ip: request.context.identity.source_ip.as_ref().to_owned(),
    };
    let policy = match runtime.authenticate(&handshake).await {
        Ok(identity) => {
            let mut context = identity::encode(&identity);
            let trace = trace.map(|trace| Scalar::Text(Cow::Owned(trace.to_owned())));
            context
                .0
                .extend(trace.map(|trace| (Cow::Borrowed(identity::TRACE), trace)));
            let user = Cow::Owned(identity.owner.user.as_str().to_owned());
            let mut policy = Policy::new(Effect::Allow, "", &request.method_arn);
            policy.principal_id = user;
            policy.context = Some(context);
            write(&policy)
        }
        Err(Denied::Unauthorized(_)) => return Err(Failure::Unauthorized),
        Err(Denied::Forbidden(_)) => write(&Policy::new(Effect::Deny, "-", &request.method_arn)),
        Err(denied @ Denied::Unavailable(_)) => return Err(Failure::Backend(denied.into())),
    };
    Ok(policy)
}

/// Reads a `$connect`, message or `$disconnect` event.
///
/// # Errors
/// When it is none.
pub fn parse(event: &[u8]) -> Result<Event<'_>, Failure> {
    Event::parse(event).map_err(|error| Failure::Event(error.into()))
}

/// The trace that the connection's authorizer gave along.
pub fn trace(event: &Event<'_>) -> Option<String> {
    let context = event.context();
    let trace = context.authorizer.as_ref()?.get(identity::TRACE)?;
    Some(trace.to_string())
}

/// Answers an event with a proxy response. `name` says what the app calls the connection.
///
/// # Errors
/// When the event carries no identity; or the registry fails, which refuses a `$connect`: nothing
/// fails open.
pub async fn handle(
    runtime: &Runtime,
    event: &Event<'_>,
    name: impl Fn(&RequestContext<'_>) -> ConnectionId,
) -> Result<Handled, Failure> {
    let connection = |context| connection(context, name(context));
    match event {
        Event::Connect(connect) => {
            let connection = connection(&connect.context)?;
            let offered: Vec<String> = offered(&connect.headers);
            let echoed = runtime.connect(&connection, &offered).await;
            let echoed = match echoed {
                Ok(echoed) => echoed,
                Err(refused @ NotConnected::TooMany(_)) => {
                    let owner = &connection.identity.owner;
                    tracing::info!(%owner, %refused, "connection refused");
                    return Ok(Handled {
                        body: write(&Response::status(429)),
                        after: None,
                    });
                }
                Err(NotConnected::Store(error)) => return Err(Failure::Backend(error.into())),
            };
            let mut response = Response::ok();
            if let Some(name) = echoed {
                response = response.with_header(SUBPROTOCOL, name);
            }
            Ok(Handled {
                body: write(&response),
                after: None,
            })
        }
        Event::Message(message) => {
            let connection = Arc::new(connection(&message.context)?);
            let (text, after) = answer(runtime, connection, &message.body).await;
            Ok(Handled {
                body: write(&Response::ok().with_body(String::from_utf8_lossy(&text))),
                after: Some(after),
            })
        }
        Event::Disconnect(disconnect) => {
            let connection = connection(&disconnect.context)?;
            let forgotten = runtime.disconnect(&connection).await;
            forgotten.map_err(|error| Failure::Backend(error.into()))?;
            Ok(Handled {
                body: write(&Response::ok()),
                after: None,
            })
        }
    }
}

/// Answers a message with the text of the reply: what [`handle`] puts into a proxy response, for a
/// gateway in this process.
pub async fn answer(runtime: &Runtime, connection: Arc<Connection>, text: &str) -> (Bytes, After) {
    let reply = runtime.message(Arc::clone(&connection), text).await;
    let after = After {
        connection,
        follow: reply.follow,
        hold: reply.hold,
        following: reply.following,
    };
    (reply.message.to_bytes(), after)
}

/// The gateway's own name of a connection, where one gateway alone is asked about it.
pub fn by_id(context: &RequestContext<'_>) -> ConnectionId {
    ConnectionId::new(context.connection_id.as_ref())
}

/// The connection that an event belongs to, called `id`: the same for all of its messages.
///
/// # Errors
/// When the event carries no identity.
pub fn connection(context: &RequestContext<'_>, id: ConnectionId) -> Result<Connection, Failure> {
    Ok(Connection {
        id,
        identity: identity::decode(context.authorizer.as_ref())
            .map_err(|error| Failure::Event(error.into()))?,
        source_ip: context.identity.source_ip.as_ref().to_owned(),
        user_agent: context
            .identity
            .user_agent
            .as_ref()
            .map(|agent| agent.as_ref().to_owned()),
        connected_at: Timestamp::from_millis(context.connected_at),
    })
}

fn pairs(params: &Params<'_>) -> Vec<(String, String)> {
    let flat = params
        .0
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    flat.map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned()))
        .collect()
}

fn offered(headers: &Params<'_>) -> Vec<String> {
    let values = headers
        .all(SUBPROTOCOL)
        .iter()
        .flat_map(|value| value.split(','));
    values
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn write(answer: &impl serde::Serialize) -> Bytes {
    let mut json = Vec::with_capacity(ANSWER_BYTES);
    if let Err(error) = serde_json::to_writer(&mut json, answer) {
        tracing::error!(%error, "an answer has no JSON form");
        json.clear();
    }
    Bytes::from(json)
}
