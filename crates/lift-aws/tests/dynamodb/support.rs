//! In: what this machine has. Out: one DynamoDB Local for all tests, and tables of the template in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use lift_dev::dynamodb::local::{Local, find};
use lift_dev::dynamodb::tables::make;
use lift_dev::dynamodb::{Client, Credentials};
use lift_dev::template::{Settings, read};
use tokio::sync::OnceCell;

use crate::relay::Relay;

static LOCAL: OnceCell<Option<Local>> = OnceCell::const_new();
static NAMES: AtomicU64 = AtomicU64::new(0);

/// The DynamoDB Local of this test binary, or none, which is said, where Java or Maven is missing. It ends
/// with this process.
pub(crate) async fn local() -> Option<&'static Local> {
    LOCAL.get_or_init(start).await.as_ref()
}

async fn start() -> Option<Local> {
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: DynamoDB Local (SKIP_FOREIGN=1)");
        return None;
    }
    let configured = std::env::var_os("LIFT_DYNAMODB_LOCAL").map(PathBuf::from);
    let ours = repository().join("tests/dynamodb-local/jars");
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

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Makes a table of `deploy/template.yaml` under a name of its own, which comes back.
pub(crate) async fn table(client: &Client, logical_id: &str) -> String {
    let template = repository().join("deploy/template.yaml");
    let plan = read(&template, &Settings::default()).unwrap_or_else(|error| panic!("{error:?}"));
    let mut tables = plan.tables.into_iter();
    let mut table = tables
        .rfind(|table| table.logical_id == logical_id)
        .unwrap_or_else(|| panic!("the template has no `{logical_id}`"));
    let n = NAMES.fetch_add(1, Ordering::Relaxed);
    table.name = format!("{logical_id}{n}");
    // DynamoDB Local removes what is past its time, and these tests' time is past.
    table.ttl_attribute = None;
    let made = make(client, &table).await;
    made.unwrap_or_else(|error| panic!("{error}"));
    table.name
}

/// A client of an endpoint, with connections of its own.
pub(crate) fn client(endpoint: &str) -> Client {
    let credentials = Credentials {
        access_key: "local".to_owned(),
        secret_key: "local".to_owned(),
        session_token: None,
    };
    Client::new(endpoint, "eu-west-1", credentials).unwrap()
}

/// A relay before DynamoDB Local, and a client of each.
pub(crate) async fn relayed() -> Option<(Relay, Client, Client)> {
    let local = local().await?;
    let relay = Relay::start(local.endpoint()).await;
    let through = client(relay.url());
    Some((relay, through, client(local.endpoint())))
}
