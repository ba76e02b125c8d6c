//! In: a DynamoDB Local. Out: clients of it, and one that goes through a relay.

use lift_dev::dynamodb::{Client, Credentials};

use crate::relay::Relay;
use crate::tables::local;

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
