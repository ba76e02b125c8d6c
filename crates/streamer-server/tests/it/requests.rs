//! A request after its acknowledgment: the same key again, cancel, resume, get and list.

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::orders;

/// Rows that a debug build needs seconds for.
const MANY: u64 = 400_000;

#[tokio::test]
async fn the_same_idempotency_key_finds_the_same_request() {
    let home = Home::new();
    let server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 1_000, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let submit = |id: &str, output: &str| {
        json!({
            "id": id, "action": "process_data", "idempotency_key": "k-1",
            "payload": orders::payload("in.csv", output),
        })
    };
    let first = ada.ask(submit("a", "out.csv")).await;
    assert_eq!(first["duplicate"], false, "{first}");
    let request = first["request_id"].as_str().unwrap();
    let end = ada.ended(request).await.message;
    // On another connection, when the output that it made is there already.
    let mut again = server.connect(&home.token("ada", "acme")).await;
    let second = again.ask(submit("b", "out.csv")).await;
    assert_eq!(second["type"], "acknowledgment", "{second}");
    assert_eq!(
        (&second["request_id"], &second["id"]),
        (&first["request_id"], &json!("b"))
    );
    assert_eq!(
        (&second["duplicate"], &second["status"]),
        (&json!(true), &json!("completed"))
    );
    assert_eq!(
        again.ended(request).await.message,
        end,
        "the terminal message is told again"
    );
    let other = again.ask(submit("c", "other.csv")).await;
    assert_eq!(other["error"]["code"], "IDEMPOTENCY_CONFLICT", "{other}");
    let mut bob = server.connect(&home.token("bob", "acme")).await;
    let answer = bob.ask(submit("d", "bobs.csv")).await;
    assert_eq!(
        answer["duplicate"], false,
        "a key belongs to its user: {answer}"
    );
}

#[tokio::test]
async fn a_cancelled_request_stops_and_leaves_nothing() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), MANY, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    ada.progress(&request).await;
    let one = json!({"request_id": request});
    let cancelling = ada.call("request.cancel", one.clone()).await;
    assert_eq!(cancelling["cancel_requested"], true, "{cancelling}");
    let end = ada.ended(&request).await.message;
    assert_eq!(end["type"], "cancelled", "{end}");
    assert!(end["seq"].is_u64(), "{end}");
    let again = ada.call("request.cancel", one.clone()).await;
    assert_eq!(
        again,
        json!({"request_id": request, "state": "cancelled", "cancel_requested": false})
    );
    assert_eq!(ada.call("request.get", one).await["state"], "cancelled");
    assert!(!folder.join("out.csv").exists());
    // The name is free again.
    orders::write(&folder.join("in.csv"), 10, 1);
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    assert_eq!(ada.ended(&request).await.message["type"], "complete");
}

#[tokio::test]
async fn a_client_that_comes_back_hears_the_rest() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let folder = home.objects("acme");
    orders::write(&folder.join("in.csv"), MANY / 2, 1);
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let seen = ada.progress(&request).await;
    drop(ada);
    let mut ada = server.connect(&token).await;
    let resumed = ada.resume(&request, seen["seq"].as_u64().unwrap()).await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    let end = ada.ended(&request).await;
    assert_eq!(end.message["type"], "complete", "{}", end.message);
    let heard = end.progress.iter().map(|progress| &progress["seq"]);
    assert!(
        heard.clone().all(|seq| seq.as_u64() > seen["seq"].as_u64()),
        "{seen} {:?}",
        end.progress
    );
    orders::check(&folder.join("in.csv"), &folder.join("out.csv"));
    // Once more, when all is over: the terminal message, or nothing to one who has seen it.
    let mut late = server.connect(&token).await;
    assert_eq!(late.resume(&request, 0).await["state"], "completed");
    assert_eq!(late.ended(&request).await.message, end.message);
    let seq = end.message["seq"].as_u64().unwrap();
    assert_eq!(late.resume(&request, seq).await["state"], "completed");
    assert_eq!(late.call("echo", json!(1)).await, 1);
    late.send(&json!({"action": "echo", "payload": 2})).await;
    assert_eq!(
        late.next().await["data"],
        2,
        "nothing is told twice to one who has seen it"
    );
}

#[tokio::test]
async fn lists_are_the_callers_own_newest_first_by_pages() {
    let home = Home::new();
    let server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 10, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let mut made = Vec::new();
    for n in 0..5 {
        let request = ada
            .submit(
                "process_data",
                orders::payload("in.csv", &format!("{n}.csv")),
            )
            .await;
        ada.ended(&request).await;
        made.insert(0, request);
    }
    let (mut found, mut payload) = (Vec::new(), json!({"limit": 2, "state": "completed"}));
    loop {
        let page = ada.call("request.list", payload.clone()).await;
        for one in page["requests"].as_array().unwrap() {
            assert_eq!(
                (&one["action"], &one["result"]),
                (&json!("process_data"), &Value::Null)
            );
            found.push(one["request_id"].as_str().unwrap().to_owned());
        }
        match page.get("cursor") {
            Some(cursor) => payload["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(found, made);
    let none = ada.call("request.list", json!({"state": "failed"})).await;
    assert_eq!(none, json!({"requests": []}));
    for (bad, pointer) in [
        (json!({"limit": 0}), "/payload/limit"),
        (json!({"cursor": "x"}), "/payload/cursor"),
    ] {
        let error = ada.refused("request.list", bad).await;
        assert_eq!(error["fields"][0]["pointer"], pointer, "{error}");
    }
}
