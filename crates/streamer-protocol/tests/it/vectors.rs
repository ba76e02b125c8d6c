//! Every vector comes in; the types, the limits and the schemas must agree with it.

use serde_json::Value;
use streamer_protocol::{
    limits,
    message::ServerMessage,
    request::ClientMessage,
    schema,
    vectors::{Direction, Stage, Vector, vectors},
};

/// The client's own reading of a client message: what it would refuse to send, or the fields it would send.
fn read(text: &str) -> Result<Value, Vec<String>> {
    let object = text.trim_start().starts_with('{');
    let message: ClientMessage = serde_json::from_str(text).map_err(|_unlocated| Vec::new())?;
    if !object || limits::nesting(text) > limits::NESTING_MAX {
        return Err(Vec::new());
    }
    let problems = message.problems();
    if problems.is_empty() {
        Ok(serde_json::to_value(&message).unwrap())
    } else {
        Err(problems.into_iter().map(|p| p.pointer).collect())
    }
}

fn check_client(vector: &Vector, schema: &jsonschema::Validator) {
    let name = &vector.name;
    match (read(&vector.message), &vector.error) {
        (Ok(found), None) => {
            assert!(vector.valid, "{name}: invalid without an error");
            assert_eq!(Some(&found), vector.parsed.as_ref(), "{name}");
            assert!(schema.is_valid(&found), "{name}: the schema refuses it");
        }
        (Ok(_), Some(_)) => assert_eq!(
            vector.stage,
            Stage::Service,
            "{name}: taken, though invalid"
        ),
        (Err(pointers), Some(error)) => {
            assert!(!vector.valid, "{name}: valid with an error");
            let all_named = pointers.iter().all(|p| error.pointers.contains(p));
            assert!(
                all_named,
                "{name}: {pointers:?} are not {:?}",
                error.pointers
            );
        }
        (Err(pointers), None) => panic!("{name}: refused at {pointers:?}, though valid"),
    }
}

fn check_server(vector: &Vector, schema: &jsonschema::Validator) {
    let name = &vector.name;
    match ServerMessage::parse(&vector.message) {
        // What Streamer itself never sends is never written.
        Ok(ServerMessage::Unknown(_)) => assert!(vector.valid && vector.parsed.is_none(), "{name}"),
        Ok(ServerMessage::GatewayError(frame)) => {
            assert!(vector.valid && vector.parsed.is_none(), "{name}");
            let said = [&frame.message, &frame.connection_id, &frame.request_id];
            assert_eq!(said, ["Internal server error", "c", "r"], "{name}");
        }
        Ok(message) => {
            assert!(vector.valid, "{name}: taken, though invalid");
            assert_eq!(
                Some(serde_json::to_value(&message).unwrap()),
                vector.parsed,
                "{name}"
            );
            let again: ServerMessage = serde_json::from_str(&vector.message).unwrap();
            assert_eq!(again.id(), message.id(), "{name}");
            assert_eq!(again.request_id(), message.request_id(), "{name}");
            let known_code = !name.contains("unknown-code");
            let sent = serde_json::to_value(&message).unwrap();
            assert_eq!(schema.is_valid(&sent), known_code, "{name}: the schema");
        }
        Err(error) => assert!(!vector.valid, "{name}: {error}"),
    }
}

#[test]
fn every_vector_is_read_as_it_says() {
    let client = jsonschema::validator_for(&schema::client_message()).unwrap();
    let server = jsonschema::validator_for(&schema::server_message()).unwrap();
    let all = vectors();
    assert!(all.len() > 150, "only {} vectors were found", all.len());
    for vector in &all {
        match vector.direction {
            Direction::Client => check_client(vector, &client),
            Direction::Server => check_server(vector, &server),
        }
    }
}

#[test]
fn a_payload_travels_as_it_was_written() {
    for payload in [
        "1.0",
        "1e400",
        "123456789012345678901234567890",
        "-0.0",
        r#"{"b":1,"a":1,"a":2}"#,
        r#""\u00e9""#,
    ] {
        let text = format!(r#"{{"action":"echo","payload":{payload}}}"#);
        let message: ClientMessage = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);

        let text = format!(r#"{{"type":"response","id":"c","data":{payload}}}"#);
        let message = ServerMessage::parse(&text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
    }
}
