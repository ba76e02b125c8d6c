//! An app is put together: mistakes panic at the caller's line, extractors and states reach handlers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use lift::action::Action;
use lift::app::{App, Backends};
use lift::clock::{Clock, Timestamp};
use lift::error::Error;
use lift::event::Connection;
use lift::extract::{Context, Metadata, Payload, State};
use lift::id::{ConnectionId, Owner, RequestId};
use lift::identity::{Authenticate, Denied, Handshake, Identity};
use lift::json::Json;
use lift::outbound::Outbound;
use lift::outbound::memory::MemoryPosts;
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::handle::Task;
use lift::task::memory::{MemoryResults, MemoryTasks};
use serde_json::json;

use crate::world::{START, World, owner};

async fn ok() -> Result<(), Error> {
    Ok(())
}

async fn wants_a_number(State(number): State<u16>) -> Result<u16, Error> {
    Ok(number)
}

fn backends() -> Backends {
    Backends {
        tasks: Arc::new(MemoryTasks::default()),
        connections: Connections::new(MemoryRegistry::default()),
        connection_age_max: Duration::MAX,
        rates: Arc::new(MemoryRates::default()),
        load: Load::default(),
        outbound: Outbound::new(MemoryPosts::default()),
        results: Arc::new(MemoryResults::default()),
        clock: Clock::system(),
    }
}

thread_local! {
    static PANIC: RefCell<Option<((String, u32), String)>> = const { RefCell::new(None) };
}

/// Where and with which text a closure panics. The hook is one for all tests, so it looks at the
/// panics of its own thread alone and passes each on.
fn panic_of(wire: impl FnOnce()) -> ((String, u32), String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let location = panic.location().map(|at| (at.file().to_owned(), at.line()));
            let text = panic.payload_as_str().unwrap_or_default().to_owned();
            PANIC.set(Some((location.unwrap_or_default(), text)));
            before(panic);
        }));
    });
    catch_unwind(AssertUnwindSafe(wire)).expect_err("it must panic");
    PANIC.take().expect("the hook saw it")
}

/// The mistake panics in this file, at most a few lines after the one that this is called on.
#[track_caller]
fn check(wire: impl FnOnce(), part: &str) {
    let called = Location::caller().line();
    let ((file, line), text) = panic_of(wire);
    assert!(text.contains(part), "`{part}` in `{text}`");
    let here = file == file!() && (called..called + 4).contains(&line);
    assert!(here, "called on line {called}, panicked at {file}:{line}");
}

