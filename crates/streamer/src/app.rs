//! The service as a Lift app: what it is made of comes in, the app goes out.

use lift::action::Action;
use lift::app::App;
use lift::limits::Limits;
use streamer_protocol::SUBPROTOCOL;

use crate::actions::{echo::echo, health::health};
use crate::authenticate::TokenAuthenticator;
use crate::tasks;
use crate::tasks::bulk_operation::Bulk;
use crate::tasks::export_collection::Exports;
use crate::tasks::generate_report::{self, Reports};
use crate::tasks::process_data::Engine;

/// What the service is made of.
#[derive(Debug)]
pub struct Service {
    /// Decides who may connect.
    pub authenticator: TokenAuthenticator,
    /// Runs `process_data`.
    pub engine: Engine,
    /// Runs `generate_report`.
    pub reports: Reports,
    /// Runs `bulk_operation`.
    pub bulk: Bulk,
    /// Runs `export_collection`.
    pub exports: Exports,
    /// The limits in force.
    pub limits: Limits,
}

/// The whole service.
#[must_use]
pub fn app(service: Service) -> App {
    let process_data = Action::task(tasks::process_data)
        .before(tasks::check_process_data)
        .after(tasks::clean_up);
    let generate_report = Action::task(tasks::generate_report)
        .needs(generate_report::GRANT)
        .before(tasks::check_generate_report)
        .after(tasks::clean_up);
    let bulk_operation = Action::task(tasks::bulk_operation)
        .before(tasks::check_bulk_operation)
        .after(tasks::clean_up);
    let export_collection = Action::task(tasks::export_collection)
        .before(tasks::check_export_collection)
        .after(tasks::clean_up);
    App::new()
        .authenticate(service.authenticator)
        .subprotocol(SUBPROTOCOL)
        .limits(service.limits)
        .state(service.engine)
        .state(service.reports)
        .state(service.bulk)
        .state(service.exports)
        .on("echo", echo)
        .on("health", health)
        .action("process_data", process_data)
        .action("generate_report", generate_report)
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
