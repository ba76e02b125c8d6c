//! One app on memory backends: messages and time go in, answers and posts come out as JSON.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lift::app::{App, Backends, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::event::Connection;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::identity::Identity;
use lift::outbound::memory::MemoryPosts;
use lift::outbound::{Outbound, Post, PostError};
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::memory::{MemoryResults, MemoryTasks};
use lift::task::record::{Key, Record};
use lift::task::store::TaskStore;
use lift::task::worker::Delivery;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// 2026-11-22T10:00:00.000Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);

pub(crate) fn owner(user: &str) -> Owner {
    Owner::new("acme", user).unwrap()
}

/// Posts that can be made to fail, and that say when each message arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Posts {
    memory: MemoryPosts,
    faults: Arc<Mutex<HashMap<ConnectionId, Vec<Fault>>>>,
    arrived: Arc<Mutex<Vec<(Instant, ConnectionId)>>>,
}

/// What happens to one post.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Throttled,
    Unavailable,
    Hangs,
}

impl Posts {
    /// The next posts to `connection` fail so, one after the other.
    pub(crate) fn fail(&self, connection: &str, faults: &[Fault]) {
        let mut all = self.faults.lock().unwrap();
        let next = all.entry(ConnectionId::new(connection)).or_default();
        next.extend(faults.iter().rev());
    }

    /// How long after `since` each message to `connection` arrived.
    pub(crate) fn arrivals(&self, connection: &str, since: Instant) -> Vec<Duration> {
        let arrived = self.arrived.lock().unwrap();
        let to = arrived.iter().filter(|(_, to)| to.as_str() == connection);
        to.map(|(at, _)| *at - since).collect()
    }
}

#[async_trait]
impl Post for Posts {
    async fn post(&self, connection: &ConnectionId, message: Bytes) -> Result<(), PostError> {
        let fault = self
            .faults
            .lock()
            .unwrap()
            .get_mut(connection)
            .and_then(Vec::pop);
        match fault {
            Some(Fault::Throttled) => return Err(PostError::Throttled),
            Some(Fault::Unavailable) => return Err(PostError::Unavailable("a fault".into())),
            Some(Fault::Hangs) => std::future::pending().await,
            None => {}
        }
        self.memory.post(connection, message).await?;
        let arrival = (Instant::now(), connection.clone());
        self.arrived.lock().unwrap().push(arrival);
        Ok(())
    }

    async fn close(&self, connection: &ConnectionId) -> Result<(), PostError> {
        self.memory.close(connection).await
    }
}

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) posts: Posts,
    pub(crate) results: MemoryResults,
    /// Reads what is stored; never fails, whatever the app's own store does.
    pub(crate) stored: MemoryTasks,
    running: JoinSet<Delivery>,
}

impl World {
    pub(crate) fn new(app: App) -> Self {
        Self::with(app, |tasks| tasks)
    }

    /// The app sees the store through what `wrap` makes of it.
    pub(crate) fn with<S: TaskStore>(app: App, wrap: impl FnOnce(MemoryTasks) -> S) -> Self {
        let (posts, results) = (Posts::default(), MemoryResults::default());
        let stored = MemoryTasks::default();
        let runtime = app.bind(Backends {
            tasks: Arc::new(wrap(stored.clone())),
            connections: Connections::new(MemoryRegistry::default()),
            connection_age_max: Duration::MAX,
            rates: Arc::new(MemoryRates::default()),
            load: Load::default(),
            outbound: Outbound::new(posts.clone()),
            results: Arc::new(results.clone()),
            clock: Clock::starting_at(START),
        });
        Self {
            runtime,
            posts,
            results,
            stored,
            running: JoinSet::new(),
        }
    }

    /// A second process on the same backends.
    pub(crate) fn beside(&self, app: App) -> Runtime {
        app.bind(self.runtime.backends().clone())
    }

    /// Opens a connection of `user`, whose token allows all and lasts.
    pub(crate) fn connect(&self, connection: &str, user: &str) -> Client {
        let identity = Identity {
            owner: owner(user),
            permissions: None,
            expires_at: None,
        };
        self.connect_as(connection, identity)
    }

    pub(crate) fn connect_as(&self, connection: &str, identity: Identity) -> Client {
        let id = ConnectionId::new(connection);
        self.posts.memory.open(id.clone());
        let connection = Connection {
            id,
            identity,
            source_ip: "192.0.2.1".to_owned(),
            user_agent: None,
            connected_at: self.runtime.backends().clock.now(),
        };
        Client {
            runtime: self.runtime.clone(),
            posts: self.posts.clone(),
            connection: Arc::new(connection),
        }
    }

    /// The connection is gone: posts to it meet 410.
    pub(crate) async fn cut(&self, client: &Client) {
        self.posts
            .memory
            .close(&client.connection.id)
            .await
            .unwrap();
    }

    /// Delivers what is due now, each in its own task.
    pub(crate) async fn start_due(&mut self) {
        let now = self.runtime.backends().clock.now();
        for due in self.stored.due(now, None, 1_000).await.unwrap() {
            let runtime = self.runtime.clone();
            self.running
                .spawn(async move { runtime.deliver(&due.key).await.unwrap() });
        }
    }

