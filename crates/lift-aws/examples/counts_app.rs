//! What one message costs an app: a number of messages comes in, the action `echo` answers them and the program ends.
//!
//! `cargo x counts` runs it under Valgrind with two numbers of messages; the difference between the
//! two counts of instructions, and of allocations, is the messages' own. `echo`: the gateway's event →
//! the app's → envelope, all middleware, limits, action → the reply's text, as on a server, whose rates
//! are there. `invoke`: the event's JSON → the proxy response's JSON, as on Lambda. A recorder of metrics
//! is there; no log line is written.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lift::app::{App, Backends, Runtime};
use lift::clock::Clock;
use lift::json::Json;
use lift::limits::Limits;
use lift::outbound::Outbound;
use lift::outbound::memory::MemoryPosts;
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::memory::{MemoryResults, MemoryTasks};
use lift_apigw::event::Event;
use lift_aws::host::{Function, Invocation, by_address};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().ok_or("which scenario?")?;
    let messages: usize = args.next().ok_or("how many messages?")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    metrics::set_global_recorder(Latest)?;
    runtime.block_on(async {
        match scenario.as_str() {
            "echo" => echo(messages).await,
            "invoke" => invoke(messages).await,
            _ => Err("there is no such scenario".into()),
        }
    })
}

fn app(limits: Limits) -> Runtime {
    let clock = Clock::system();
    let app = App::new().limits(limits).on("echo", async |payload: Json| {
        Ok::<_, std::convert::Infallible>(payload)
    });
    app.bind(Backends {
        tasks: Arc::new(MemoryTasks::default()),
        connections: Connections::new(MemoryRegistry::default()),
        connection_age_max: Duration::MAX,
        rates: Arc::new(MemoryRates::default()),
        load: Load::default(),
        outbound: Outbound::new(MemoryPosts::default()),
        results: Arc::new(MemoryResults::default()),
        clock,
    })
}

/// The template of a deployment sets no rates: they would be calls of DynamoDB.
async fn invoke(messages: usize) -> Result<()> {
    let function = Function::Gateway(app(Limits::default()), by_address("eu-west-1"));
    let event = event();
    let invocation = Invocation {
        until: Instant::now() + Duration::from_secs(29),
        trace: None,
    };
    for _ in 0..messages {
        let answer = function.invoke(event.as_bytes(), &invocation).await?;
        if !answer.starts_with(br#"{"statusCode":200"#) {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    Ok(())
}

async fn echo(messages: usize) -> Result<()> {
    let mut limits = Limits::default();
    limits.connection_rate = Some("1000000/s".parse()?);
    limits.user_rate = Some("1000000/s".parse()?);
    limits.tenant_rate = Some("1000000/s".parse()?);
    let runtime = app(limits);
    let event = event();
    let Event::Message(message) = Event::parse(event.as_bytes())? else {
        return Err("the event is no message".into());
    };
    // Once for each connection, as a server does.
    let connection = Arc::new(lift_aws::event::connection(
        &message.context,
        lift_aws::event::by_id(&message.context),
    )?);
    for _ in 0..messages {
        let from = Arc::clone(&connection);
        let (text, after) = lift_aws::event::answer(&runtime, from, &message.body).await;
        if !text.starts_with(br#"{"type":"response""#) {
            return Err(String::from_utf8_lossy(&text).into());
        }
        drop(after);
    }
    Ok(())
}

/// A message of the shape that the benchmark sends, as the gateway tells it.
fn event() -> String {
    let body = format!(
        r#"{{"id":"1","action":"echo","payload":"{}"}}"#,
        "x".repeat(200)
    );
    serde_json::json!({
        "requestContext": {
            "routeKey": "$default",
            "authorizer": {
                "principalId": "ada",
                "tenant": "acme",
                "user": "ada",
                "permissions": "[\"*\"]",
                "expiresAtMs": "33333333333333",
            },
            "messageId": "W9I-IeqhoAMCFvw=",
            "eventType": "MESSAGE",
            "extendedRequestId": "W9I-IFlqoAMFjZQ=",
            "requestTime": "21/Nov/2025:20:39:31 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1_763_757_569_117_u64,
            "requestTimeEpoch": 1_763_757_571_118_u64,
            "identity": { "sourceIp": "127.0.0.1" },
            "requestId": "W9I-IFlqoAMFjZQ=",
            "domainName": "localhost",
            "connectionId": "W9In0cvXIAMCFvw=",
            "apiId": "local",
        },
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}

/// Keeps counts and the latest time. The server's recorder would measure the machine's clock first, for as long as
/// that takes, and no two counts would be the same.
struct Latest;

struct LatestTime(AtomicU64);

impl HistogramFn for LatestTime {
    fn record(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Recorder for Latest {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(AtomicU64::new(0)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(LatestTime(AtomicU64::new(0))))
    }
}
