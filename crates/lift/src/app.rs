//! An app: actions and what they share come in; bound to its backends, it answers events.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use crate::action::Action;
use crate::clock::Clock;
use crate::control;
use crate::envelope::{Envelope, Rejected};
use crate::error::{Error, StoreError};
use crate::event::Connection;
use crate::extract::state::States;
use crate::following::Followed;
use crate::handler::Handler;
use crate::id::{ConnectionId, Owner, RequestId};
use crate::identity::{Authenticate, Denied, Everyone, Handshake, Identity};
use crate::limits::Limits;
use crate::middleware::metrics::Counters;
use crate::middleware::{self, Cell};
use crate::outbound::Outbound;
use crate::overload::Load;
use crate::rate::{Rates, Scope};
use crate::registry::{Connections, Kept, Registered};
use crate::request::{Follow, Reply, Request};
use crate::router::Router;
use crate::task::announce::Results;
use crate::task::record::Key;
use crate::task::store::TaskStore;
use crate::task::worker::Delivery;

/// The definition of an application: the same in a test, on one machine, and on AWS.
///
/// ```
/// use lift::app::App;
/// use lift::error::Error;
/// use lift::extract::Payload;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greet { name: String }
///
/// async fn greet(Payload(greet): Payload<Greet>) -> Result<String, Error> {
///     Ok(format!("hello, {}", greet.name))
/// }
///
/// let app = App::new().on("greet", greet);
/// ```
pub struct App {
    pub(crate) actions: BTreeMap<String, Action>,
    pub(crate) states: Arc<States>,
    pub(crate) limits: Limits,
    building: States,
    authenticate: Arc<dyn Authenticate>,
    subprotocol: Option<String>,
    layers: Vec<Box<dyn Fn(Cell) -> Cell + Send + Sync>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// An app without actions that lets everyone in as user `anyone` of tenant `local`.
    pub fn new() -> Self {
        let owner = Owner::new("local", "anyone").expect("both are well-shaped ids");
        Self {
            actions: BTreeMap::new(),
            states: Arc::default(),
            limits: Limits::default(),
            building: States::default(),
            authenticate: Arc::new(Everyone(owner)),
            subprotocol: None,
            layers: Vec::new(),
        }
    }

    /// Adds a handler that answers at once.
    ///
    /// # Panics
    /// When the name is taken, reserved or badly shaped.
    #[must_use]
    #[track_caller]
    pub fn on<A: 'static>(self, name: &str, handler: impl Handler<A>) -> Self {
        self.action(name, Action::sync(handler))
    }

    /// Adds a handler that runs as a durable task.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[must_use]
    #[track_caller]
    pub fn task<A: 'static>(self, name: &str, handler: impl Handler<A>) -> Self {
        self.action(name, Action::task(handler))
    }

    /// Adds an action.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[must_use]
    #[track_caller]
    pub fn action(mut self, name: &str, action: Action) -> Self {
        assert!(
            !crate::control::is_reserved(name),
            "the action name `{name}` is reserved"
        );
        let shaped = Envelope::parse(&format!(r#"{{"action":"{name}"}}"#)).is_ok();
        assert!(shaped, "`{name}` is not a valid action name");
        let taken = self.actions.insert(name.to_owned(), action);
        assert!(taken.is_none(), "the action `{name}` is added twice");
        self
    }

    /// Shares a value with handlers that take a [`State`](crate::extract::State) of its type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.building.insert(value);
        self
    }

    /// Decides who may connect.
    #[must_use]
    pub fn authenticate(mut self, authenticate: impl Authenticate) -> Self {
        self.authenticate = Arc::new(authenticate);
        self
    }

    /// The subprotocol that is echoed to clients that offer it (RFC 6455 §1.9).
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocol = Some(name.to_owned());
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Wraps the router in a layer, inside the standard ones and outside those added before.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Cell> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Reply, Error = std::convert::Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.layers
            .push(Box::new(move |inner| Cell::new(layer.layer(inner))));
        self
    }

    /// The actions by name.
    pub fn actions(&self) -> &BTreeMap<String, Action> {
        &self.actions
    }

    /// Ties the app to the backends that it runs on.
    ///
    /// # Panics
    /// When a handler asks for a state that the app was not given.
    #[must_use]
    #[track_caller]
    pub fn bind(mut self, mut backends: Backends) -> Runtime {
        self.building.insert(Arc::clone(&backends.tasks));
        self.states = Arc::new(std::mem::take(&mut self.building));
        for (name, action) in &self.actions {
            for handler in std::iter::once(&action.handler)
                .chain(&action.before)
                .chain(&action.after)
            {
                if let Err(missing) = (handler.check)(&self.states) {
                    panic!("the action `{name}` needs a state of type `{missing}`");
                }
            }
        }
        let (connections, clock) = (backends.connections.clone(), backends.clock.clone());
        backends.outbound = backends.outbound.knowing(connections, clock);
        let layers = std::mem::take(&mut self.layers);
        let (owed, owing) = mpsc::channel(OWED_MAX);
        let names = self.actions.keys().map(String::as_str);
        let counters = Counters::new(names.chain(control::NAMES));
        let inner = Arc::new(Inner {
            app: self,
            counters,
            backends,
            running: Running::default(),
            followed: Followed::default(),
            woken: Notify::new(),
            draining: CancellationToken::new(),
            owed: (owed, tokio::sync::Mutex::new(owing)),
        });
        let router = Cell::new(Router::new(Arc::clone(&inner)));
        let cell = layers.iter().fold(router, |cell, layer| layer(cell));
        Runtime { inner, cell }
    }
}

