//! Nothing comes in, the files that describe the service to programs go out: `docs/asyncapi.json` and `docs/schemas/`.

use std::collections::BTreeMap;

use serde_json::Value;
use streamer_protocol::schema::{self, Action, Mode, Type};

use crate::actions::health::Health;
use crate::asyncapi;
use crate::tasks::bulk_operation::{self, BulkOperation};
use crate::tasks::export_collection::{self, ExportCollection};
use crate::tasks::generate_report::{self, GenerateReport};
use crate::tasks::process_data::{self, ProcessData};

/// The service's own actions; [`schema::CONTROL`] has the others.
pub const ACTIONS: [Action; 6] = [
    Action {
        name: "echo",
        summary: "Answers with its payload, the same text.",
        mode: Mode::Response,
        grant: None,
        payload: None,
        answer: None,
    },
    Action {
        name: "health",
        summary: "Says that the service is there, and its version.",
        mode: Mode::Response,
        grant: None,
        payload: None,
        answer: Some(Type::of::<Health>()),
    },
    Action {
        name: "process_data",
        summary: "Reads a CSV or NDJSON object, puts its rows through operations, and writes a new object.",
        mode: Mode::Task,
        grant: None,
        payload: Some(Type::of::<ProcessData>()),
        answer: Some(Type::of::<process_data::Outcome>()),
    },
    Action {
        name: "generate_report",
        summary: "Counts the tenant's requests by day and action, as CSV or as a page with charts.",
        mode: Mode::Task,
        grant: Some(generate_report::GRANT),
        payload: Some(Type::of::<GenerateReport>()),
        answer: Some(Type::of::<generate_report::Outcome>()),
    },
    Action {
        name: "bulk_operation",
        summary: "Creates, updates and deletes records of a collection.",
        mode: Mode::Task,
        grant: None,
        payload: Some(Type::of::<BulkOperation>()),
        answer: Some(Type::of::<bulk_operation::Outcome>()),
    },
    Action {
        name: "export_collection",
        summary: "Writes all records of a collection to an object.",
        mode: Mode::Task,
        grant: None,
        payload: Some(Type::of::<ExportCollection>()),
        answer: Some(Type::of::<export_collection::Outcome>()),
    },
];

/// Every file by its path below `docs/`.
#[must_use]
pub fn files() -> BTreeMap<String, Value> {
    let messages = [
        ("client-message", schema::client_message()),
        ("server-message", schema::server_message()),
        ("request", schema::request()),
        ("error", schema::error()),
    ];
    let messages = messages.map(|(name, value)| (format!("schemas/{name}.json"), value));
    let actions = schema::CONTROL.iter().chain(&ACTIONS);
    let actions = actions.flat_map(|action| {
        let document = |end: &str, of: Option<Type>| {
            Some((
                format!("schemas/{}.{end}.json", action.name),
                of?.document(),
            ))
        };
        [
            document("payload", action.payload),
            document("result", action.answer),
        ]
    });
    let asyncapi = ("asyncapi.json".to_owned(), asyncapi::document());
    messages
        .into_iter()
        .chain(actions.flatten())
        .chain([asyncapi])
        .collect()
}
