//! What surrounds a handler: each layer of the standard cell, and layers of an app's own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use lift::app::App;
use lift::error::{Code, Error};
use lift::extract::Metadata;
use lift::id::RequestId;
use lift::limits::Limits;
use lift::middleware::Cell;
use lift::middleware::from_fn::{Next, from_fn};
use lift::request::{Reply, Request};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Recorder, SharedString, Unit,
};
use serde_json::json;
use tower::{Layer, Service};

use crate::world::{Log, World};

async fn ok() -> Result<&'static str, Error> {
    Ok("ok")
}

#[derive(Debug, Clone, Default)]
struct Steps(Arc<Mutex<Vec<String>>>);

impl Steps {
    fn push(&self, step: impl Into<String>) {
        self.0.lock().unwrap().push(step.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn named(
    steps: &Steps,
    name: &'static str,
) -> impl Layer<Cell, Service = Cell> + Send + Sync + 'static {
    let steps = steps.clone();
    from_fn(move |request: Request, next: Next| {
        let steps = steps.clone();
        async move {
            steps.push(format!("{name} in"));
            let reply = next.run(request).await;
            steps.push(format!("{name} out"));
            reply
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_layer_lies_outside_those_added_before_it() {
    let steps = Steps::default();
    let handler = steps.clone();
    let act = move || {
        handler.push("handler");
        async { Ok::<_, Error>(()) }
    };
    let app = App::new()
        .on("act", act)
        .layer(named(&steps, "first"))
        .layer(named(&steps, "second"));
    let client = World::new(app).connect("c1=", "ann");
    client.ask("act", json!(null)).await;
    assert_eq!(
        steps.take(),
        [
            "second in",
            "first in",
            "handler",
            "first out",
            "second out"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_layer_sees_control_and_unknown_actions_but_no_refused_envelope_or_expired_token() {
    let steps = Steps::default();
    let app = App::new().on("act", ok).layer(named(&steps, "layer"));
    let world = World::new(app);
    let client = world.connect("c1=", "ann");
    for (message, seen) in [
        (r#"{"action":"act"}"#, true),
        (r#"{"action":"ping"}"#, true),
        (r#"{"action":"request.list"}"#, true),
        (r#"{"action":"unknown"}"#, true),
        ("{", false),
    ] {
        client.send(message).await;
        assert_eq!(!steps.take().is_empty(), seen, "{message}");
    }
    let mut identity = client.connection.identity.clone();
    identity.expires_at = Some(crate::world::START);
    let expired = world.connect_as("c2=", identity);
    expired.send(r#"{"action":"act"}"#).await;
    assert_eq!(steps.take(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_answer_itself_or_change_the_request() {
    async fn gate(mut request: Request, next: Next) -> Reply {
        if request.envelope.metadata.contains_key("stop") {
            return Reply::error(&request, Error::new(Code::RateLimited, "slower"));
        }
        request
            .envelope
            .metadata
            .insert("seen".to_owned(), "yes".to_owned());
        next.run(request).await
    }
    let metadata = |Metadata(metadata): Metadata| async move { Ok::<_, Error>(metadata) };
    let app = App::new().on("metadata", metadata).layer(from_fn(gate));
    let client = World::new(app).connect("c1=", "ann");
    let seen =
        json!({"type": "response", "request_id": "<ulid>", "data": {"a": "b", "seen": "yes"}});
    client
        .check(r#"{"action":"metadata","metadata":{"a":"b"}}"#, &seen)
        .await;
    let refused = json!({"type": "error", "id": "x", "error": {
        "code": "RATE_LIMITED", "message": "slower", "retryable": true}});
    client
        .check(
            r#"{"id":"x","action":"metadata","metadata":{"stop":""}}"#,
            &refused,
        )
        .await;
}

/// A layer written by hand, as tower's own are.
#[derive(Clone)]
struct Refuse;

#[derive(Clone)]
struct Refusing;

impl<S> Layer<S> for Refuse {
    type Service = Refusing;
    fn layer(&self, _: S) -> Refusing {
        Refusing
    }
}

impl Service<Request> for Refusing {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let error = Error::new(Code::Forbidden, "closed today");
        ready(Ok(Reply::error(&request, error)))
    }
}

#[tokio::test(start_paused = true)]
async fn any_tower_layer_will_do() {
    for app in [
        App::new().on("act", ok).layer(Refuse),
        App::new()
            .on("act", ok)
            .layer(tower::layer::layer_fn(|_: Cell| Refusing)),
    ] {
        let client = World::new(app).connect("c1=", "ann");
        let answer = client.ask("act", json!(null)).await;
        assert_eq!(answer["error"]["code"], "FORBIDDEN", "{answer}");
    }
    let app = App::new()
        .on("act", ok)
        .layer(tower::layer::util::Identity::new());
    let client = World::new(app).connect("c1=", "ann");
    assert_eq!(client.ask("act", json!(null)).await["data"], "ok");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_layer_or_handler_is_answered_and_others_go_on() {
    async fn layer(request: Request, next: Next) -> Reply {
        assert!(request.envelope.action != "layer", "the layer panics");
        next.run(request).await
    }
    let text = || async { panic!("as {}", "a String") as Result<(), Error> };
    let word = || async { std::panic::panic_any("as a &str") as Result<(), Error> };
    let other = || async { std::panic::panic_any(7) as Result<(), Error> };
    let at_once = || -> std::future::Ready<Result<(), Error>> { panic!("before it is a future") };
    let app = App::new()
        .on("text", text)
        .on("word", word)
        .on("other", other)
        .on("at_once", at_once)
        .on("layer", ok)
        .on("fine", ok)
        .layer(from_fn(layer));
    let client = World::new(app).connect("c1=", "ann");
    for action in ["text", "word", "other", "at_once", "layer"] {
        let expected = json!({"type": "error", "request_id": "<ulid>", "id": "x", "error": {"code": "INTERNAL_ERROR",
            "message": "<text>", "retryable": true, "ref": "<ulid>"}});
        let message = json!({"id": "x", "action": action}).to_string();
        client.check(&message, &expected).await;
        assert_eq!(client.ask("fine", json!(null)).await["data"], "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn every_line_of_a_handler_is_within_its_requests_span() {
    let say = |id: RequestId| async move {
        tracing::info!("here");
        Ok::<_, Error>(id)
    };
    for (app, place) in [
        (App::new().on("say", say), "connection=c1="),
        (App::new().task("say", say), "claim=1"),
    ] {
        let log = Log::start();
        let mut world = World::new(app);
        let client = world.connect("c1=", "ann");
        let ask =
            json!({"action": "say", "payload": "secret payload", "metadata": {"trace": "t-7"}});
        let answer = client.send(&ask.to_string()).await;
        world.settle().await;
        let text = log.text();
        let line = text.lines().find(|line| line.contains("here")).unwrap();
        let id = answer["request_id"].as_str().unwrap();
        for part in [
            &format!("request_id={id}"),
            "action=\"say\"",
            "owner=acme#ann",
            r#"metadata={"trace": "t-7"}"#,
            place,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
}

/// Keeps what was counted, by name and labels.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

struct Observed(Arc<AtomicU64>);

impl CounterFn for Observed {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, std::sync::atomic::Ordering::Relaxed);
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Observed {
    fn record(&self, _: f64) {
        self.increment(1);
    }
}

impl Counted {
    fn cell(&self, key: &Key) -> Arc<Observed> {
        let labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        let mut all = self.0.lock().unwrap();
        Arc::new(Observed(Arc::clone(all.entry(name).or_default())))
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, _: &Key, _: &metrics::Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &metrics::Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_by_action_and_outcome_never_by_what_a_client_made_up() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let panics = || async { panic!("no") as Result<(), Error> };
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, Error>(())
    };
    let app = App::new()
        .on("act", ok)
        .on("panics", panics)
        .on("slow", slow);
    let mut limits = Limits::default();
    // Five after the slow one and a `ping`, which no rate counts; what follows is over it.
    limits.connection_rate = Some("1/s:5".parse().unwrap());
    let world = World::new(app.limits(limits));
    let client = world.connect("c1=", "ann");
    for action in [
        "slow",
        "act",
        "act",
        "panics",
        "made-up-1",
        "made-up-2",
        "ping",
        "made-up-3",
        "act",
    ] {
        client.ask(action, json!(null)).await;
    }
    let all = counted.0.lock().unwrap();
    let counts: Vec<(&str, u64)> = all
        .iter()
        .map(|(name, count)| {
            (
                name.as_str(),
                count.load(std::sync::atomic::Ordering::Relaxed),
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("lift_request_seconds{action=-}", 3),
            ("lift_request_seconds{action=act}", 3),
            ("lift_request_seconds{action=panics}", 1),
            ("lift_request_seconds{action=ping}", 1),
            ("lift_request_seconds{action=slow}", 1),
            ("lift_requests_total{action=-,outcome=RATE_LIMITED}", 1),
            ("lift_requests_total{action=-,outcome=UNKNOWN_ACTION}", 2),
            ("lift_requests_total{action=act,outcome=RATE_LIMITED}", 1),
            ("lift_requests_total{action=act,outcome=ok}", 2),
            (
                "lift_requests_total{action=panics,outcome=INTERNAL_ERROR}",
                1
            ),
            ("lift_requests_total{action=ping,outcome=ok}", 1),
            ("lift_requests_total{action=slow,outcome=TIMEOUT}", 1),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn ends_of_requests_are_counted_by_action_and_outcome_each_once() {
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let fails = || async { Err::<(), _>(Error::new(Code::TaskFailed, "it cannot be done")) };
    let sums = || async { Ok::<_, Error>(7) };
    let mut world = World::new(App::new().task("sums", sums).task("fails", fails));
    let client = world.connect("c1=", "ann");
    let waiting = client.submit("sums", json!(null)).await;
    let about = json!({"request_id": waiting});
    client.ask("request.cancel", about).await;
    for action in ["sums", "fails", "sums"] {
        client.submit(action, json!(null)).await;
    }
    world.settle().await;
    let all = counted.0.lock().unwrap();
    let ended = all.iter().filter(|(name, _)| name.starts_with("lift_task"));
    let ended: Vec<(&str, u64)> = ended
        .map(|(name, count)| {
            let count = count.load(std::sync::atomic::Ordering::Relaxed);
            (name.as_str(), count)
        })
        .collect();
    assert_eq!(
        ended,
        [
            ("lift_task_seconds{action=fails}", 1),
            ("lift_task_seconds{action=sums}", 3),
            ("lift_tasks_total{action=fails,outcome=TASK_FAILED}", 1),
            ("lift_tasks_total{action=sums,outcome=cancelled}", 1),
            ("lift_tasks_total{action=sums,outcome=ok}", 2),
        ]
    );
}