    /// Waits for the deliveries that run, and says what became of them.
    pub(crate) async fn finish_running(&mut self) -> Vec<Delivery> {
        let mut done = Vec::new();
        while let Some(delivery) = self.running.join_next().await {
            done.push(delivery.unwrap());
        }
        done
    }

    /// Drops the deliveries that run, as a crash does.
    pub(crate) async fn crash(&mut self) {
        self.running.shutdown().await;
    }

    /// Delivers whatever falls due until nothing will.
    pub(crate) async fn settle(&mut self) -> Vec<Delivery> {
        let mut done = self.finish_running().await;
        while let Some(at) = self.stored.next_due().await.unwrap() {
            let now = self.runtime.backends().clock.now();
            tokio::time::sleep(at.since(now)).await;
            self.start_due().await;
            done.extend(self.finish_running().await);
        }
        done
    }

    pub(crate) async fn record(&self, user: &str, id: &str) -> Record {
        let key = key(user, id);
        self.stored.get(&key).await.unwrap().expect("it is stored")
    }
}

pub(crate) fn key(user: &str, id: &str) -> Key {
    Key {
        owner: owner(user),
        id: id.parse().unwrap(),
    }
}

pub(crate) struct Client {
    pub(crate) connection: Arc<Connection>,
    runtime: Runtime,
    posts: Posts,
}

impl Client {
    /// The answer to a message; what follows it is in the inbox when this returns.
    pub(crate) async fn send(&self, text: &str) -> Value {
        serde_json::from_str(&self.send_raw(text).await).unwrap()
    }

    /// The answer as it goes over the wire.
    pub(crate) async fn send_raw(&self, text: &str) -> String {
        let reply = self
            .runtime
            .message(Arc::clone(&self.connection), text)
            .await;
        let answer = String::from_utf8(reply.message.to_bytes().to_vec()).unwrap();
        drop(reply.hold);
        self.runtime.follow(&self.connection.id, reply.follow).await;
        answer
    }

    pub(crate) async fn ask(&self, action: &str, payload: Value) -> Value {
        let message = json!({"id": "c", "action": action, "payload": payload});
        self.send(&message.to_string()).await
    }

    /// Submits a task and gives its request id.
    pub(crate) async fn submit(&self, action: &str, payload: Value) -> String {
        let answer = self.ask(action, payload).await;
        assert_eq!(answer["type"], "acknowledgment", "{answer}");
        answer["request_id"].as_str().unwrap().to_owned()
    }

    /// What was posted to the connection since the last call.
    pub(crate) fn inbox(&self) -> Vec<Value> {
        let taken = self.posts.memory.take(&self.connection.id);
        taken
            .iter()
            .map(|bytes| serde_json::from_slice(bytes).unwrap())
            .collect()
    }

    /// Sends a message and compares its answer; see [`matches`].
    pub(crate) async fn check(&self, message: &str, expected: &Value) {
        let answer = self.send(message).await;
        assert!(
            matches(expected, &answer),
            "to {message}\nexpected {expected}\nanswered {answer}"
        );
    }

    /// Sends a message that must be refused with `code` at exactly these places.
    pub(crate) async fn check_refused(&self, message: &str, code: &str, pointers: &[&str]) {
        let answer = self.send(message).await;
        assert_eq!(answer["type"], "error", "to {message}: {answer}");
        assert_eq!(answer["error"]["code"], code, "to {message}: {answer}");
        assert_eq!(places(&answer), pointers, "to {message}: {answer}");
    }

    /// Compares what was posted to the connection since the last look.
    #[track_caller]
    pub(crate) fn check_inbox(&self, expected: &[Value]) {
        let inbox = self.inbox();
        let same = inbox.len() == expected.len()
            && expected
                .iter()
                .zip(&inbox)
                .all(|(expected, got)| matches(expected, got));
        assert!(same, "expected {expected:#?}\nposted {inbox:#?}");
    }
}

/// The pointers that an error names, in order.
pub(crate) fn places(answer: &Value) -> Vec<&str> {
    let fields = answer["error"]["fields"].as_array();
    fields
        .into_iter()
        .flatten()
        .map(|field| field["pointer"].as_str().unwrap())
        .collect()
}

/// Whether a message is what was expected, field for field: `<ulid>` stands for any request id,
/// `<time>` for any time of the protocol's form, `<text>` for any text that is not empty, and
/// `<any>` for anything.
pub(crate) fn matches(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(pattern), _) if pattern == "<any>" => true,
        (Value::String(pattern), Value::String(text)) => match pattern.as_str() {
            "<ulid>" => text.parse::<RequestId>().is_ok(),
            "<time>" => is_time(text),
            "<text>" => !text.is_empty(),
            _ => pattern == text,
        },
        (Value::Object(expected), Value::Object(got)) => {
            let sorted = |object: &serde_json::Map<String, Value>| -> BTreeMap<String, Value> {
                object.clone().into_iter().collect()
            };
            let (expected, got) = (sorted(expected), sorted(got));
            expected.keys().eq(got.keys())
                && expected
                    .values()
                    .zip(got.values())
                    .all(|(expected, got)| matches(expected, got))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .zip(got)
                    .all(|(expected, got)| matches(expected, got))
        }
        _ => expected == got,
    }
}

fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// Lines that were logged on this thread since the guard was made.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    pub(crate) fn start() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Sink(Arc::clone(&sink)))
            .finish();
        Self {
            text,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
