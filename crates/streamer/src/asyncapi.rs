//! The actions and messages come in; one AsyncAPI 3.0 document goes out.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use streamer_protocol::SUBPROTOCOL;
use streamer_protocol::request::ClientMessage;
use streamer_protocol::schema::{Action, CONTROL, Mode, SERVER, Type};

use crate::schemas::ACTIONS;

/// What is said of the service as a whole.
const DESCRIPTION: &str = "Short requests are answered at once, long ones run durably with live progress. \
    docs/protocol.md has the rules; the schemas here are those of the types that the server and its client use.";

/// The document. Its schemas are JSON Schema draft-07, AsyncAPI's own format.
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut parts = Parts {
        generator: settings.into_generator(),
        messages: Map::new(),
        operations: Map::new(),
    };
    for (kind, of) in SERVER {
        let rest = json!({ "properties": { "type": { "const": kind } }, "required": ["type"] });
        parts.message(kind, &format!("The server's `{kind}`."), of, &rest);
    }
    for action in CONTROL.iter().chain(&ACTIONS) {
        parts.action(action);
    }
    let closing = Value::Object(Parts::operation("send", &["going_away"]));
    parts.operations.insert("going_away".to_owned(), closing);
    let mut generator = parts.generator;
    let names = parts.messages.keys();
    let in_channel = names.map(|name| (name.clone(), reference("/components/messages", name)));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streamer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:7070",
                "protocol": "ws",
                "security": [{ "$ref": "#/components/securitySchemes/token" }],
            },
        },
        "channels": {
            "socket": {
                "address": "/",
                "description": format!("One WebSocket; subprotocol `{SUBPROTOCOL}`, text frames of JSON."),
                "messages": in_channel.collect::<Map<_, _>>(),
                "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
            },
        },
        "operations": parts.operations,
        "components": {
            "messages": parts.messages,
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#{place}/{name}") })
}

struct Parts {
    generator: SchemaGenerator,
    messages: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Parts {
    /// Adds a message: a type, and what more holds of it.
    fn message(&mut self, name: &str, summary: &str, of: Type, rest: &Value) {
        let payload = json!({ "allOf": [of.part(&mut self.generator), rest] });
        let message = json!({ "name": name, "summary": summary, "payload": payload });
        self.messages.insert(name.to_owned(), message);
    }

    fn operation(direction: &str, messages: &[&str]) -> Map<String, Value> {
        let mut operation = Map::new();
        operation.insert("action".to_owned(), json!(direction));
        operation.extend(on_channel(messages));
        operation
    }

    /// Adds what a client sends for an action, and what it hears.
    fn action(&mut self, action: &Action) {
        let name = action.name;
        let mut fields = Map::new();
        fields.insert("action".to_owned(), json!({ "const": name }));
        if let Some(payload) = action.payload {
            fields.insert("payload".to_owned(), payload.part(&mut self.generator));
        }
        let rest = json!({ "properties": fields });
        self.message(name, action.summary, Type::of::<ClientMessage>(), &rest);
        let told = match action.mode {
            Mode::Pong => "pong".to_owned(),
            Mode::Response => self.answer(action, "response", "data"),
            Mode::Task => self.answer(action, "complete", "result"),
        };
        let answers = match action.mode {
            Mode::Pong => vec!["pong"],
            Mode::Response => vec![told.as_str(), "error"],
            Mode::Task => vec!["acknowledgment", "error"],
        };
        let mut asked = Self::operation("receive", &[name]);
        asked.insert("summary".to_owned(), json!(action.summary));
        asked.insert("reply".to_owned(), Value::Object(on_channel(&answers)));
        if let Some(grant) = action.grant {
            let needs = format!("A token must name the grant `{grant}` beside the action.");
            asked.insert("description".to_owned(), json!(needs));
            asked.insert("x-grant".to_owned(), json!(grant));
        }
        self.operations
            .insert(name.to_owned(), Value::Object(asked));
        if action.mode == Mode::Task {
            let told = Self::operation("send", &["progress", &told, "cancelled", "error"]);
            let name = format!("{name}.told");
            self.operations.insert(name, Value::Object(told));
        }
    }

    /// The message that brings an action's answer; the plain one where the answer is any JSON.
    fn answer(&mut self, action: &Action, kind: &str, field: &str) -> String {
        let Some((answer, of)) = action.answer.zip(named(kind)) else {
            return kind.to_owned();
        };
        let mut fields = Map::new();
        fields.insert("type".to_owned(), json!({ "const": kind }));
        fields.insert(field.to_owned(), answer.part(&mut self.generator));
        let rest = json!({ "properties": fields, "required": ["type"] });
        let name = format!("{}.{kind}", action.name);
        let summary = format!("The `{kind}` of `{}`.", action.name);
        self.message(&name, &summary, of, &rest);
        name
    }
}

/// The one channel, with some of its messages.
fn on_channel(messages: &[&str]) -> Map<String, Value> {
    let messages = messages.iter();
    let messages = messages.map(|name| reference("/channels/socket/messages", name));
    let channel = json!({ "$ref": "#/channels/socket" });
    Map::from_iter([
        ("channel".to_owned(), channel),
        ("messages".to_owned(), Value::Array(messages.collect())),
    ])
}

fn named(kind: &str) -> Option<Type> {
    let mut known = SERVER.iter();
    known.find(|(name, _)| *name == kind).map(|(_, of)| *of)
}
