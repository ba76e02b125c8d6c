//! What is said about a request: the fields of every message, their `seq`, and idempotency.

use std::time::Duration;

use lift::app::App;
use lift::error::{Code, Error};
use lift::json::Json;
use lift::task::handle::{Stopped, Task};
use lift::task::progress::Update;
use lift::task::store::TaskStore;
use lift::task::transition::Transition;
use lift::task::worker::Delivery;
use serde_json::json;

use crate::world::World;

async fn echo(payload: Json) -> Result<Json, Error> {
    Ok(payload)
}

async fn nothing() -> Result<(), Error> {
    Ok(())
}

/// Says 10 and 20 percent, 100 ms and more apart, then ends.
async fn steps(task: Task) -> Result<&'static str, Stopped> {
    task.progress(10.0, "ten").await?;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let update = Update {
        percentage: 20.5,
        message: "twenty".to_owned(),
        metadata: Some(Json::of(&json!({"rows": 5})).unwrap()),
    };
    task.update(update).await?;
    tokio::time::sleep(Duration::from_millis(150)).await;
    Ok("done")
}

async fn fails() -> Result<(), Error> {
    let error = Error::new(Code::TaskFailed, "row 3 is no number");
    Err(error.with_details(&json!({"row": 3})))
}

fn world() -> World {
    let app = App::new()
        .on("echo", echo)
        .on("nothing", nothing)
        .task("steps", steps)
        .task("fails", fails)
        .task("other", steps);
    World::new(app)
}

