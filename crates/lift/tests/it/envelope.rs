//! The shared test vectors: every client message is read, or refused, as its file says.

use std::fs;
use std::path::Path;

use lift::app::App;
use lift::envelope::Envelope;
use lift::error::Error;
use lift::json::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{Client, World, places};

#[derive(Deserialize)]
struct Vector {
    direction: String,
    #[serde(default)]
    stage: Option<String>,
    valid: bool,
    message: String,
    parsed: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    pointers: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Option<String>>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The vectors lie with the protocol's own types, which this crate does not know.
fn vectors() -> Vec<(String, Vector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../streamer-protocol/vectors");
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let read = json.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let vector = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (
            path.file_stem().unwrap().to_string_lossy().into_owned(),
            vector,
        )
    });
    read.collect()
}

/// An app with the actions that the vectors speak of.
fn service() -> World {
    async fn echo(payload: Json) -> Result<Json, Error> {
        Ok(payload)
    }
    let app = App::new()
        .on("health", echo)
        .on("echo", echo)
        .task("process_data", echo);
    World::new(app)
}

/// The envelope as an object, its absent fields left out.
fn fields(envelope: &Envelope) -> Value {
    let mut fields = json!({"action": envelope.action});
    let mut set = |name: &str, value: Value| fields[name] = value;
    if let Some(id) = &envelope.id {
        set("id", json!(id));
    }
    if envelope.payload != Json::null() {
        set(
            "payload",
            serde_json::from_str(envelope.payload.get()).unwrap(),
        );
    }
    if let Some(key) = &envelope.idempotency_key {
        set("idempotency_key", json!(key));
    }
    if let Some(timeout) = envelope.timeout {
        set("timeout_ms", json!(timeout.as_millis()));
    }
    if !envelope.metadata.is_empty() {
        set("metadata", json!(envelope.metadata));
    }
    fields
}

async fn check(client: &Client, name: &str, vector: &Vector) {
    let service = vector.stage.as_deref() == Some("service");
    if vector.valid {
        let envelope = Envelope::parse(&vector.message)
            .unwrap_or_else(|rejected| panic!("{name}: {:?}", rejected.error));
        let mut parsed = vector
            .parsed
            .clone()
            .expect("a valid message says something");
        if parsed["metadata"] == json!({}) {
            parsed.as_object_mut().unwrap().remove("metadata");
        }
        assert_eq!(fields(&envelope), parsed, "{name}");
        if service {
            let answer = client.send(&vector.message).await;
            assert_ne!(answer["type"], "error", "{name}: {answer}");
        }
        return;
    }
    let refusal = vector
        .error
        .as_ref()
        .expect("an invalid message has an error");
    if !service {
        assert!(Envelope::parse(&vector.message).is_err(), "{name}");
    }
    let answer = client.send(&vector.message).await;
    assert_eq!(answer["type"], "error", "{name}: {answer}");
    assert_eq!(
        answer["error"]["code"],
        json!(refusal.code),
        "{name}: {answer}"
    );
    let (mut named, mut expected) = (places(&answer), refusal.pointers.clone());
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected, "{name}: {answer}");
    if let Some(id) = &refusal.id {
        assert_eq!(
            answer.get("id"),
            id.as_ref().map(|id| json!(id)).as_ref(),
            "{name}"
        );
    }
    assert_eq!(answer.get("request_id"), None, "{name}: {answer}");
}

#[tokio::test(start_paused = true)]
async fn every_client_vector_is_read_as_it_says() {
    let world = service();
    let client = world.connect("c1=", "ann");
    let vectors = vectors();
    let of_clients = vectors
        .iter()
        .filter(|(_, vector)| vector.direction == "client");
    let mut count = 0;
    for (name, vector) in of_clients {
        check(&client, name, vector).await;
        count += 1;
    }
    assert!(count > 100, "only {count} vectors were found");
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_carried_as_it_was_written() {
    let client = service().connect("c1=", "ann");
    for payload in [
        "1.0",
        "1e400",
        "123456789012345678901234567890",
        "-0.0",
        r#"{"b":1,"a":1,"a":2}"#,
        r#""\u00e9\ud83d\ude00""#,
        r#"{ "a" : [ 1 , 2 ] }"#,
    ] {
        let text = format!(r#"{{"id":"c","action":"echo","payload":{payload}}}"#);
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!(envelope.payload.get(), payload);
        assert_ne!(
            client.send_raw(&text).await.find(payload),
            None,
            "{payload}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_ten_fields_are_named() {
    let client = service().connect("c1=", "ann");
    let metadata: serde_json::Map<String, Value> =
        (0..14).map(|n| (format!("k{n}"), json!(n))).collect();
    let message = json!({"id": 1, "action": 2, "metadata": metadata, "timeout_ms": "x"});
    let answer = client.send(&message.to_string()).await;
    assert_eq!(places(&answer).len(), 10, "{answer}");
}
