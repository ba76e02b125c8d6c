//! Control actions: `ping` and `request.*` go in, what is known of the caller's own requests comes out.

use std::time::Duration;

use lift::app::App;
use lift::error::{Code, Error};
use lift::json::Json;
use lift::task::handle::{Stopped, Task};
use serde_json::{Value, json};

use crate::faulty::{Faulty, Method};
use crate::world::{Client, World, places};

async fn echo(payload: Json) -> Result<Json, Error> {
    Ok(payload)
}

async fn fails() -> Result<(), Error> {
    Err(Error::new(Code::TaskFailed, "it cannot be done"))
}

async fn flaky() -> Result<(), Error> {
    Err(Error::new(Code::TaskFailed, "not now").retry())
}

/// Says where it is every 200 ms, and stops when asked.
async fn looks(task: Task) -> Result<(), Stopped> {
    for n in 0..50 {
        task.progress(f64::from(n), "on its way").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

fn world() -> World {
    let app = App::new()
        .task("echo", echo)
        .task("fails", fails)
        .task("flaky", flaky)
        .task("looks", looks);
    World::new(app)
}

fn about(request_id: &str) -> Value {
    json!({"request_id": request_id})
}

async fn running(world: &mut World, client: &Client) -> String {
    let id = client.submit("looks", json!(null)).await;
    world.start_due().await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    id
}

#[tokio::test(start_paused = true)]
async fn ping_is_answered_by_pong_whatever_its_payload() {
    let client = world().connect("c1=", "ann");
    let pong = json!({"type": "pong", "id": "p", "server_time": "2026-11-22T10:00:00.000Z"});
    client
        .check(r#"{"id":"p","action":"ping","payload":[{}]}"#, &pong)
        .await;
}

#[tokio::test(start_paused = true)]
async fn get_shows_a_request_in_every_state() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let get = async |id: &str, expected: Value| {
        let message = json!({"id": "g", "action": "request.get", "payload": {"request_id": id}});
        let expected = json!({"type": "response", "id": "g", "data": expected});
        client.check(&message.to_string(), &expected).await;
    };
    let id = client.submit("looks", json!(null)).await;
    get(
        &id,
        json!({"request_id": id, "id": "c", "action": "looks", "state": "queued",
        "attempt": 1, "created_at": "2026-11-22T10:00:00.000Z"}),
    )
    .await;
    world.start_due().await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    get(
        &id,
        json!({"request_id": id, "id": "c", "action": "looks", "state": "running",
        "attempt": 1, "progress": {"seq": 2, "percentage": 1.0, "message": "on its way"},
        "created_at": "<time>", "started_at": "2026-11-22T10:00:00.000Z"}),
    )
    .await;
    client.ask("request.cancel", about(&id)).await;
    world.finish_running().await;
    get(
        &id,
        json!({"request_id": id, "id": "c", "action": "looks", "state": "cancelled",
        "attempt": 1, "progress": {"seq": 3, "percentage": 2.0, "message": "on its way"},
        "created_at": "<time>", "started_at": "<time>", "finished_at": "<time>"}),
    )
    .await;

    let id = client.submit("echo", json!({"a": 1})).await;
    world.settle().await;
    get(
        &id,
        json!({"request_id": id, "id": "c", "action": "echo", "state": "completed",
        "attempt": 1, "result": {"a": 1},
        "created_at": "<time>", "started_at": "<time>", "finished_at": "<time>"}),
    )
    .await;

    let id = client.submit("fails", json!(null)).await;
    world.settle().await;
    get(&id, json!({"request_id": id, "id": "c", "action": "fails", "state": "failed",
        "attempt": 1, "error": {"code": "TASK_FAILED", "message": "it cannot be done", "retryable": false},
        "created_at": "<time>", "started_at": "<time>", "finished_at": "<time>"})).await;

    let id = client.submit("flaky", json!(null)).await;
    world.start_due().await;
    world.finish_running().await;
    get(
        &id,
        json!({"request_id": id, "id": "c", "action": "flaky", "state": "retrying",
        "attempt": 2, "created_at": "<time>", "started_at": "<time>"}),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_runtime_gives_the_same_view_of_a_request() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = client.submit("echo", json!({"a": 1})).await;
    world.settle().await;
    let answer = client.ask("request.get", about(&id)).await;
    let owner = &client.connection.identity.owner;
    let view = world.runtime.request(owner, &id).await.unwrap();
    assert_eq!(
        answer["data"],
        serde_json::from_str::<Value>(view.get()).unwrap()
    );
    let error = world.runtime.request(owner, "nonsense").await.unwrap_err();
    assert_eq!(error.body().code, Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ones_own_is_answered_alike_byte_for_byte() {
    let mut world = world();
    let (ann, bob) = (world.connect("c1=", "ann"), world.connect("c2=", "bob"));
    let theirs = bob.submit("echo", json!(1)).await;
    world.settle().await;
    let lower = theirs.to_lowercase();
    let ids = [
        theirs.as_str(),
        &lower,
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "",
        "no id at all",
        "../../etc/passwd",
        "acme#bob",
    ];
    for action in ["request.get", "request.cancel", "request.resume"] {
        let ask = async |id: &str| {
            let payload = if action == "request.resume" {
                json!({"requests": [{"request_id": id}]})
            } else {
                about(id)
            };
            let message = json!({"id": "x", "action": action, "payload": payload});
            let answer = ann.send_raw(&message.to_string()).await;
            answer.replace(&format!(r#""request_id":"{id}""#), "")
        };
        let expected = ask("01ARZ3NDEKTSV4RRFFQ69G5FAW").await;
        assert!(expected.contains(r#""code":"NOT_FOUND""#), "{expected}");
        for id in ids {
            assert_eq!(ask(id).await, expected, "{action} of `{id}`");
        }
    }
    ann.check_inbox(&[]);
    assert_eq!(world.record("bob", &theirs).await.attached.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn badly_shaped_payloads_name_their_place() {
    let client = world().connect("c1=", "ann");
    let one = r#"{"request_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#;
    let many = format!("[{}]", [one; 101].join(","));
    let cases = [
        ("request.get", "null", "/payload/request_id"),
        ("request.get", "{}", "/payload/request_id"),
        ("request.get", "7", "/payload"),
        (
            "request.get",
            r#"{"request_id":null}"#,
            "/payload/request_id",
        ),
        ("request.get", r#"{"request_id":7}"#, "/payload/request_id"),
        (
            "request.get",
            r#"{"request_id":"x","more":1}"#,
            "/payload/more",
        ),
        (
            "request.get",
            r#"{"request_id":"x","request_id":"x"}"#,
            "/payload/request_id",
        ),
        ("request.cancel", "{}", "/payload/request_id"),
        (
            "request.cancel",
            r#"{"request_id":[]}"#,
            "/payload/request_id",
        ),
        ("request.list", r#"{"limit":0}"#, "/payload/limit"),
        ("request.list", r#"{"limit":101}"#, "/payload/limit"),
        ("request.list", r#"{"limit":1.5}"#, "/payload/limit"),
        ("request.list", r#"{"limit":-1}"#, "/payload/limit"),
        ("request.list", r#"{"limit":"5"}"#, "/payload/limit"),
        (
            "request.list",
            r#"{"limit":99999999999999999999999}"#,
            "/payload/limit",
        ),
        ("request.list", r#"{"state":"done"}"#, "/payload/state"),
        ("request.list", r#"{"state":1}"#, "/payload/state"),
        ("request.list", r#"{"cursor":""}"#, "/payload/cursor"),
        ("request.list", r#"{"cursor":"x"}"#, "/payload/cursor"),
        ("request.list", r#"{"page":1}"#, "/payload/page"),
        ("request.list", "[]", "/payload"),
        ("request.resume", "{}", "/payload/requests"),
        ("request.resume", r#"{"requests":[]}"#, "/payload/requests"),
        (
            "request.resume",
            &format!(r#"{{"requests":{many}}}"#),
            "/payload/requests",
        ),
        (
            "request.resume",
            r#"{"requests":[{}]}"#,
            "/payload/requests/0/request_id",
        ),
        (
            "request.resume",
            r#"{"requests":[{"request_id":7}]}"#,
            "/payload/requests/0/request_id",
        ),
        (
            "request.resume",
            r#"{"requests":[{"request_id":"x","after_seq":-1}]}"#,
            "/payload/requests/0/after_seq",
        ),
        (
            "request.resume",
            r#"{"requests":[{"request_id":"x","after_seq":1.0}]}"#,
            "/payload/requests/0/after_seq",
        ),
    ];
    for (action, payload, pointer) in cases {
        let message = format!(r#"{{"action":"{action}","payload":{payload}}}"#);
        client
            .check_refused(&message, "VALIDATION_ERROR", &[pointer])
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn null_counts_as_absent_in_control_payloads() {
    let client = world().connect("c1=", "ann");
    let empty = json!({"type": "response", "data": {"requests": []}});
    for payload in ["null", "{}", r#"{"state":null,"limit":null,"cursor":null}"#] {
        let message = format!(r#"{{"action":"request.list","payload":{payload}}}"#);
        client.check(&message, &empty).await;
    }
    client.check(r#"{"action":"request.list"}"#, &empty).await;
}

async fn list(client: &Client, payload: Value) -> (Vec<String>, Option<String>) {
    let answer = client.ask("request.list", payload).await;
    let requests = answer["data"]["requests"].as_array().unwrap();
    let ids = requests
        .iter()
        .map(|request| request["request_id"].as_str().unwrap().to_owned());
    let cursor = answer["data"]
        .get("cursor")
        .map(|cursor| cursor.as_str().unwrap().to_owned());
    (ids.collect(), cursor)
}

#[tokio::test(start_paused = true)]
async fn list_pages_through_ones_own_newest_first() {
    let mut world = world();
    let (ann, bob) = (world.connect("c1=", "ann"), world.connect("c2=", "bob"));
    let mut submitted = Vec::new();
    for n in 0..25 {
        submitted.push(
            ann.submit(if n % 5 == 0 { "fails" } else { "echo" }, json!(n))
                .await,
        );
        bob.submit("echo", json!(n)).await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    submitted.reverse();
    world.settle().await;
    for limit in [1, 7, 24, 25, 100] {
        let (mut found, mut payload) = (Vec::new(), json!({"limit": limit}));
        loop {
            let (ids, cursor) = list(&ann, payload).await;
            found.extend(ids);
            let Some(cursor) = cursor else { break };
            payload = json!({"limit": limit, "cursor": cursor});
        }
        assert_eq!(found, submitted, "in pages of {limit}");
    }
    assert_eq!(
        list(&ann, json!(null)).await.0.len(),
        20,
        "the default limit"
    );
    let failed: Vec<String> = submitted.iter().rev().step_by(5).rev().cloned().collect();
    let (ids, cursor) = list(&ann, json!({"state": "failed", "limit": 2})).await;
    assert_eq!(ids, failed[..2]);
    let payload = json!({"state": "failed", "limit": 100, "cursor": cursor});
    assert_eq!(list(&ann, payload).await.0, failed[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_belongs_to_its_user_and_its_state() {
    let world = world();
    let (ann, bob) = (world.connect("c1=", "ann"), world.connect("c2=", "bob"));
    for client in [&ann, &bob] {
        for n in 0..3 {
            client.submit("echo", json!(n)).await;
        }
    }
    let cursor = list(&ann, json!({"limit": 1})).await.1.unwrap();
    let of_state = list(&ann, json!({"limit": 1, "state": "queued"}))
        .await
        .1
        .unwrap();
    let bare = cursor.split('.').next().unwrap().to_owned();
    let cases = [
        (&ann, json!({"cursor": cursor}), true),
        (&ann, json!({"cursor": cursor, "limit": 1}), true),
        (&ann, json!({"cursor": cursor, "state": "queued"}), false),
        (&ann, json!({"cursor": of_state}), false),
        (&ann, json!({"cursor": of_state, "state": "failed"}), false),
        (&ann, json!({"cursor": of_state, "state": "queued"}), true),
        (&bob, json!({"cursor": cursor}), false),
        (&ann, json!({"cursor": bare}), false),
        (&ann, json!({"cursor": cursor.to_lowercase()}), false),
        (&ann, json!({"cursor": format!("{cursor}0")}), false),
    ];
    for (client, payload, good) in cases {
        let answer = client.ask("request.list", payload.clone()).await;
        if good {
            assert_eq!(answer["type"], "response", "{payload}: {answer}");
        } else {
            assert_eq!(places(&answer), ["/payload/cursor"], "{payload}: {answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn list_shows_requests_without_results() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = client.submit("echo", json!({"a": 1})).await;
    world.settle().await;
    let expected = json!({"type": "response", "id": "c", "data": {"requests": [
        {"request_id": id, "id": "c", "action": "echo", "state": "completed", "attempt": 1,
         "created_at": "<time>", "started_at": "<time>", "finished_at": "<time>"}]}});
    client
        .check(r#"{"id":"c","action":"request.list"}"#, &expected)
        .await;
}

/// Cancels a request in some state; gives the answer's `data` and then what was posted.
async fn cancel(client: &Client, id: &str) -> Value {
    client.inbox();
    let answer = client.ask("request.cancel", about(id)).await;
    assert_eq!(answer["type"], "response", "{answer}");
    assert_eq!(answer.get("request_id"), None);
    answer["data"].clone()
}

#[tokio::test(start_paused = true)]
async fn cancel_ends_what_waits_at_once() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = client.submit("echo", json!(1)).await;
    let cancelled = json!({"request_id": id, "state": "cancelled", "cancel_requested": true});
    assert_eq!(cancel(&client, &id).await, cancelled);
    client.check_inbox(&[json!({"type": "cancelled", "request_id": id, "id": "c", "seq": 1})]);
    assert_eq!(world.settle().await, []);

    let id = client.submit("flaky", json!(1)).await;
    world.start_due().await;
    world.finish_running().await;
    let cancelled = json!({"request_id": id, "state": "cancelled", "cancel_requested": true});
    assert_eq!(cancel(&client, &id).await, cancelled);
    client.check_inbox(&[
        json!({"type": "cancelled", "request_id": id, "id": "c", "seq": 1_000_001}),
    ]);
    assert_eq!(world.settle().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_whose_answer_was_lost_is_told_when_it_is_asked_again() {
    let faulty = Faulty::default();
    let world = World::with(App::new().task("echo", echo), |tasks| faulty.over(tasks));
    let (submitter, canceller) = (world.connect("c1=", "ann"), world.connect("c2=", "ann"));
    let id = submitter.submit("echo", json!(1)).await;
    faulty.lose_answers(Method::Apply, 1);
    let refused = canceller.ask("request.cancel", about(&id)).await;
    assert_eq!(refused["error"]["code"], "OVERLOADED", "{refused}");
    submitter.check_inbox(&[]);
    let said = json!({"request_id": id, "state": "cancelled", "cancel_requested": false});
    assert_eq!(cancel(&canceller, &id).await, said);
    submitter.check_inbox(&[json!({"type": "cancelled", "request_id": id, "id": "c", "seq": 1})]);
}

#[tokio::test(start_paused = true)]
async fn cancel_asks_what_runs_to_stop() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let id = running(&mut world, &client).await;
    let asked = json!({"request_id": id, "state": "running", "cancel_requested": true});
    assert_eq!(cancel(&client, &id).await, asked);
    assert_eq!(cancel(&client, &id).await, asked, "asked twice");
    world.finish_running().await;
    let last = client.inbox().pop().unwrap();
    let seq = last["seq"].clone();
    assert_eq!(
        last,
        json!({"type": "cancelled", "request_id": id, "id": "c", "seq": seq})
    );
}

#[tokio::test(start_paused = true)]
async fn cancel_of_a_finished_request_says_its_state() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    for (action, state) in [("echo", "completed"), ("fails", "failed")] {
        let id = client.submit(action, json!(1)).await;
        world.settle().await;
        let said = json!({"request_id": id, "state": state, "cancel_requested": false});
        assert_eq!(cancel(&client, &id).await, said);
        client.check_inbox(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_attached_connection_hears_that_a_waiting_request_was_cancelled() {
    let world = world();
    let submitter = world.connect("c1=", "ann");
    let canceller = world.connect("c2=", "ann");
    let id = submitter.submit("echo", json!(1)).await;
    canceller.ask("request.cancel", about(&id)).await;
    submitter.check_inbox(&[json!({"type": "cancelled", "request_id": id, "id": "c", "seq": 1})]);
    canceller.check_inbox(&[]);
}

#[tokio::test(start_paused = true)]
async fn resume_answers_for_each_then_replays_what_is_above_after_seq() {
    let mut world = world();
    let first = world.connect("c1=", "ann");
    let done = first.submit("echo", json!(7)).await;
    world.settle().await;
    let live = running(&mut world, &first).await;
    let second = world.connect("c2=", "ann");
    let requests = json!([
        {"request_id": done}, {"request_id": live, "after_seq": 1}, {"request_id": "never"}]);
    let message = json!({"id": "r", "action": "request.resume", "payload": {"requests": requests}});
    let answer = json!({"type": "response", "id": "r", "data": {"requests": [
        {"request_id": done, "state": "completed", "recovered": true},
        {"request_id": live, "state": "running", "recovered": true},
        {"request_id": "never", "error": {
            "code": "NOT_FOUND", "message": "<text>", "retryable": false}}]}});
    second.check(&message.to_string(), &answer).await;
    second.check_inbox(&[
        json!({"type": "complete", "request_id": done, "id": "c", "seq": 1, "result": 7}),
        json!({"type": "progress", "request_id": live, "id": "c", "seq": 2,
            "percentage": 1.0, "message": "on its way"}),
    ]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    second.check_inbox(&[
        json!({"type": "progress", "request_id": live, "id": "c", "seq": 3,
        "percentage": 2.0, "message": "on its way"}),
    ]);
}

#[tokio::test(start_paused = true)]
async fn resume_says_nothing_that_was_seen() {
    let mut world = world();
    let client = world.connect("c1=", "ann");
    let live = running(&mut world, &client).await;
    let done = client.submit("echo", json!(7)).await;
    world.start_due().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let back = world.connect("c2=", "ann");
    let payload = json!({"requests": [
        {"request_id": live, "after_seq": 2}, {"request_id": done, "after_seq": 1}]});
    back.ask("request.resume", payload).await;
    back.check_inbox(&[]);
    let many = vec![json!({"request_id": done, "after_seq": null}); 100];
    back.ask("request.resume", json!({"requests": many})).await;
    assert_eq!(back.inbox().len(), 1, "named twice is told once");
}

#[tokio::test(start_paused = true)]
async fn the_last_eight_attached_connections_are_told() {
    let mut world = world();
    let clients: Vec<Client> = (0..10)
        .map(|n| world.connect(&format!("c{n}="), "ann"))
        .collect();
    let id = clients[0].submit("echo", json!(7)).await;
    for client in &clients[1..] {
        client
            .ask("request.resume", json!({"requests": [{"request_id": id}]}))
            .await;
    }
    clients[1]
        .ask("request.resume", json!({"requests": [{"request_id": id}]}))
        .await;
    world.settle().await;
    let told: Vec<usize> = clients.iter().map(|client| client.inbox().len()).collect();
    assert_eq!(
        told,
        [0, 1, 0, 1, 1, 1, 1, 1, 1, 1],
        "1 came back, 2 is the ninth"
    );
}