/// What an app runs on.
#[derive(Debug, Clone)]
pub struct Backends {
    /// Where requests are kept.
    pub tasks: Arc<dyn TaskStore>,
    /// Where connections are kept.
    pub connections: Connections,
    /// The age at which a connection counts as gone even if nobody said so: above the gateway's
    /// own limit of it, or [`Duration::MAX`](std::time::Duration::MAX) where the host always says.
    pub connection_age_max: std::time::Duration,
    /// What clients have used up of their rates.
    pub rates: Arc<dyn Rates>,
    /// Whether this process has more to do than it can.
    pub load: Load,
    /// The way to clients.
    pub outbound: Outbound,
    /// Where large results are kept.
    pub results: Arc<dyn Results>,
    /// The time.
    pub clock: Clock,
}

pub(crate) struct Inner {
    pub(crate) app: App,
    pub(crate) counters: Counters,
    pub(crate) backends: Backends,
    pub(crate) running: Running,
    pub(crate) followed: Followed,
    pub(crate) woken: Notify,
    pub(crate) draining: CancellationToken,
    /// What connections without room are to be told once they have some.
    pub(crate) owed: (mpsc::Sender<Owed>, tokio::sync::Mutex<mpsc::Receiver<Owed>>),
}

/// A connection, and what it is to be told.
type Owed = (ConnectionId, Follow);

/// Terminal messages that wait for [`Runtime::owed`]; those past it wait for a resume.
const OWED_MAX: usize = 1_024;

/// The requests that run in this process, so that a cancel reaches them at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<Key, Arc<Notify>>>>);

#[derive(Debug)]
pub(crate) struct Entered {
    running: Running,
    key: Key,
    pub(crate) poked: Arc<Notify>,
}

impl Running {
    pub(crate) fn enter(&self, key: &Key) -> Entered {
        let poked = Arc::new(Notify::new());
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(key.clone(), Arc::clone(&poked));
        Entered {
            running: self.clone(),
            key: key.clone(),
            poked,
        }
    }

    pub(crate) fn poke(&self, key: &Key) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poked) = running.get(key) {
            poked.notify_one();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut running = self
            .running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A later claim of the same request in this process may have entered meanwhile.
        if running
            .get(&self.key)
            .is_some_and(|poked| Arc::ptr_eq(poked, &self.poked))
        {
            running.remove(&self.key);
        }
    }
}

/// Why a connection was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotConnected {
    /// Its user or tenant has more than the limits allow: 429.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A backend cannot keep it.
    #[error("the connection cannot be kept")]
    Store(#[from] StoreError),
}

