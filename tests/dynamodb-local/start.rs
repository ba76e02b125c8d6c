//! In: what this machine has. Out: a DynamoDB Local for tests, or that they are skipped, which is said. Tests of several crates have it by its path.

use std::path::{Path, PathBuf};
use std::process::Command;

use lift_dev::dynamodb::local::{Local, find};

/// A DynamoDB Local of its own, or none where Java or Maven is missing, or `SKIP_FOREIGN=1`.
pub(crate) async fn start() -> Option<Local> {
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: DynamoDB Local (SKIP_FOREIGN=1)");
        return None;
    }
    let configured = std::env::var_os("LIFT_DYNAMODB_LOCAL").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dynamodb-local/jars");
    for (tool, needed) in [
        ("java", true),
        ("mvn", configured.is_none() && !ours.exists()),
    ] {
        if needed && Command::new(tool).arg("-version").output().is_err() {
            println!("skipped: DynamoDB Local (`{tool}` is not installed)");
            return None;
        }
    }
    let jars = find(Some(configured.as_deref().unwrap_or(&ours)), Path::new(""));
    let started = Local::start(&jars.unwrap_or_else(|error| panic!("{error}"))).await;
    Some(started.unwrap_or_else(|error| panic!("{error}")))
}