#[test]
fn a_mistake_panics_at_the_line_that_made_it() {
    check(|| drop(App::new().on("ping", ok)), "reserved");
    check(|| drop(App::new().task("request.mine", ok)), "reserved");
    check(|| drop(App::new().on("channel.mine", ok)), "reserved");
    check(|| drop(App::new().on("presence.get", ok)), "reserved");
    check(|| drop(App::new().on("two words", ok)), "not a valid");
    check(|| drop(App::new().on("", ok)), "not a valid");
    check(|| drop(App::new().on("quo\"te", ok)), "not a valid");
    check(|| drop(App::new().on(&"a".repeat(65), ok)), "not a valid");
    check(|| drop(App::new().on("a", ok).task("a", ok)), "twice");
    let app = App::new().action("a.b", Action::task(ok));
    check(|| drop(app.on("a.b", ok)), "twice");
    let app = App::new().state(7_u32).on("a", wants_a_number);
    check(|| drop(app.bind(backends())), "u16");
    let app = App::new().action("a", Action::task(ok).before(wants_a_number));
    check(|| drop(app.bind(backends())), "u16");
    let app = App::new().action("a", Action::task(ok).after(wants_a_number));
    check(|| drop(app.bind(backends())), "u16");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_given_whatever_its_arguments_say() {
    type All = (Owner, RequestId, Metadata, State<String>, Task, Json);
    async fn all(
        owner: Owner,
        id: RequestId,
        Metadata(metadata): Metadata,
        State(state): State<String>,
        task: Task,
        payload: Json,
    ) -> Result<serde_json::Value, Error> {
        let claim = task.claim();
        Ok(json!([
            owner.to_string(),
            id,
            metadata,
            state,
            claim,
            task.attempt(),
            payload
        ]))
    }
    let _: Option<All> = None;
    let app = App::new()
        .state("shared".to_owned())
        .state(7_u16)
        .on("all", all)
        .task("all_later", all)
        .on("number", wants_a_number)
        .on(
            "typed",
            |Payload(letters): Payload<BTreeMap<char, u8>>| async move { Ok::<_, Error>(letters) },
        );
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    let text = |action: &str| {
        json!({"action": action, "metadata": {"k": "v"}, "payload": {"a": 1}}).to_string()
    };
    let given =
        |claim: u64| json!(["acme#ann", "<ulid>", {"k": "v"}, "shared", claim, 1, {"a": 1}]);
    let answer = json!({"type": "response", "request_id": "<ulid>", "data": given(0)});
    client.check(&text("all"), &answer).await;
    client.send(&text("all_later")).await;
    world.settle().await;
    client.check_inbox(&[
        json!({"type": "complete", "request_id": "<ulid>", "seq": 1, "result": given(1)}),
    ]);
    assert_eq!(client.ask("number", json!(null)).await["data"], 7);
    assert_eq!(
        client.ask("typed", json!({"a": 1})).await["data"],
        json!({"a": 1})
    );
}

/// An extractor of an app's own: the connection's address, which a task has not.
struct Address(Option<String>);

impl lift::extract::FromContext for Address {
    fn from_context(context: &Context) -> Result<Self, Error> {
        let connection = context.connection.as_ref();
        Ok(Self(
            connection.map(|connection| connection.source_ip.clone()),
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_may_bring_its_own_extractor() {
    let address = |Address(address): Address| async move { Ok::<_, Error>(address) };
    let app = App::new().on("now", address).task("later", address);
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    assert_eq!(client.ask("now", json!(null)).await["data"], "192.0.2.1");
    client.submit("later", json!(null)).await;
    world.settle().await;
    assert_eq!(client.inbox()[0]["result"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn in_a_sync_handler_a_task_reports_to_nobody() {
    let act = |task: Task| async move {
        task.progress(5.0, "five").await?;
        task.checkpoint(&1).await?;
        Ok::<_, Error>(task.resumed_from::<u8>())
    };
    let client = World::new(App::new().on("act", act)).connect("c1=", "ann");
    assert_eq!(client.ask("act", json!(null)).await["data"], json!(null));
    client.check_inbox(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_an_estimate_is_deferred_above_the_threshold() {
    let seconds = |payload: &Json| {
        let millis = payload.get().parse().unwrap_or(0);
        Duration::from_millis(millis)
    };
    let act = |task: Task| async move { Ok::<_, Error>(task.claim()) };
    let mut limits = lift::limits::Limits::default();
    for (threshold, payload, deferred) in [
        (5_000, 0, false),
        (5_000, 5_000, false),
        (5_000, 5_001, true),
        (100, 101, true),
    ] {
        limits.defer_above = Duration::from_millis(threshold);
        let app = App::new()
            .limits(limits.clone())
            .action("act", Action::estimated(seconds, act));
        let mut world = World::new(app);
        let client = world.connect("c1=", "ann");
        let answer = client.ask("act", json!(payload)).await;
        if deferred {
            assert_eq!(answer["type"], "acknowledgment", "{answer}");
            world.settle().await;
            assert_eq!(client.inbox()[0]["result"], 1);
        } else {
            assert_eq!(
                (&answer["type"], &answer["data"]),
                (&json!("response"), &json!(0))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ended_is_cleaned_up_after_whichever_way() {
    let cleaned = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&cleaned);
    let clean = move |id: RequestId, payload: Json| {
        seen.lock().unwrap().push(id.to_string());
        async move {
            assert_eq!(payload, Json::null());
            Err::<(), _>(Error::internal("a cleanup that fails is a log line"))
        }
    };
    let act = |payload: Json| async move {
        match payload.get() {
            "0" => Ok(()),
            _ => Err(Error::internal("no")),
        }
    };
    let app = App::new().action("act", Action::task(act).after(clean));
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    let mut ids = Vec::new();
    for payload in 0..2 {
        ids.push(client.submit("act", json!(payload)).await);
        world.settle().await;
    }
    ids.push(client.submit("act", json!(3)).await);
    client
        .ask("request.cancel", json!({"request_id": ids[2]}))
        .await;
    assert_eq!(*cleaned.lock().unwrap(), ids);
}

#[derive(Debug)]
struct Tokens;

#[async_trait::async_trait]
impl Authenticate for Tokens {
    async fn authenticate(
        &self,
        handshake: &Handshake,
        now: Timestamp,
    ) -> Result<Identity, Denied> {
        match handshake.header("authorization").next() {
            Some("Bearer ann") => Ok(Identity {
                owner: owner("ann"),
                permissions: None,
                expires_at: Some(now + Duration::from_secs(1)),
            }),
            Some("Bearer bob") => Err(Denied::Forbidden("not here".to_owned())),
            _ => Err(Denied::Unauthorized("no token".to_owned())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_connect_is_decided_by_the_apps_own_check() {
    let world = World::new(App::new().authenticate(Tokens));
    let decide = async |token: &str| {
        let headers = vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        let handshake = Handshake {
            headers,
            ..Handshake::default()
        };
        world.runtime.authenticate(&handshake).await
    };
    let identity = decide("ann").await.unwrap();
    assert_eq!(identity.owner, owner("ann"));
    assert_eq!(identity.expires_at, Some(START + Duration::from_secs(1)));
    assert!(matches!(decide("bob").await, Err(Denied::Forbidden(_))));
    assert!(matches!(decide("eve").await, Err(Denied::Unauthorized(_))));
    let anyone = World::new(App::new());
    let identity = anyone
        .runtime
        .authenticate(&Handshake::default())
        .await
        .unwrap();
    assert_eq!(identity.owner.to_string(), "local#anyone");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_registered_while_it_is_open_and_the_subprotocol_echoed_if_offered() {
    let world = World::new(App::new().subprotocol("streamer.v1"));
    let connections = &world.runtime.backends().connections;
    let client = world.connect("c1=", "ann");
    for (offered, echoed) in [
        (vec![], None),
        (vec!["bearer.x"], None),
        (vec!["bearer.x", "streamer.v1"], Some("streamer.v1")),
    ] {
        let offered: Vec<String> = offered.into_iter().map(str::to_owned).collect();
        let chosen = world
            .runtime
            .connect(&client.connection, &offered)
            .await
            .unwrap();
        assert_eq!(chosen.as_deref(), echoed);
    }
    let id = ConnectionId::new("c1=");
    let registered = connections.get(&id, START).await.unwrap().unwrap();
    assert_eq!(
        (registered.owner, registered.connected_at),
        (owner("ann"), START)
    );
    let connection: &Connection = &client.connection;
    world.runtime.disconnect(connection).await.unwrap();
    world.runtime.disconnect(connection).await.unwrap();
    assert_eq!(connections.get(&id, START).await.unwrap(), None);
}

#[test]
fn subprotocols_are_read_from_every_header_in_order() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let handshake = Handshake {
        headers: vec![
            header("sec-websocket-protocol", "a, b,,c"),
            header("Host", "x"),
            header("Sec-WebSocket-Protocol", " d "),
        ],
        ..Handshake::default()
    };
    assert_eq!(
        handshake.subprotocols().collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
}
