//! One app's whole journey in memory, under a virtual clock.

use std::time::Duration;

use lift::app::App;
use lift::error::Error;
use lift::extract::Payload;
use lift::limits::Limits;
use lift::task::handle::{Stopped, Task};
use lift_server::test_app::{TestApp, TestConnection};
use serde_json::json;

async fn count(Payload(to): Payload<u32>, task: Task) -> Result<u32, Stopped> {
    for n in task.resumed_from().unwrap_or(0)..to {
        tokio::time::sleep(Duration::from_millis(50)).await;
        task.progress(100.0 * f64::from(n) / f64::from(to), "counting")
            .await?;
        task.checkpoint(&(n + 1)).await?;
    }
    Ok(to)
}

fn app() -> App {
    App::new()
        .on("echo", async |payload: lift::json::Json| {
            Ok::<_, Error>(payload)
        })
        .task("count", count)
}

#[tokio::test(start_paused = true)]
async fn a_sync_action_is_answered_on_its_connection() {
    let test = TestApp::start(app());
    let mut ada = test.connect().await;
    assert_eq!(
        ada.call("echo", json!({"a": [1, 2]})).await,
        json!({"a": [1, 2]})
    );
}

#[tokio::test(start_paused = true)]
async fn the_acknowledgment_comes_before_any_news_of_its_request() {
    let test = TestApp::start(app());
    let mut ada = test.connect().await;
    for n in 0..50 {
        ada.send(json!({"id": format!("c-{n}"), "action": "count", "payload": 0}))
            .await;
        let first = ada.next().await;
        assert_eq!(first["type"], "acknowledgment", "{first}");
        let (end, _) = ada.ended(first["request_id"].as_str().unwrap()).await;
        assert_eq!(end["type"], "complete");
        assert_eq!(end["id"], format!("c-{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_has_missed_nothing() {
    let test = TestApp::start(app());
    let mut ada = test.connect().await;
    let request = ada.submit("count", json!(100)).await;
    drop(ada);
    test.advance(Duration::from_secs(60)).await;
    let mut ada = test.connect().await;
    let resumed = ada
        .call(
            "request.resume",
            json!({"requests": [{"request_id": request}]}),
        )
        .await;
    assert_eq!(resumed["requests"][0]["state"], "completed");
    let (result, _) = ada.completed(&request).await;
    assert_eq!(result, 100);
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline_while_its_owner_runs_all_that_it_may() {
    async fn forever() -> Result<(), Error> {
        std::future::pending().await
    }
    let mut limits = Limits::default();
    limits.running_per_owner_max = 1;
    let test = TestApp::start(App::new().limits(limits).task("forever", forever));
    let mut ada = test.connect().await;
    ada.submit("forever", json!(null)).await;
    ada.send(json!({"action": "forever", "timeout_ms": 2_000}))
        .await;
    let waiting = ada.next().await["request_id"].clone();
    let accepted = tokio::time::Instant::now();
    let (end, _) = ada.ended(waiting.as_str().unwrap()).await;
    assert_eq!(end["error"]["code"], "TIMEOUT", "{end}");
    assert!(
        accepted.elapsed() < Duration::from_secs(4),
        "{:?}",
        accepted.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_ten_minutes() {
    let test = TestApp::start(app());
    let mut ada = test.connect().await;
    assert_eq!(ada.closed().await, 1001);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_start_is_kept() {
    let soon = async || Ok::<_, Error>("done");
    let action = lift::action::Action::task(soon).start_after(Duration::from_secs(90));
    let test = TestApp::start(App::new().action("soon", action));
    let mut ada = test.connect().await;
    let began = tokio::time::Instant::now();
    let request = ada.submit("soon", json!(null)).await;
    assert_eq!(ada.completed(&request).await.0, "done");
    let took = began.elapsed();
    assert!((90..=91).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_reaches_the_other_connections_of_its_user() {
    use lift::id::Owner;
    use lift::outbound::{Broadcast, Outbound, To};
    async fn tell(owner: Owner, out: Outbound) -> Result<Broadcast, Error> {
        Ok(out.broadcast(To::User(owner), r#"{"type":"told"}"#).await?)
    }
    let test = TestApp::start(App::new().on("tell", tell));
    let (mut ada, mut phone) = (test.connect().await, test.connect().await);
    ada.send(json!({"id": "t", "action": "tell"})).await;
    assert_eq!(phone.next().await["type"], "told");
    let answer = loop {
        let message = ada.next().await;
        if message["type"] == "response" {
            break message;
        }
    };
    let sent = json!({"sent": 2, "gone": 0, "throttled": 0, "failed": 0});
    assert_eq!(answer["data"], sent);
}

/// Reads one message of 90 KiB every 8 s, which no gateway calls stalled.
async fn reads_slowly(connection: &mut TestConnection, test: &TestApp, requests: &[String]) {
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < requests.len() {
        test.advance(Duration::from_secs(8)).await;
        let message = connection.next().await;
        if message["type"] == "complete" {
            ended.insert(message["request_id"].as_str().unwrap().to_owned());
        }
    }
    assert!(requests.iter().all(|request| ended.contains(request)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_hears_every_end_live_or_resumed_on_one_connection() {
    let big = async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Error>("x".repeat(90 * 1024))
    };
    let test = TestApp::start(App::new().task("big", big));
    let mut ada = test.connect().await;
    let mut requests = Vec::new();
    for _ in 0..16 {
        requests.push(ada.submit("big", json!(null)).await);
    }
    reads_slowly(&mut ada, &test, &requests).await;

    let mut phone = test.connect().await;
    let all: Vec<_> = requests
        .iter()
        .map(|request| json!({"request_id": request}))
        .collect();
    phone
        .call("request.resume", json!({ "requests": all }))
        .await;
    reads_slowly(&mut phone, &test, &requests).await;
}
