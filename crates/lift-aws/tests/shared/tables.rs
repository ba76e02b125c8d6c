//! In: a table's name in `deploy/template.yaml`. Out: an empty one of its shape in the DynamoDB Local of this test binary.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use lift_dev::dynamodb::Client;
use lift_dev::dynamodb::local::Local;
use lift_dev::dynamodb::tables::{Made, make};
use lift_dev::template::{Settings, read};
use tokio::sync::OnceCell;

/// Java starts once for all tests; its leash ends it with this process.
static LOCAL: OnceCell<Option<Local>> = OnceCell::const_new();
static NAMES: AtomicU64 = AtomicU64::new(0);

/// The DynamoDB Local of this test binary, or none, which is said, where there can be none.
pub(crate) async fn local() -> Option<&'static Local> {
    LOCAL
        .get_or_init(crate::dynamodb_local::start)
        .await
        .as_ref()
}

/// Makes a table under a name of its own, which comes back.
pub(crate) async fn table(client: &Client, logical_id: &str) -> String {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/template.yaml");
    // The functions' code, which a template must have, may not be built yet.
    let home = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(template).unwrap();
    let text = text.replace("../target/package/streamer.zip", "bootstrap");
    let template = home.path().join("template.yaml");
    std::fs::write(home.path().join("bootstrap"), "").unwrap();
    std::fs::write(&template, text).unwrap();
    let plan = read(&template, &Settings::default()).unwrap_or_else(|error| panic!("{error:?}"));
    let mut tables = plan.tables.into_iter();
    let mut table = tables
        .find(|table| table.logical_id == logical_id)
        .unwrap_or_else(|| panic!("the template has no `{logical_id}`"));
    table.name = format!("{logical_id}-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    // DynamoDB Local removes what is past its time, and these tests' time is past.
    table.ttl_attribute = None;
    let made = make(client, &table).await;
    assert_eq!(made.unwrap_or_else(|error| panic!("{error}")), Made::New);
    table.name
}