/// An app on its backends. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    cell: Cell,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("app", &self.inner.app)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Decides whether a client may connect.
    ///
    /// # Errors
    /// When it may not; see [`Denied`].
    pub async fn authenticate(&self, handshake: &Handshake) -> Result<Identity, Denied> {
        let now = self.inner.backends.clock.now();
        let decided = self
            .inner
            .app
            .authenticate
            .authenticate(handshake, now)
            .await;
        if let Err(denied) = &decided {
            tracing::info!(%denied, source_ip = handshake.source_ip, "handshake refused");
        }
        decided
    }

    /// Takes a new connection in, and gives the subprotocol to echo, if any.
    ///
    /// # Errors
    /// When the handshake must be refused; see [`NotConnected`].
    pub async fn connect(
        &self,
        connection: &Connection,
        offered: &[String],
    ) -> Result<Option<String>, NotConnected> {
        let Backends {
            connections, rates, ..
        } = &self.inner.backends;
        let owner = &connection.identity.owner;
        let limits = &self.inner.app.limits;
        let scopes = [
            limits
                .user_connect_rate
                .map(|rate| (Scope::UserConnects(owner.clone()), rate)),
            limits
                .tenant_connect_rate
                .map(|rate| (Scope::TenantConnects(owner.tenant.clone()), rate)),
        ];
        let scopes: Vec<_> = scopes.into_iter().flatten().collect();
        if !scopes.is_empty() && rates.take(&scopes, connection.connected_at).await?.is_err() {
            return Err(NotConnected::TooMany("new connections"));
        }
        let registered = Registered {
            id: connection.id.clone(),
            owner: connection.identity.owner.clone(),
            connected_at: connection.connected_at,
            expires_at: connection.connected_at + self.inner.backends.connection_age_max,
        };
        match connections.put(registered, limits.connections).await? {
            Kept::Kept => {}
            Kept::UserFull => return Err(NotConnected::TooMany("connections of the user")),
            Kept::TenantFull => return Err(NotConnected::TooMany("connections of the tenant")),
        }
        let echoed = self.inner.app.subprotocol.as_ref();
        Ok(echoed.filter(|name| offered.contains(name)).cloned())
    }

    /// Answers one message. Never fails: every error has become a reply.
    pub async fn message(&self, connection: Arc<Connection>, text: &str) -> Reply {
        let now = self.inner.backends.clock.now();
        let id = RequestId::from_parts(now, crate::random::u80());
        match Envelope::parse(text) {
            Ok(envelope) => {
                let request = Request {
                    id,
                    connection,
                    envelope,
                    received_at: now,
                };
                middleware::standard(request, self.cell.clone(), &self.inner).await
            }
            Err(Rejected { id, error }) => {
                let error = match self.inner.room(&connection, now).await {
                    Ok(()) => error,
                    Err(full) => full,
                };
                Reply::refused(None, id, error)
            }
        }
    }

    /// Forgets a connection.
    ///
    /// # Errors
    /// When the registry cannot.
    pub async fn disconnect(&self, connection: &Connection) -> Result<(), StoreError> {
        self.inner.backends.connections.delete(&connection.id).await
    }

    /// Says what follows an answer, once that is on its way.
    pub async fn follow(&self, connection: &ConnectionId, follow: Vec<Follow>) {
        self.inner.follow(connection, follow).await;
    }

    /// Takes what [`owed`](Self::owed) would give, without waiting: for a process that stands still
    /// between two events.
    pub async fn owed_now(&self) -> Vec<(ConnectionId, Follow)> {
        let mut owing = self.inner.owed.1.lock().await;
        std::iter::from_fn(|| owing.try_recv().ok()).collect()
    }

    /// Waits for a connection that had no room for a terminal message, and gives it with what to
    /// [`follow`](Self::follow). Nothing is lost if it is dropped.
    pub async fn owed(&self) -> (ConnectionId, Follow) {
        let owed = self.inner.owed.1.lock().await.recv().await;
        match owed {
            Some(owed) => owed,
            // The sender lies beside it.
            None => std::future::pending().await,
        }
    }

    /// Claims a request that is due and sees it through.
    ///
    /// # Errors
    /// When the store cannot say whether the claim succeeded.
    pub async fn deliver(&self, key: &Key) -> Result<Delivery, StoreError> {
        self.inner.deliver(key, None).await
    }

    /// The same where this process has no more time than `until`: a task that runs then is asked to
    /// give its lease back, and goes on from its checkpoint elsewhere.
    ///
    /// # Errors
    /// As [`deliver`](Self::deliver).
    pub async fn deliver_until(&self, key: &Key, until: Instant) -> Result<Delivery, StoreError> {
        self.inner.deliver(key, Some(until)).await
    }

    /// One of `owner`'s requests as JSON, as `request.get` shows it.
    ///
    /// # Errors
    /// `NOT_FOUND` where it is not one of theirs.
    pub async fn request(&self, owner: &Owner, id: &str) -> Result<crate::json::Json, Error> {
        self.inner.get(owner, id).await
    }

    /// Waits until a request was accepted here. Nothing is lost if it is dropped.
    pub async fn woken(&self) {
        self.inner.woken.notified().await;
    }

    /// Stops taking new tasks and asks the running ones to give their leases back.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.app.limits
    }

    /// The actions by name.
    pub fn actions(&self) -> &BTreeMap<String, Action> {
        &self.inner.app.actions
    }

    /// What the app runs on.
    pub fn backends(&self) -> &Backends {
        &self.inner.backends
    }
}
