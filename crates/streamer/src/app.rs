//! The service as a Lift app: what it is made of comes in, the app goes out.

use async_trait::async_trait;
use lift::action::Action;
use lift::app::App;
use lift::clock::Timestamp;
use lift::identity::{Authenticate, Denied, Handshake, Identity};
use lift::limits::Limits;
use streamer_protocol::SUBPROTOCOL;

use crate::actions::{echo::echo, health::health};
use crate::tasks;
use crate::tasks::bulk_operation::Bulk;
use crate::tasks::export_collection::Exports;
use crate::tasks::generate_report::{self, Reports};
use crate::tasks::process_data::Engine;

/// What the service is made of.
#[derive(Debug)]
pub struct Service {
    /// Runs `process_data`.
    pub engine: Engine,
    /// Runs `generate_report`.
    pub reports: Reports,
    /// What records need, where there is a place for them.
    pub records: Option<Records>,
    /// The limits in force.
    pub limits: Limits,
}

/// What the actions on records need.
#[derive(Debug)]
pub struct Records {
    /// Runs `bulk_operation`.
    pub bulk: Bulk,
    /// Runs `export_collection`.
    pub exports: Exports,
}

/// Lets nobody in: whoever runs the service says who may connect.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Authenticate for Nobody {
    async fn authenticate(&self, _: &Handshake, _: Timestamp) -> Result<Identity, Denied> {
        Err(Denied::Forbidden("nobody may connect here".to_owned()))
    }
}

/// The whole service; nobody may connect until the caller says who.
#[must_use]
pub fn app(service: Service) -> App {
    let process_data = Action::task(tasks::process_data)
        .before(tasks::check_process_data)
        .after(tasks::clean_up);
    let generate_report = Action::task(tasks::generate_report)
        .needs(generate_report::GRANT)
        .before(tasks::check_generate_report)
        .after(tasks::clean_up);
    let app = App::new()
        .authenticate(Nobody)
        .subprotocol(SUBPROTOCOL)
        .limits(service.limits)
        .state(service.engine)
        .state(service.reports)
        .on("echo", echo)
        .on("health", health)
        .action("process_data", process_data)
        .action("generate_report", generate_report);
    match service.records {
        Some(records) => with_records(app, records),
        None => app,
    }
}

fn with_records(app: App, records: Records) -> App {
    let bulk_operation = Action::task(tasks::bulk_operation)
        .before(tasks::check_bulk_operation)
        .after(tasks::clean_up_bulk_operation);
    let export_collection = Action::task(tasks::export_collection)
        .before(tasks::check_export_collection)
        .after(tasks::clean_up);
    app.state(records.bulk)
        .state(records.exports)
        .action("bulk_operation", bulk_operation)
        .action("export_collection", export_collection)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lift::error::Code;
    use streamer_protocol::error::{ErrorCode, Retry};

    #[test]
    fn the_framework_and_the_protocol_have_the_same_codes() {
        let ours: BTreeMap<String, bool> = Code::ALL
            .iter()
            .map(|code| (code.as_str().to_owned(), code.retryable()))
            .collect();
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        let theirs: BTreeMap<String, bool> = ErrorCode::all()
            .map(|code| (code.as_str().to_owned(), code.retry() != Retry::Never))
            .collect();
        assert_eq!(ours, theirs);
    }
}
