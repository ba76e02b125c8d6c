//! In: any text as a client's message or its payload. Out: a panic where the answer is not of the protocol, names a place that is not there, or differs from serde_json's reading.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lift::app::{App, Backends, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::envelope::Envelope;
use lift::error::Error;
use lift::event::Connection;
use lift::extract::Payload;
use lift::id::{ConnectionId, Owner};
use lift::identity::Identity;
use lift::json::Json;
use lift::outbound::Outbound;
use lift::outbound::memory::MemoryPosts;
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::memory::{MemoryResults, MemoryTasks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamer_protocol::error::{ErrorCode, FieldError};
use streamer_protocol::limits;
use streamer_protocol::message::{Failure, ServerMessage};
use streamer_protocol::request::ClientMessage;

/// Messages to one runtime, whose stores would otherwise grow without end.
const MESSAGES_EACH: usize = 500;

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    count: u8,
    ratio: Option<f64>,
    small: Option<f32>,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    tags: BTreeMap<String, u32>,
    free: Option<Value>,
    kind: Option<Kind>,
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    product: String,
    price: Option<i64>,
}

#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Retail,
    Wholesale { from: u64 },
}

async fn order(Payload(order): Payload<Order>) -> Result<Order, Error> {
    Ok(order)
}

async fn raw(payload: Json) -> Result<Json, Error> {
    Ok(payload)
}

struct World {
    tokio: tokio::runtime::Runtime,
    runtime: Runtime,
    connection: Arc<Connection>,
    messages: usize,
}

impl World {
    fn new() -> Self {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let app = App::new()
            .on("order", order)
            .on("raw", raw)
            .task("later", raw);
        let runtime = app.bind(Backends {
            tasks: Arc::new(MemoryTasks::default()),
            connections: Connections::new(MemoryRegistry::default()),
            connection_age_max: Duration::MAX,
            rates: Arc::new(MemoryRates::default()),
            load: Load::default(),
            outbound: Outbound::new(MemoryPosts::default()),
            results: Arc::new(MemoryResults::default()),
            clock: Clock::system(),
        });
        let identity = Identity {
            owner: Owner::new("acme", "ann").expect("both are names"),
            permissions: None,
            expires_at: None,
        };
        let connection = Arc::new(Connection {
            id: ConnectionId::new("c1="),
            identity,
            source_ip: "192.0.2.1".to_owned(),
            user_agent: None,
            connected_at: Timestamp::from_millis(1_795_341_600_000),
        });
        Self {
            tokio: tokio.expect("a runtime without sockets"),
            runtime,
            connection,
            messages: 0,
        }
    }

