//! In: what this machine has. Out: foreign programs and DynamoDB Local for the tests, or that they are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use lift_dev::dynamodb::local::{Local, find};

/// Whether what is not ours is left out by wish, which is said.
pub(crate) fn skipped_foreign(what: &str) -> bool {
    let skipped = std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1");
    if skipped {
        println!("skipped: {what} (SKIP_FOREIGN=1)");
    }
    skipped
}

/// A DynamoDB Local of its own, or none, which is said, where Java or Maven is missing.
pub(crate) async fn dynamodb_local() -> Option<Local> {
    if skipped_foreign("DynamoDB Local") {
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