#[tokio::test(start_paused = true)]
async fn a_sync_answer_has_the_request_and_the_message_id() {
    let client = world().connect("c1=", "ann");
    let answer =
        json!({"type": "response", "request_id": "<ulid>", "id": "c-1", "data": {"a": [1]}});
    let message = r#"{"id":"c-1","action":"echo","payload":{"a":[1]}}"#;
    client.check(message, &answer).await;
    let answer = json!({"type": "response", "request_id": "<ulid>", "data": null});
    client.check(r#"{"action":"nothing"}"#, &answer).await;
    client.check_inbox(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_acknowledged_then_told_of_until_it_ends() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let acknowledgment = json!({"type": "acknowledgment", "request_id": "<ulid>", "id": "c-1",
        "status": "queued", "duplicate": false});
    let message = r#"{"id":"c-1","action":"steps"}"#;
    client.check(message, &acknowledgment).await;
    assert_eq!(
        world
            .stored
            .due(crate::world::START, None, 9)
            .await
            .unwrap()
            .len(),
        1
    );
    world.settle().await;
    let (request_id, id) = ("<ulid>", "c-1");
    client.check_inbox(&[
        json!({"type": "progress", "request_id": request_id, "id": id, "seq": 1,
            "percentage": 10.0, "message": "ten"}),
        json!({"type": "progress", "request_id": request_id, "id": id, "seq": 2,
            "percentage": 20.5, "message": "twenty", "metadata": {"rows": 5}}),
        json!({"type": "complete", "request_id": request_id, "id": id, "seq": 3, "result": "done"}),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_an_error_with_a_seq_and_no_id_where_none_was_sent() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    client.send(r#"{"action":"fails"}"#).await;
    world.settle().await;
    client.check_inbox(&[
        json!({"type": "error", "request_id": "<ulid>", "seq": 1, "error": {
        "code": "TASK_FAILED", "message": "row 3 is no number", "retryable": false,
        "details": {"row": 3}}}),
    ]);
}

/// The `seq` of the terminal message where so many claims were made before: each one gave the
/// request back, and the last one ran or never was.
async fn check_seq(claims_before: u64, said: u64, cancelled: bool) {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = client.submit("steps", json!(null)).await;
    let key = crate::world::key("ann", &id);
    for claim in 1..=claims_before {
        let now = world.runtime.backends().clock.now();
        let lease = Duration::from_secs(15);
        world
            .stored
            .apply(&key, Transition::Claim { lease }, now)
            .await
            .unwrap();
        world
            .stored
            .apply(&key, Transition::GiveBack { claim }, now)
            .await
            .unwrap();
    }
    let expected = if cancelled {
        client
            .ask("request.cancel", json!({"request_id": id}))
            .await;
        claims_before * 1_000_000 + 1
    } else {
        world.settle().await;
        claims_before * 1_000_000 + said + 1
    };
    let last = client.inbox().pop().unwrap();
    assert_eq!(last["seq"], json!(expected), "{last}");
}

#[tokio::test(start_paused = true)]
async fn seq_is_a_million_for_each_earlier_claim_and_the_message_number() {
    check_seq(0, 2, false).await;
    check_seq(1, 2, false).await;
    check_seq(7, 2, false).await;
    check_seq(0, 0, true).await;
    check_seq(1, 0, true).await;
    check_seq(3, 0, true).await;
}

#[tokio::test(start_paused = true)]
async fn only_attached_connections_hear_of_a_request() {
    let mut world = world();
    let submitter = world.connect("c1=", "ann");
    let other = world.connect("c2=", "ann");
    let resumer = world.connect("c3=", "ann");
    let id = submitter.submit("steps", json!(null)).await;
    let payload = json!({"requests": [{"request_id": id}]});
    resumer.ask("request.resume", payload).await;
    world.settle().await;
    assert_eq!(submitter.inbox().len(), 3);
    assert_eq!(resumer.inbox(), submitter_view(&mut world, "steps").await);
    assert_eq!(other.inbox(), Vec::<serde_json::Value>::new());
}

/// What a request of this action says on its own connection, with the ids of the request before it.
async fn submitter_view(world: &mut World, action: &str) -> Vec<serde_json::Value> {
    let client = world.connect("fresh=", "ann");
    let id = client.submit(action, json!(null)).await;
    world.settle().await;
    let requests = client.ask("request.list", json!({"limit": 2})).await;
    let before = requests["data"]["requests"][1]["request_id"].clone();
    let mut inbox = client.inbox();
    for message in &mut inbox {
        assert_eq!(message["request_id"], json!(id));
        message["request_id"] = before.clone();
    }
    inbox
}

#[tokio::test(start_paused = true)]
async fn the_same_key_attaches_to_the_same_request_in_whatever_state_it_is() {
    let mut world = world();
    let first = world.connect("c1=", "ann");
    let message =
        |id: &str| json!({"id": id, "action": "steps", "idempotency_key": "k"}).to_string();
    first.send(&message("one")).await;
    let duplicate = |id: &str, status: &str| {
        json!({"type": "acknowledgment", "request_id": "<ulid>", "id": id,
            "status": status, "duplicate": true})
    };
    let second = world.connect("c2=", "ann");
    second
        .check(&message("two"), &duplicate("two", "queued"))
        .await;
    second.check_inbox(&[]);

    world.start_due().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let third = world.connect("c3=", "ann");
    third
        .check(&message("three"), &duplicate("three", "running"))
        .await;
    let ten = json!({"type": "progress", "request_id": "<ulid>", "id": "one", "seq": 1,
        "percentage": 10.0, "message": "ten"});
    third.check_inbox(std::slice::from_ref(&ten));
    world.finish_running().await;
    let twenty = json!({"type": "progress", "request_id": "<ulid>", "id": "one", "seq": 2,
        "percentage": 20.5, "message": "twenty", "metadata": {"rows": 5}});
    let complete = json!({"type": "complete", "request_id": "<ulid>", "id": "one", "seq": 3,
        "result": "done"});
    third.check_inbox(&[twenty.clone(), complete.clone()]);
    second.check_inbox(&[ten, twenty, complete.clone()]);

    let fourth = world.connect("c4=", "ann");
    fourth
        .check(&message("four"), &duplicate("four", "completed"))
        .await;
    fourth.check_inbox(&[complete]);
}

#[tokio::test(start_paused = true)]
async fn a_key_names_a_request_of_one_user_action_and_payload() {
    let world = world();
    let ann = world.connect("c1=", "ann");
    let bob = world.connect("c2=", "bob");
    let text = |action: &str, payload: &str, rest: &str| {
        format!(r#"{{"action":"{action}","idempotency_key":"k","payload":{payload}{rest}}}"#)
    };
    let first = ann.send(&text("steps", r#"{"a":1,"b":[1,2]}"#, "")).await;
    let same = |answer: &serde_json::Value| answer["request_id"] == first["request_id"];

    let cases = [
        (
            r#"{"b":[1, 2],"a":1}"#,
            r#","metadata":{"k":"v"},"timeout_ms":5"#,
            Some(true),
        ),
        (r#"{"a":1.0,"b":[1,2]}"#, "", None),
        (r#"{"a":1,"b":[2,1]}"#, "", None),
        ("null", "", None),
    ];
    for (payload, rest, duplicate) in cases {
        let answer = ann.send(&text("steps", payload, rest)).await;
        match duplicate {
            Some(duplicate) => assert_eq!(answer["duplicate"], duplicate, "{answer}"),
            None => assert_eq!(answer["error"]["code"], "IDEMPOTENCY_CONFLICT", "{answer}"),
        }
        assert_eq!(same(&answer), duplicate.is_some(), "{payload}: {answer}");
    }
    for (client, action) in [(&ann, "other"), (&bob, "steps")] {
        let answer = client.send(&text(action, "5", "")).await;
        assert_eq!(answer["duplicate"], false, "{answer}");
    }
    let refused = json!({"type": "error", "error": {
        "code": "IDEMPOTENCY_CONFLICT", "message": "<text>", "retryable": false}});
    ann.check(&text("steps", "7", ""), &refused).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_lives_as_long_as_its_request() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let message = r#"{"action":"steps","idempotency_key":"k"}"#;
    let first = client.send(message).await;
    world.settle().await;
    let accepted_for = Duration::from_millis(310);
    tokio::time::sleep(world.runtime.limits().keep - accepted_for).await;
    assert_eq!(
        client.send(message).await["request_id"],
        first["request_id"]
    );
    tokio::time::sleep(accepted_for).await;
    let anew = client.send(message).await;
    assert_eq!(anew["duplicate"], false, "{anew}");
    assert_ne!(anew["request_id"], first["request_id"]);
}

#[tokio::test(start_paused = true)]
async fn sync_actions_ignore_keys() {
    let client = world().connect("c1=", "ann");
    for payload in [1, 2] {
        let message = json!({"action": "echo", "idempotency_key": "k", "payload": payload});
        let answer = client.send(&message.to_string()).await;
        assert_eq!(answer["data"], payload, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_delivery_runs_nothing_twice() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = client.submit("steps", json!(null)).await;
    let key = crate::world::key("ann", &id);
    world.start_due().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.runtime.deliver(&key).await.unwrap(), Delivery::Held);
    world.finish_running().await;
    assert_eq!(client.inbox().len(), 3);
    assert_eq!(world.runtime.deliver(&key).await.unwrap(), Delivery::Ended);
    let again =
        json!({"type": "complete", "request_id": id, "id": "c", "seq": 3, "result": "done"});
    client.check_inbox(&[again]);
    let never = crate::world::key("bob", &id);
    assert_eq!(
        world.runtime.deliver(&never).await.unwrap(),
        Delivery::Missing
    );
}
