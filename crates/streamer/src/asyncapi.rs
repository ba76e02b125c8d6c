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
        parts.message(kind, &format!("The server's `{kind}`."), of, rest);
    }
    for action in CONTROL.iter().chain(&ACTIONS) {
        parts.action(action);
    }
    let closing = parts.operation("send", &["going_away"]);
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
    fn message(&mut self, name: &str, summary: &str, of: Type, rest: Value) {
        let payload = json!({ "allOf": [of.part(&mut self.generator), rest] });
        let message = json!({ "name": name, "summary": summary, "payload": payload });
        self.messages.insert(name.to_owned(), message);
    }

    fn operation(&self, direction: &str, messages: &[&str]) -> Value {
        let place = "/channels/socket/messages";
        let messages = messages.iter().map(|name| reference(place, name));
        json!({
            "action": direction,
            "channel": { "$ref": "#/channels/socket" },
            "messages": messages.collect::<Vec<_>>(),
        })
    }

    /// Adds what a client sends for an action, and what it hears.
    fn action(&mut self, action: &Action) {
        let name = action.name;
        let mut rest = json!({ "properties": { "action": { "const": name } } });
        if let Some(payload) = action.payload {
            rest["properties"]["payload"] = payload.part(&mut self.generator);
        }
        self.message(name, action.summary, Type::of::<ClientMessage>(), rest);
        let told = match action.mode {
            Mode::Pong => "pong".to_owned(),
            Mode::Response => self.answer(action, "response", "data"),
            Mode::Task => self.answer(action, "complete", "result"),
        };
        let mut asked = self.operation("receive", &[name]);
        let answers = match action.mode {
            Mode::Pong => vec!["pong"],
            Mode::Response => vec![told.as_str(), "error"],
            Mode::Task => vec!["acknowledgment", "error"],
        };
        let answers = answers
            .iter()
            .map(|name| reference("/channels/socket/messages", name));
        asked["summary"] = json!(action.summary);
        asked["reply"] = json!({
            "channel": { "$ref": "#/channels/socket" },
            "messages": answers.collect::<Vec<_>>(),
        });
        if let Some(grant) = action.grant {
            asked["description"] = json!(format!(
                "A token must name the grant `{grant}` beside the action."
            ));
            asked["x-grant"] = json!(grant);
        }
        self.operations.insert(name.to_owned(), asked);
        if action.mode == Mode::Task {
            let told = self.operation("send", &["progress", &told, "cancelled", "error"]);
            self.operations.insert(format!("{name}.told"), told);
        }
    }

    /// The message that brings an action's answer; the plain one where the answer is any JSON.
    fn answer(&mut self, action: &Action, kind: &str, field: &str) -> String {
        let Some((answer, of)) = action.answer.zip(named(kind)) else {
            return kind.to_owned();
        };
        let mut rest = json!({ "properties": { "type": { "const": kind } }, "required": ["type"] });
        rest["properties"][field] = answer.part(&mut self.generator);
        let name = format!("{}.{kind}", action.name);
        let summary = format!("The `{kind}` of `{}`.", action.name);
        self.message(&name, &summary, of, rest);
        name
    }
}

fn named(kind: &str) -> Option<Type> {
    SERVER
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, of)| *of)
}
