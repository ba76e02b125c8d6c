//! In: every backend's promises. Out: whether this one keeps them.

use std::sync::Arc;

use lift::task::conformance;
use lift_aws::dynamodb::tasks::DynamoTasks;

use crate::support::client;
use crate::tables::{local, table};

#[tokio::test]
async fn requests_in_dynamodb_keep_every_backends_promises() {
    let Some(local) = local().await else { return };
    conformance::run_all(async || {
        let client = client(local.endpoint());
        let requests = table(&client, "RequestsTable").await;
        let bodies = table(&client, "BodiesTable").await;
        Arc::new(DynamoTasks::new(client, requests, bodies)) as _
    })
    .await;
}
