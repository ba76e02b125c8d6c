//! Error bodies: a failing handler, store or size goes in; code, message and what comes with it go out.

use std::time::Duration;

use lift::action::Action;
use lift::app::App;
use lift::error::{Code, Error, Field, Retry, StoreError};
use lift::json::Json;
use serde_json::{Value, json};

use crate::faulty::{Faulty, Method};
use crate::world::{Log, World, matches};

/// The answer of a sync handler that fails so.
async fn check(error: fn() -> Error, expected: Value) {
    let app = App::new().on("fail", move || async move { Err::<(), _>(error()) });
    let client = World::new(app).connect("c1=", "ann");
    let expected = json!({"type": "error", "request_id": "<ulid>", "id": "x", "error": expected});
    client
        .check(r#"{"id":"x","action":"fail"}"#, &expected)
        .await;
}

#[tokio::test(start_paused = true)]
async fn each_code_says_whether_to_come_back() {
    for code in Code::ALL {
        let app = App::new().on("fail", move || async move {
            Err::<(), _>(Error::new(code, "so"))
        });
        let client = World::new(app).connect("c1=", "ann");
        let answer = client.send(r#"{"action":"fail"}"#).await;
        let retryable = [
            "TOKEN_EXPIRED",
            "RATE_LIMITED",
            "OVERLOADED",
            "TIMEOUT",
            "INTERNAL_ERROR",
        ];
        let name = answer["error"]["code"].as_str().unwrap();
        assert_eq!(
            answer["error"]["retryable"],
            retryable.contains(&name),
            "{answer}"
        );
    }
    let names: Vec<String> = Code::ALL
        .iter()
        .map(|code| json!(code).to_string())
        .collect();
    assert_eq!(
        names.join(" ").replace('"', ""),
        "INVALID_JSON VALIDATION_ERROR UNKNOWN_ACTION UNAUTHORIZED FORBIDDEN NOT_FOUND \
         TOKEN_EXPIRED CONFLICT IDEMPOTENCY_CONFLICT RATE_LIMITED OVERLOADED PAYLOAD_TOO_LARGE \
         TIMEOUT TASK_FAILED INTERNAL_ERROR"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_an_error_reaches_the_client() {
    check(
        || Error::new(Code::Overloaded, "full").retry_after(Duration::from_millis(1_500)),
        json!({"code": "OVERLOADED", "message": "full", "retryable": true, "retry_after_ms": 1500}),
    )
    .await;
    check(
        || Error::new(Code::NotFound, "no such thing").with_suggestion(Some("thing".to_owned())),
        json!({"code": "NOT_FOUND", "message": "no such thing", "retryable": false,
            "suggestion": "thing"}),
    )
    .await;
    check(
        || Error::new(Code::TaskFailed, "no").with_details(&json!({"row": 3})),
        json!({"code": "TASK_FAILED", "message": "no", "retryable": false, "details": {"row": 3}}),
    )
    .await;
    check(
        || Error::new(Code::TaskFailed, "no").with_details(&"x".repeat(9_000)),
        json!({"code": "TASK_FAILED", "message": "no", "retryable": false}),
    )
    .await;
    check(
        || {
            let mut field = Field::new("/payload/kind", "is not known");
            field.suggestion = Some("csv".to_owned());
            Error::invalid_fields(vec![field])
        },
        json!({"code": "VALIDATION_ERROR", "message": "<text>", "retryable": false, "fields": [
            {"pointer": "/payload/kind", "message": "is not known", "suggestion": "csv"}]}),
    )
    .await;
    check(
        || Error::invalid_fields((0..20).map(|n| Field::new(format!("/{n}"), "no")).collect()),
        json!({"code": "VALIDATION_ERROR", "message": "<text>", "retryable": false,
            "fields": vec![json!({"pointer": "<text>", "message": "no"}); 10]}),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_internal_error_has_a_ref_that_finds_the_log_line_and_no_internal_text() {
    let internal =
        json!({"code": "INTERNAL_ERROR", "message": "<text>", "retryable": true, "ref": "<ulid>"});
    let fail = || async { Err::<(), _>(Error::internal("disk sda1 is on fire")) };
    let panics = || async { panic!("disk sda1 is on fire") as Result<(), Error> };
    let corrupt = || async { Err::<(), Error>(StoreError::corrupt("disk sda1 is on fire").into()) };
    let app = App::new()
        .on("fail", fail)
        .on("panics", panics)
        .on("corrupt", corrupt)
        .task("fail_later", fail)
        .task("panics_later", panics);
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    for action in ["fail", "panics", "corrupt", "fail_later", "panics_later"] {
        let log = Log::start();
        let mut answer = client.ask(action, json!(null)).await;
        if answer["type"] == "acknowledgment" {
            world.settle().await;
            answer = client.inbox().pop().unwrap();
        }
        assert!(matches(&internal, &answer["error"]), "{action}: {answer}");
        assert_eq!(answer["error"]["ref"], answer["request_id"], "{answer}");
        let reference = answer["error"]["ref"].as_str().unwrap();
        let text = log.text();
        let line = text
            .lines()
            .find(|line| line.contains(&format!("reference=\"{reference}\"")))
            .unwrap_or_else(|| panic!("{action}: no line for {reference} in {text}"));
        assert!(line.contains("ERROR"), "{line}");
        assert!(line.contains("disk sda1 is on fire"), "{action}: {line}");
        assert!(!answer.to_string().contains("sda1"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn payloads_and_keys_are_never_logged() {
    let log = Log::start();
    let echo = |payload: Json| async move { Ok::<_, Error>(payload) };
    let fail = |_: Json| async { Err::<(), _>(Error::internal("no")) };
    let app = App::new()
        .on("echo", echo)
        .on("fail", fail)
        .task("later", fail);
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    for action in ["echo", "fail", "later", "request.get", "unknown"] {
        let message = json!({"action": action, "payload": {"word": "hunter2"},
            "metadata": {"trace": "t-7"}, "idempotency_key": "hunter2"});
        client.send(&message.to_string()).await;
    }
    client.send(r#"{"action":"hunter2 "}"#).await;
    world.settle().await;
    assert!(!log.text().contains("hunter2"), "{}", log.text());
    assert!(log.text().contains("internal error"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_overloaded_and_the_client_may_come_back() {
    let echo = |payload: Json| async move { Ok::<_, Error>(payload) };
    let faulty = Faulty::default();
    let world = World::with(App::new().task("echo", echo), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    let id = client.submit("echo", json!(1)).await;
    let one = json!({"request_id": id});
    let cases = [
        ("echo", json!(1), Method::Put),
        ("request.get", one.clone(), Method::Get),
        ("request.list", json!(null), Method::List),
        ("request.cancel", one, Method::Apply),
    ];
    for (action, payload, method) in cases {
        faulty.refuse(method, 1);
        let message = json!({"action": action, "payload": payload});
        let expected = json!({"type": "error", "error": {"code": "OVERLOADED",
            "message": "<text>", "retryable": true, "retry_after_ms": 1000}});
        client.check(&message.to_string(), &expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn resume_never_passes_a_fault_of_the_store_off_as_not_found() {
    let echo = |payload: Json| async move { Ok::<_, Error>(payload) };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("echo", echo), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    let id = client.submit("echo", json!(1)).await;
    world.settle().await;
    client.inbox();
    faulty.refuse(Method::Apply, 1);
    let resume = json!({"id": "r", "action": "request.resume",
        "payload": {"requests": [{"request_id": id}]}})
    .to_string();
    let expected = json!({"type": "response", "id": "r", "data": {"requests": [
        {"request_id": id, "error": {"code": "OVERLOADED", "message": "<text>",
            "retryable": true, "retry_after_ms": 1000}}]}});
    client.check(&resume, &expected).await;
    client.check_inbox(&[]);

    // A replay that was promised comes, though the store is away for a moment.
    faulty.refuse(Method::Get, 3);
    let expected = json!({"type": "response", "id": "r", "data": {"requests": [
        {"request_id": id, "state": "completed", "recovered": true}]}});
    client.check(&resume, &expected).await;
    assert_eq!(client.inbox().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_requests_are_refused_and_one_may_come_after_another_ran() {
    let echo = |payload: Json| async move { Ok::<_, Error>(payload) };
    let mut limits = lift::limits::Limits::default();
    limits.queued_per_owner_max = 2;
    let mut world = World::new(App::new().limits(limits).task("echo", echo));
    let (ann, bob) = (world.connect("c1=", "ann"), world.connect("c2=", "bob"));
    for client in [&ann, &ann, &bob] {
        client.submit("echo", json!(1)).await;
    }
    let full = json!({"type": "error", "error": {"code": "OVERLOADED", "message": "<text>",
        "retryable": true, "retry_after_ms": 5000}});
    ann.check(r#"{"action":"echo"}"#, &full).await;
    world.settle().await;
    ann.submit("echo", json!(1)).await;
}

/// The type of the answer whose JSON string is so long, and its whole size.
async fn sized(world: &World, letters: usize) -> (String, usize) {
    let client = world.connect("c1=", "ann");
    let message = json!({"id": "i".repeat(128), "action": "long", "payload": letters});
    let answer = client.send_raw(&message.to_string()).await;
    let value: Value = serde_json::from_str(&answer).unwrap();
    if value["type"] == "error" {
        assert_eq!(value["error"]["code"], "PAYLOAD_TOO_LARGE", "{value}");
        assert_eq!(value["error"]["retryable"], false);
    }
    (value["type"].as_str().unwrap().to_owned(), answer.len())
}

#[tokio::test(start_paused = true)]
async fn a_sync_answer_fits_a_message_or_is_too_large() {
    const MESSAGE_MAX: usize = 128 * 1024;
    let long = |payload: Json| async move {
        let letters: usize = serde_json::from_str(payload.get()).map_err(Error::internal)?;
        Ok::<_, Error>("a".repeat(letters))
    };
    let world = World::new(App::new().on("long", long));
    let (_, empty) = sized(&world, 0).await;
    let fits = MESSAGE_MAX - empty;
    assert_eq!(
        sized(&world, fits).await,
        ("response".to_owned(), MESSAGE_MAX)
    );
    assert_eq!(sized(&world, fits + 1).await.0, "error");
    assert_eq!(sized(&world, 500_000).await.0, "error");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_fit_a_message_is_too_large() {
    use lift::task::handle::{Stopped, Task};
    async fn tells(task: Task) -> Result<(), Stopped> {
        task.progress(1.0, &"\u{1}".repeat(512)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }
    let mut world = World::new(App::new().task("tells", tells));
    let client = world.connect("c1=", "ann");
    for _ in 0..100 {
        client.submit("tells", json!(null)).await;
    }
    world.settle().await;
    let answer = client.ask("request.list", json!({"limit": 100})).await;
    assert_eq!(answer["error"]["code"], "PAYLOAD_TOO_LARGE");
    let answer = client.ask("request.list", json!({"limit": 20})).await;
    assert_eq!(answer["type"], "response");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_outlives_the_deadline_is_answered_timeout() {
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, Error>(())
    };
    let client = World::new(App::new().on("slow", slow)).connect("c1=", "ann");
    let timeout = json!({"type": "error", "request_id": "<ulid>", "id": "s", "error": {
        "code": "TIMEOUT", "message": "<text>", "retryable": true}});
    for (asked, seconds) in [
        ("", 28.0),
        (r#","timeout_ms":1500"#, 1.5),
        (r#","timeout_ms":40000"#, 28.0),
    ] {
        let began = tokio::time::Instant::now();
        client
            .check(&format!(r#"{{"id":"s","action":"slow"{asked}}}"#), &timeout)
            .await;
        assert!(
            (began.elapsed().as_secs_f64() - seconds).abs() < 0.01,
            "{asked}"
        );
    }
    let answer = client
        .send(r#"{"action":"slow","timeout_ms":86400001}"#)
        .await;
    assert_eq!(crate::world::places(&answer), ["/timeout_ms"]);
    let message = answer["error"]["fields"][0]["message"].as_str().unwrap();
    assert!(message.contains("86400000"), "it names the cap: {message}");
}

#[tokio::test(start_paused = true)]
async fn a_check_before_acceptance_refuses_unless_the_request_was_accepted() {
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&taken);
    let before = move || {
        let taken = flag.load(std::sync::atomic::Ordering::Relaxed);
        let conflict = Error::new(Code::Conflict, "the name is taken");
        async move { if taken { Err(conflict) } else { Ok(()) } }
    };
    let echo = |payload: Json| async move { Ok::<_, Error>(payload) };
    let app = App::new().action("make", Action::task(echo).before(before));
    let world = World::new(app);
    let client = world.connect("c1=", "ann");
    let message = |key: &str, payload: u8| {
        json!({"action": "make", "idempotency_key": key, "payload": payload}).to_string()
    };
    let first = client.send(&message("k", 1)).await;
    taken.store(true, std::sync::atomic::Ordering::Relaxed);
    let again = client.send(&message("k", 1)).await;
    assert_eq!(
        (&again["request_id"], &again["duplicate"]),
        (&first["request_id"], &json!(true))
    );
    for (key, payload, code) in [("k", 2, "IDEMPOTENCY_CONFLICT"), ("new", 1, "CONFLICT")] {
        let answer = client.send(&message(key, payload)).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let answer = client.send(r#"{"action":"make"}"#).await;
    assert_eq!(answer["error"]["code"], "CONFLICT", "{answer}");
    assert_eq!(Error::new(Code::Conflict, "x").retry_kind(), Retry::Never);
}