    fn send(&mut self, text: &str) -> Vec<u8> {
        self.messages += 1;
        let reply = self
            .tokio
            .block_on(self.runtime.message(Arc::clone(&self.connection), text));
        reply.message.to_bytes().to_vec()
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// One run.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match kind % 4 {
        0 => message(text),
        1 => message(&format!(r#"{{"action":"raw","id":"i","payload":{text}}}"#)),
        2 => server_message(text),
        _ => message(&format!(
            r#"{{"action":"order","id":"i","payload":{text}}}"#
        )),
    }
}

/// A message to the service, and to the client's own rules.
fn message(text: &str) {
    let answer = WORLD.with_borrow_mut(|world| {
        if world.messages == MESSAGES_EACH {
            *world = World::new();
        }
        world.send(text)
    });
    let answer = String::from_utf8(answer).expect("answers are UTF-8");
    let read = ServerMessage::parse(&answer).unwrap_or_else(|error| panic!("{answer}: {error}"));
    let envelope = Envelope::parse(text);
    match (&read, &envelope) {
        (ServerMessage::Unknown(_) | ServerMessage::GatewayError(_), _) => {
            panic!("{answer} is not of the protocol")
        }
        (ServerMessage::Error(failure), _) => refused(text, failure),
        (_, Err(rejected)) => panic!("{answer} to what is no envelope: {}", rejected.error),
        (_, Ok(_)) => {}
    }
    if let Ok(envelope) = &envelope {
        let no_payload = envelope.payload.get() == "null";
        assert_eq!(read.id(), envelope.id.as_deref(), "{answer}");
        match (envelope.action.as_str(), &read) {
            ("order", read) => typed(envelope.payload.get(), read),
            ("raw", ServerMessage::Response(response)) => {
                assert_eq!(
                    response.data.get(),
                    envelope.payload.get(),
                    "a payload is not altered"
                );
            }
            ("later", ServerMessage::Acknowledgment(_)) | (_, ServerMessage::Error(_)) => {}
            ("ping", ServerMessage::Pong(_)) => {}
            (action, ServerMessage::Response(_)) if action.starts_with("request.") => {}
            (_, read) => panic!("{read:?} to {text}, payload absent: {no_payload}"),
        }
    }
    the_client_agrees(text, envelope.ok().as_ref());
}

/// The error is of the closed set, and every place that it names is in the message, or missing
/// from an object of it.
fn refused(text: &str, Failure { error, .. }: &Failure) {
    assert!(
        !matches!(error.code, ErrorCode::Unknown(_) | ErrorCode::InternalError),
        "{error:?} to {text}"
    );
    assert_eq!(
        error.fields.is_empty(),
        error.code != ErrorCode::ValidationError,
        "{error:?} to {text}"
    );
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return;
    };
    for FieldError { pointer, .. } in &error.fields {
        let (parent, _) = pointer
            .rsplit_once('/')
            .expect("a pointer into the message");
        let absent_payload =
            message.get("payload").is_none_or(Value::is_null) && parent == "/payload";
        let there = message.pointer(pointer).is_some();
        let missing = error
            .fields
            .iter()
            .any(|field| field.pointer == *pointer && field.message.contains("required"));
        let parent_there = absent_payload || message.pointer(parent).is_some();
        assert!(
            there || missing && parent_there,
            "{pointer} is not in {text}: {error:?}"
        );
    }
}

/// serde_json reads the same, but for what a payload's documentation refuses beyond it.
fn typed(payload: &str, read: &ServerMessage) {
    // serde_json reads `-0` as a float; here it is the integer 0, wherever one is asked for.
    if payload.contains("-0") {
        return;
    }
    let plain = serde_json::from_str::<Order>(payload);
    match (read, plain) {
        (ServerMessage::Response(response), Ok(plain)) => {
            let strict: Order = serde_json::from_str(response.data.get()).expect("an order");
            assert_eq!(strict, plain, "{payload}");
        }
        (ServerMessage::Error(failure), Ok(_)) => {
            let stricter = |field: &FieldError| {
                [
                    "more than once",
                    "held exactly",
                    "invalid type: sequence",
                    "exactly one key",
                ]
                .iter()
                .any(|reason| field.message.contains(reason))
            };
            let told = &failure.error.fields;
            assert!(
                told.iter().any(stricter),
                "{payload} is an order: {:?}",
                failure.error
            );
        }
        (ServerMessage::Response(_), Err(error)) => panic!("{payload} is no order: {error}"),
        _ => {}
    }
}

/// A client refuses what the server refuses, and sends what it reads.
fn the_client_agrees(text: &str, envelope: Option<&Envelope>) {
    let message = serde_json::from_str::<ClientMessage>(text).ok();
    let object = text.trim_start().starts_with('{') && limits::nesting(text) <= limits::NESTING_MAX;
    let message = message.filter(|message| object && message.problems().is_empty());
    if let (Some(message), Some(envelope)) = (&message, envelope) {
        let again = serde_json::to_string(message).expect("text keys and raw values");
        let again = Envelope::parse(&again)
            .unwrap_or_else(|rejected| panic!("{again}: {}", rejected.error));
        assert_eq!(again, *envelope, "{text}");
    }
    assert_eq!(
        message.is_some(),
        envelope.is_some(),
        "client and server differ about {text}"
    );
}

/// A server's message: written and read again, it is the same text. What it does not send is never written.
fn server_message(text: &str) {
    let Ok(read) = ServerMessage::parse(text) else {
        return;
    };
    if matches!(
        read,
        ServerMessage::Unknown(_) | ServerMessage::GatewayError(_)
    ) {
        return;
    }
    let written = serde_json::to_string(&read).expect("text keys and raw values");
    let again = ServerMessage::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(serde_json::to_string(&again).expect("as before"), written);
    assert_eq!(
        (again.id(), again.request_id()),
        (read.id(), read.request_id())
    );
}
