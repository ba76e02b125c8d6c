//! A server that goes away and comes back: orderly, or by `kill -9`.

use crate::server::{Data, deduplicate, in_time};

#[tokio::test]
async fn a_killed_servers_task_goes_on_from_its_checkpoint_and_ends_once() {
    let data = Data::new();
    data.orders(300_000);
    let server = data.serve().await;
    let token = data.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada.submit(deduplicate("clean.csv")).await;
    ada.until(|message| {
        message["percentage"]
            .as_f64()
            .is_some_and(|done| done > 20.0)
    })
    .await;
    let address = server.address.clone();
    server.kill().await;
    let server = data.serve_with(&["--listen", &address]).await;
    let mut ada = server.connect(&token).await;
    assert_eq!(ada.resume(&request).await["recovered"], true);
    let end = ada.ended(&request).await;
    assert_eq!(end["type"], "complete", "{end}");
    assert!(
        end["seq"].as_u64().unwrap() > 1_000_000,
        "a later claim ended it: {end}"
    );
    assert_eq!(end["result"]["rows_in"], 300_000);
    let mut again = server.connect(&token).await;
    again.resume(&request).await;
    assert_eq!(
        again.ended(&request).await,
        end,
        "the end is told the same again"
    );
}

#[tokio::test]
async fn a_drain_tells_clients_gives_tasks_back_and_closes_with_1012() {
    let data = Data::new();
    data.orders(400_000);
    let mut server = data.serve().await;
    let token = data.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada.submit(deduplicate("clean.csv")).await;
    ada.until(|message| message["type"] == "progress").await;
    server.signal("-TERM");
    ada.until(|message| message["type"] == "going_away").await;
    let code = loop {
        match ada.read().await {
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!(code, 1012);
    let ended = in_time("the drain", server.process.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");
    let server = data.serve().await;
    let mut ada = server.connect(&token).await;
    ada.resume(&request).await;
    let end = ada.ended(&request).await;
    assert_eq!(end["type"], "complete", "{end}");
}
