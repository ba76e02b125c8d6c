//! What an app bounds: messages and connections come in too fast or too many, refusals go out; one message goes to many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lift::app::{App, Backends, NotConnected};
use lift::error::Error;
use lift::event::Connection;
use lift::id::{ConnectionId, Owner};
use lift::identity::Identity;
use lift::json::Json;
use lift::limits::Limits;
use lift::outbound::{AT_ONCE, BROADCAST_TIMEOUT, Broadcast, Outbound, Post, PostError, To};
use lift::registry::Room;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{Client, World, owner};

fn app(change: impl FnOnce(&mut Limits)) -> App {
    let mut limits = Limits::default();
    change(&mut limits);
    App::new()
        .limits(limits)
        .on("echo", async |payload: Json| Ok::<_, Error>(payload))
        .task("later", async || Ok::<_, Error>(()))
}

/// The code that one message is refused with, or "ok", and how long to wait.
async fn said(client: &Client, action: &str) -> (String, u64) {
    let answer = client.ask(action, json!(null)).await;
    let error = &answer["error"];
    (
        error["code"].as_str().unwrap_or("ok").to_owned(),
        error["retry_after_ms"].as_u64().unwrap_or(0),
    )
}

#[tokio::test(start_paused = true)]
async fn a_message_past_its_rate_is_told_how_long_to_wait() {
    let rate = "2/s:3".parse().unwrap();
    let world = World::new(app(|limits| limits.connection_rate = Some(rate)));
    let (client, other) = (world.connect("c1=", "ann"), world.connect("c2=", "ann"));
    // Control actions count too; what keeps alive does not.
    for action in ["ping", "echo", "request.list", "later"] {
        let (code, _) = said(&client, action).await;
        assert_ne!(code, "RATE_LIMITED", "{action}");
    }
    for action in ["echo", "later", "request.list"] {
        assert_eq!(
            said(&client, action).await,
            ("RATE_LIMITED".to_owned(), 501)
        );
    }
    assert_eq!(said(&client, "ping").await.0, "ok");
    assert_eq!(said(&other, "echo").await.0, "ok", "another connection");
    sleep(Duration::from_millis(501)).await;
    assert_eq!(said(&client, "echo").await.0, "ok");
    assert_eq!(said(&client, "echo").await.0, "RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_to_nothing_counts_as_any_other() {
    let echo = r#"{"action":"echo"}"#;
    for (text, refused) in [
        ("", "INVALID_JSON"),
        ("[[[[", "INVALID_JSON"),
        (r#"{"id":7}"#, "VALIDATION_ERROR"),
        (r#"{"action":"unknown"}"#, "UNKNOWN_ACTION"),
        (r#"{"action":"later"}"#, "FORBIDDEN"),
        (
            r#"{"action":"request.get","payload":1}"#,
            "VALIDATION_ERROR",
        ),
        (echo, "TOKEN_EXPIRED"),
    ] {
        let rate = "2/s:2".parse().unwrap();
        let world = World::new(app(|limits| limits.connection_rate = Some(rate)));
        let mut connection = connection("c1=", "ann");
        connection.identity.permissions = Some(vec!["echo".to_owned()]);
        let expired = refused == "TOKEN_EXPIRED";
        connection.identity.expires_at = expired.then_some(crate::world::START);
        let connection = Arc::new(connection);
        let mut codes = Vec::new();
        for text in [text, text, text, echo] {
            let connection = Arc::clone(&connection);
            let reply = world.runtime.message(connection, text).await;
            codes.push(reply.code().map_or("ok", |code| code.as_str()));
        }
        let full = "RATE_LIMITED";
        assert_eq!(codes, [refused, refused, full, full], "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_and_a_tenant_have_rates_over_all_their_connections() {
    let (two, three) = ("1/s:2".parse().unwrap(), "1/s:3".parse().unwrap());
    let world = World::new(app(|limits| {
        limits.user_rate = Some(two);
        limits.tenant_rate = Some(three);
    }));
    let [one, two, bob] =
        [("c1=", "ann"), ("c2=", "ann"), ("c3=", "bob")].map(|(id, user)| world.connect(id, user));
    let mut codes = Vec::new();
    for client in [&one, &two, &one, &bob, &bob] {
        codes.push(said(client, "echo").await.0);
    }
    assert_eq!(codes, ["ok", "ok", "RATE_LIMITED", "ok", "RATE_LIMITED"]);
}

fn connection(id: &str, user: &str) -> Connection {
    Connection {
        id: ConnectionId::new(id),
        identity: Identity {
            owner: owner(user),
            permissions: None,
            expires_at: None,
        },
        source_ip: "127.0.0.1".to_owned(),
        user_agent: None,
        connected_at: crate::world::START,
    }
}

/// Whether each of these connections, by id and user, is taken in.
async fn connected(app: App, connections: &[(&str, &str)]) -> Vec<&'static str> {
    let world = World::new(app);
    let mut taken = Vec::new();
    for (id, user) in connections {
        let connected = world.runtime.connect(&connection(id, user), &[]).await;
        taken.push(match connected {
            Ok(_) => "ok",
            Err(NotConnected::TooMany(what)) => what,
            Err(NotConnected::Store(_)) => "store",
        });
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn connections_past_their_number_or_rate_are_refused() {
    let wanted = [
        ("a=", "ann"),
        ("b=", "ann"),
        ("c=", "ann"),
        ("d=", "bob"),
        ("e=", "cid"),
    ];
    let room = Room {
        per_user: 2,
        per_tenant: 3,
    };
    let (user, tenant) = ("connections of the user", "connections of the tenant");
    let numbered = app(|limits| limits.connections = room);
    assert_eq!(
        connected(numbered, &wanted).await,
        ["ok", "ok", user, "ok", tenant]
    );
    let (two, three) = ("1/s:2".parse().unwrap(), "1/s:3".parse().unwrap());
    let rated = app(|limits| {
        limits.user_connect_rate = Some(two);
        limits.tenant_connect_rate = Some(three);
    });
    let new = "new connections";
    assert_eq!(
        connected(rated, &wanted).await,
        ["ok", "ok", new, "ok", new]
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_sheds_refuses_work_and_answers_about_what_it_took() {
    let mut world = World::new(app(|_| ()));
    let client = world.connect("c1=", "ann");
    let id = client.submit("later", json!(null)).await;
    world.runtime.backends().load.shed(true);
    for action in ["echo", "later"] {
        assert_eq!(
            said(&client, action).await,
            ("OVERLOADED".to_owned(), 1_000)
        );
    }
    assert_eq!(said(&client, "ping").await.0, "ok");
    let got = client.ask("request.get", json!({"request_id": id})).await;
    assert_eq!(got["data"]["state"], "queued", "{got}");
    world.settle().await;
    assert_eq!(client.inbox().len(), 1, "the end of what was accepted");
    world.runtime.backends().load.shed(false);
    assert_eq!(said(&client, "echo").await.0, "ok");
}

/// A broadcast from within an app with ann on c1= and c2=, bob on c3= and a connection of his that
/// is gone without anybody having said so.
async fn broadcast(to: To) -> (Broadcast, Vec<usize>) {
    let shout = move |out: Outbound| {
        let to = to.clone();
        async move { Ok::<_, Error>(out.broadcast(to, r#"{"type":"news"}"#).await?) }
    };
    let world = World::new(App::new().on("shout", shout));
    let clients = [
        ("c1=", "ann"),
        ("c2=", "ann"),
        ("c3=", "bob"),
        ("gone=", "bob"),
    ]
    .map(|(id, user)| world.connect(id, user));
    for client in &clients {
        world
            .runtime
            .connect(&client.connection, &[])
            .await
            .unwrap();
    }
    let [.., gone] = &clients;
    world.cut(gone).await;
    let answer = clients[0].ask("shout", json!(null)).await;
    let registry = &world.runtime.backends().connections;
    let known = registry.get(&gone.connection.id, crate::world::START).await;
    let data: &Value = &answer["data"];
    let count = |name: &str| usize::try_from(data[name].as_u64().unwrap()).unwrap();
    let done = Broadcast {
        sent: count("sent"),
        gone: count("gone"),
        throttled: count("throttled"),
        failed: count("failed"),
    };
    assert_eq!(known.unwrap().is_none(), done.gone > 0, "it is forgotten");
    let got = clients.iter().take(3).map(|client| client.inbox().len());
    (done, got.collect())
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_a_user_a_tenant_or_a_list() {
    let done = |sent, gone| Broadcast {
        sent,
        gone,
        ..Broadcast::default()
    };
    let acme = owner("ann").tenant;
    let nobody = Owner::new("acme", "nobody").unwrap();
    let list = ["c3=", "gone=", "never="].map(ConnectionId::new).to_vec();
    for (to, sent, gone, got) in [
        (To::User(owner("ann")), 2, 0, vec![1, 1, 0]),
        (To::Tenant(acme), 3, 1, vec![1, 1, 1]),
        (To::User(nobody), 0, 0, vec![0, 0, 0]),
        (To::Connections(list), 1, 2, vec![0, 0, 1]),
    ] {
        let text = format!("{to:?}");
        assert_eq!(broadcast(to).await, (done(sent, gone), got), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_ends_in_time_and_counts_what_it_did_not_reach() {
    #[derive(Debug)]
    struct Stuck;
    #[async_trait::async_trait]
    impl Post for Stuck {
        async fn post(&self, _: &ConnectionId, _: bytes::Bytes) -> Result<(), PostError> {
            std::future::pending().await
        }
        async fn close(&self, _: &ConnectionId) -> Result<(), PostError> {
            Ok(())
        }
    }
    let out = Outbound::new(Stuck);
    let ids = (0..1_000)
        .map(|n| ConnectionId::new(format!("{n}=")))
        .collect();
    let began = tokio::time::Instant::now();
    let done = out.broadcast(To::Connections(ids), "x").await.unwrap();
    assert_eq!((done.sent, done.failed), (0, 1_000));
    assert!(began.elapsed() <= BROADCAST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_begins_no_post_on_pages_past_its_deadline() {
    /// Takes a second for each post, and counts those that begin.
    #[derive(Debug, Default)]
    struct Slow(Arc<AtomicUsize>);
    #[async_trait::async_trait]
    impl Post for Slow {
        async fn post(&self, _: &ConnectionId, _: bytes::Bytes) -> Result<(), PostError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            Ok(())
        }
        async fn close(&self, _: &ConnectionId) -> Result<(), PostError> {
            Ok(())
        }
    }
    // Three pages of 1,000: the first is done in 16 s, the second is cut short, the third is late.
    let begun = Arc::new(AtomicUsize::new(0));
    let shout = async |owner: Owner, out: Outbound| {
        Ok::<_, Error>(out.broadcast(To::Tenant(owner.tenant), "x").await?)
    };
    let backends = Backends {
        outbound: Outbound::new(Slow(Arc::clone(&begun))),
        ..World::new(App::new()).runtime.backends().clone()
    };
    let runtime = App::new().on("shout", shout).bind(backends);
    for n in 0..2_500 {
        let member = connection(&format!("{n:04}="), &format!("user-{}", n % 7));
        runtime.connect(&member, &[]).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let client = Arc::new(connection("0000=", "user-0"));
    let reply = runtime.message(client, r#"{"action":"shout"}"#).await;
    let answer: Value = serde_json::from_slice(&reply.message.to_bytes()).unwrap();
    assert_eq!(began.elapsed(), BROADCAST_TIMEOUT);
    let sent = AT_ONCE * (BROADCAST_TIMEOUT.as_secs() as usize - 1);
    let done = &answer["data"];
    let count = |name: &str| done[name].as_u64().unwrap() as usize;
    assert_eq!(count("sent") + count("failed"), 2_500, "{done}");
    assert!((sent..=sent + AT_ONCE).contains(&count("sent")), "{done}");
    assert_eq!(begun.load(Ordering::Relaxed), 2_000, "{done}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_to_be_told_of_so_many_requests_and_no_more() {
    let world = World::new(app(|_| ()));
    let client = world.connect("c1=", "ann");
    let id = client.submit("later", json!(null)).await;
    let all: Vec<Value> = (0..100).map(|_| json!({"request_id": id})).collect();
    let resume = json!({"action": "request.resume", "payload": {"requests": all}}).to_string();
    let connection = || Arc::clone(&client.connection);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let reply = world.runtime.message(connection(), &resume).await;
        assert_eq!((reply.code(), reply.follow.len()), (None, 1), "told once");
        waiting.push(reply);
    }
    let refused = world.runtime.message(connection(), &resume).await;
    assert_eq!(refused.code(), Some(lift::error::Code::Overloaded));
    waiting.pop();
    let again = world.runtime.message(connection(), &resume).await;
    assert_eq!(again.code(), None, "once it was told");
}
