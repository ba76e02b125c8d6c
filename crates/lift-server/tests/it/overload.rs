//! A process with more to do than it can, and a tenant whose clients do not read: requests come in;
//! refusals, the end of what was acknowledged, and what others still get go out.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lift::app::App;
use lift::clock::Timestamp;
use lift::error::Error;
use lift::extract::{Payload, State};
use lift::id::Owner;
use lift::identity::{Authenticate, Denied, Handshake, Identity};
use lift::json::Json;
use lift::outbound::{Broadcast, Outbound, To};
use lift::overload::LATE;
use lift::task::memory::MemoryTasks;
use lift_server::rules;
use lift_server::test_app::{TestApp, TestConnection};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long anything may take: other tests share the machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Work that takes the runtime's one thread again and again, until its other end is dropped.
#[derive(Debug, Clone)]
struct Toil(Arc<Mutex<Receiver<()>>>);

async fn toil(State(Toil(over)): State<Toil>) -> Result<(), Error> {
    while over.lock().unwrap().recv_timeout(2 * LATE) == Err(RecvTimeoutError::Timeout) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The answer to an action, which no earlier request's news can be.
async fn asked(connection: &mut TestConnection, action: &str) -> Value {
    connection
        .send(json!({"id": "asked", "action": action}))
        .await;
    loop {
        let message = connection.next().await;
        if message["id"] == "asked" {
            return message;
        }
    }
}

#[tokio::test]
async fn a_process_that_is_late_refuses_work_ends_what_it_took_and_then_takes_more() {
    let (end, over) = channel();
    let done = Arc::new(Notify::new());
    let app = App::new()
        .state(Toil(Arc::new(Mutex::new(over))))
        .state(Arc::clone(&done))
        .on("toil", toil)
        .on("echo", async |payload: Json| Ok::<_, Error>(payload))
        .task("later", async |State(done): State<Arc<Notify>>| {
            done.notified().await;
            Ok::<_, Error>("done")
        });
    let test = TestApp::start(app);
    let (mut ada, mut bob) = (test.connect().await, test.connect().await);
    let accepted = ada.submit("later", json!(null)).await;
    bob.send(json!({"action": "toil"})).await;
    within("the load is shed", async {
        while asked(&mut ada, "echo").await["error"]["code"] != "OVERLOADED" {}
    })
    .await;
    for action in ["echo", "later"] {
        let refused = within("a refusal", asked(&mut ada, action)).await;
        assert_eq!(refused["error"]["code"], "OVERLOADED", "{refused}");
        assert_eq!(refused["error"]["retry_after_ms"], 1_000, "{refused}");
    }
    done.notify_one();
    let (result, _) = within("what was acknowledged", ada.completed(&accepted)).await;
    assert_eq!(result, "done");
    let refused = within("a refusal", asked(&mut ada, "echo")).await;
    assert_eq!(refused["error"]["code"], "OVERLOADED", "still: {refused}");
    drop(end);
    within("work is taken again", async {
        while asked(&mut ada, "echo").await["type"] != "response" {}
    })
    .await;
    let accepted = within("an acknowledgment", ada.submit("later", json!(null))).await;
    done.notify_one();
    within("its end", ada.completed(&accepted)).await;
}

/// Believes whoever says a tenant.
#[derive(Debug)]
struct Said;

#[async_trait]
impl Authenticate for Said {
    async fn authenticate(&self, handshake: &Handshake, _: Timestamp) -> Result<Identity, Denied> {
        let tenant = handshake.header("x-tenant").next().unwrap();
        Ok(Identity {
            owner: Owner::new(tenant, "ada").unwrap(),
            permissions: None,
            expires_at: None,
        })
    }
}

const KIB: usize = 1024;

async fn tell(Payload(tenant): Payload<String>, out: Outbound) -> Result<Broadcast, Error> {
    let tenant = Owner::new(&tenant, "ada").unwrap().tenant;
    let news = json!({"type": "news", "text": "x".repeat(60 * KIB)}).to_string();
    Ok(out.broadcast(To::Tenant(tenant), news).await?)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_clients_do_not_read_leaves_others_what_the_process_may_hold() {
    let mut rules = rules();
    rules.limits.process_queued_bytes_max = 480 * KIB;
    rules.limits.share_queued_bytes_max = 380 * KIB;
    let app = App::new().authenticate(Said).on("tell", tell);
    let test = TestApp::with(app, rules, MemoryTasks::default());
    let of = async |tenant| test.connect_with(&[("x-tenant", tenant)]).await.unwrap();
    let readers = [of("acme").await, of("acme").await, of("acme").await];
    let (mut other, mut caller) = (of("umbra").await, of("boss").await);
    let mut sent = 0;
    for _ in 0..6 {
        let told = caller.call("tell", json!("acme")).await;
        sent += told["sent"].as_u64().unwrap();
    }
    // One for each is with the transport, and one is being written, which counts as the three that
    // wait do.
    assert_eq!(sent, 9, "of 10, which the process would hold");
    let told = caller.call("tell", json!("umbra")).await;
    assert_eq!(told["sent"], 1, "{told}");
    assert_eq!(other.next().await["type"], "news");
    drop(readers);
}
