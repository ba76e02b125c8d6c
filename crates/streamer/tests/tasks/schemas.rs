//! The files that describe the service come in; they must be those of the types, whole, and valid by their own rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lift::limits::Limits;
use serde_json::Value;
use streamer::auth::{KeySource, Secret, Tenants, Verifier, VerifierConfig};
use streamer::tasks::bulk_operation::{self, Bulk, Collections};
use streamer::tasks::export_collection::Exports;
use streamer::tasks::generate_report::{self, Reports};
use streamer::tasks::process_data::{self, Engine};
use streamer::{Records, Service, TokenAuthenticator, TokenRules, schemas};
use streamer_protocol::schema::Mode;

use crate::place::objects;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn written() -> BTreeMap<String, Value> {
    let docs = root().join("docs");
    let mut names = vec!["asyncapi.json".to_owned()];
    for entry in std::fs::read_dir(docs.join("schemas")).unwrap() {
        names.push(format!("schemas/{}", entry.unwrap().file_name().display()));
    }
    // The load tester's own; its tests hold them.
    names.retain(|name| !name.starts_with("schemas/load-"));
    let read = |name: String| {
        let text = std::fs::read_to_string(docs.join(&name)).unwrap();
        (name, serde_json::from_str(&text).unwrap())
    };
    names.into_iter().map(read).collect()
}

#[test]
fn the_files_are_those_of_the_types() {
    let (written, made) = (written(), schemas::files());
    let names = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&written),
        names(&made),
        "`cargo x schemas` writes them anew"
    );
    for (name, value) in made {
        assert!(
            written[&name] == value,
            "docs/{name} is stale: `cargo x schemas` writes it anew"
        );
    }
}

#[test]
fn every_schema_is_one_and_every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for (name, value) in written() {
        let mut found = Vec::new();
        references(&value, &mut found);
        for pointer in found {
            let place = pointer.strip_prefix('#').unwrap();
            assert!(value.pointer(place).is_some(), "docs/{name}: {pointer}");
        }
        if name.starts_with("schemas/") {
            jsonschema::meta::validate(&value)
                .unwrap_or_else(|error| panic!("docs/{name}: {error}"));
        }
    }
}

/// The specification's own schema comes with npm `@asyncapi/specs`.
#[test]
fn the_asyncapi_document_is_valid_by_the_specifications_own_schema() {
    // Not a setting of Streamer's: it counts the test as run where the registries cannot be reached.
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: @asyncapi/specs (SKIP_FOREIGN=1)");
        return;
    }
    let path = root().join("tests/foreign/node_modules/@asyncapi/specs/schemas/3.0.0.json");
    let text = std::fs::read_to_string(&path);
    let text = text.expect("@asyncapi/specs is there; npm install --prefix tests/foreign");
    let mut rules: Value = serde_json::from_str(&text).unwrap();
    // The file names draft-07 without the `#` that is part of its name.
    rules["$schema"] = Value::from("http://json-schema.org/draft-07/schema#");
    let rules = jsonschema::validator_for(&rules).unwrap();
    let check = |document: &Value| {
        let errors = rules.iter_errors(document);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect::<Vec<_>>()
    };
    let mut document = written()["asyncapi.json"].clone();
    assert_eq!(check(&document), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/asyncapi", Value::from("3.9.0")),
        ("/operations/echo/action", Value::from("shout")),
        ("/components/messages/echo/payload", Value::from("text")),
        ("/channels/socket/address", Value::from(1)),
    ] {
        let place = document.pointer_mut(pointer).unwrap();
        let right = std::mem::replace(place, wrong);
        assert_ne!(
            check(&document),
            Vec::<String>::new(),
            "a wrong {pointer} is seen"
        );
        *document.pointer_mut(pointer).unwrap() = right;
    }
}

#[test]
fn the_described_actions_are_those_of_the_app() {
    let dir = tempfile::tempdir().unwrap();
    let objects = objects(dir.path());
    let verifier = VerifierConfig {
        keys: vec![KeySource::Secret(Secret(vec![7; 64]))],
        algorithms: Vec::new(),
        issuer: None,
        audience: None,
        tenants: Tenants::Any,
        require_permissions: false,
    };
    let verifier = Arc::new(Verifier::new(verifier).unwrap());
    let collections = Collections::open(dir.path()).unwrap();
    let service = Service {
        engine: Engine::new(objects.clone(), process_data::Options::default()),
        reports: Reports::new(objects.clone(), generate_report::Options::default()),
        records: Some(Records {
            exports: Exports::new(objects.clone(), collections.clone()),
            bulk: Bulk::new(objects, collections, bulk_operation::Options::default()),
        }),
        limits: Limits::default(),
    };
    let tokens = TokenAuthenticator::new(verifier, TokenRules::default());
    let app = streamer::app(service).authenticate(tokens);
    let of_app: Vec<_> = app
        .actions()
        .iter()
        .map(|(name, action)| {
            (
                name.as_str(),
                action.is_sync(),
                action.grant(),
                action.schema().cloned(),
            )
        })
        .collect();
    let mut described: Vec<_> = schemas::ACTIONS
        .iter()
        .map(|action| {
            let schema = action.payload.map(|payload| payload.document());
            (
                action.name,
                action.mode == Mode::Response,
                action.grant,
                schema,
            )
        })
        .collect();
    described.sort_by_key(|(name, ..)| *name);
    assert_eq!(of_app, described);
}
