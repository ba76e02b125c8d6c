//! In: what a host configures. Out: the rules and limits that every session of a gateway follows.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lift_apigw::{event, limits};

use super::codec::Text;
use super::identity::IdentitySource;
use super::quota::Rate;
use super::route::RouteSelection;

/// The rules of one API: what is there, and within which limits.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// The API's names, as events carry them.
    pub api: Api,
    /// Where upgrades are accepted.
    pub paths: Paths,
    /// The routes by key; `$connect`, `$disconnect` and `$default` are optional like all others.
    pub routes: BTreeMap<String, Route>,
    /// What a message's route key is taken from.
    pub route_selection: RouteSelection,
    /// Who may connect; without it, everyone that `$connect` accepts.
    pub authorizer: Option<AuthorizerRules>,
    /// Whether `@connections` is answered over HTTP.
    pub management: Management,
    /// Sizes, times and counts.
    pub limits: Limits,
}

impl Rules {
    /// Adds a route whose answer goes nowhere, as is API Gateway's default.
    #[must_use]
    pub fn one_way(self, key: impl Into<String>) -> Self {
        self.route(key, Route::default())
    }

    /// Adds a route whose answer's body is sent to the caller.
    #[must_use]
    pub fn two_way(self, key: impl Into<String>) -> Self {
        self.route(key, Route::default().two_way())
    }

    /// Adds a route.
    ///
    /// ```
    /// use lift_gateway::{Route, Rules};
    ///
    /// let rules = Rules::default().route("ping", Route::mock("pong").two_way());
    /// assert_eq!(rules.check(), Ok(()));
    /// ```
    #[must_use]
    pub fn route(mut self, key: impl Into<String>, route: Route) -> Self {
        self.routes.insert(key.into(), route);
        self
    }

    /// Asks an authorizer before each handshake.
    #[must_use]
    pub fn authorizer(mut self, authorizer: AuthorizerRules) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// The ARN that an authorizer's policy must allow.
    #[must_use]
    pub fn connect_arn(&self) -> String {
        let Api {
            api_id,
            stage,
            account,
            region,
            ..
        } = &self.api;
        let route = event::CONNECT;
        format!("arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{route}")
    }

    /// Whether API Gateway would take these rules; hosts ask once, before they serve.
    ///
    /// # Errors
    /// More than 300 routes, a key that starts with `$` and is none of API Gateway's, an integration
    /// timeout outside 50 ms to 29 s, or a stage named `$default`.
    pub fn check(&self) -> Result<(), RulesError> {
        let routes = self.routes.len();
        if routes > limits::ROUTES_MAX {
            return Err(RulesError::TooManyRoutes { routes });
        }
        if self.api.stage == event::DEFAULT {
            return Err(RulesError::Stage);
        }
        let longest = self
            .limits
            .integration_timeout
            .max(limits::INTEGRATION_TIMEOUT);
        for (key, route) in &self.routes {
            let known = [event::CONNECT, event::DISCONNECT, event::DEFAULT];
            if key.is_empty() || key.starts_with('$') && !known.contains(&key.as_str()) {
                return Err(RulesError::RouteKey { key: key.clone() });
            }
            let fits = |time| (limits::INTEGRATION_TIMEOUT_MIN..=longest).contains(&time);
            if !route.timeout.is_none_or(fits) {
                return Err(RulesError::Timeout { key: key.clone() });
            }
        }
        Ok(())
    }

    /// Time that the function of a route has.
    pub(super) fn timeout(&self, route: &str) -> Duration {
        let own = self.routes.get(route).and_then(|route| route.timeout);
        own.unwrap_or(self.limits.integration_timeout)
    }
}

/// Why API Gateway would not take some rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// More routes than an API may have.
    #[error("{routes} routes are more than the {} of one API", limits::ROUTES_MAX)]
    TooManyRoutes {
        /// How many.
        routes: usize,
    },
    /// A route key that no route may have.
    #[error("a route's key cannot be `{key}`")]
    RouteKey {
        /// The key.
        key: String,
    },
    /// An integration timeout out of range.
    #[error("the integration timeout of `{key}` is not within 50 ms and 29 s")]
    Timeout {
        /// The route's key.
        key: String,
    },
    /// A stage name that no stage of a WebSocket API may have.
    #[error("a stage cannot be named `$default`")]
    Stage,
}

/// Whether `@connections` is answered over HTTP, below the paths where upgrades are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Management {
    /// No: such a path is refused like any other.
    #[default]
    Off,
    /// Yes, to whoever reaches the port: signatures are not checked.
    Unsigned,
}

/// An API's names, as events carry them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Api {
    /// `requestContext.apiId`.
    pub api_id: String,
    /// `requestContext.stage`.
    pub stage: String,
    /// The account in ARNs.
    pub account: String,
    /// The region in ARNs.
    pub region: String,
    /// `requestContext.domainName`; without it, the `Host` that the client used.
    pub domain_name: Option<String>,
    /// The stage's variables, in order; without any, events have none.
    pub stage_variables: Vec<(String, String)>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            api_id: "local".to_owned(),
            stage: "default".to_owned(),
            account: "000000000000".to_owned(),
            region: "local".to_owned(),
            domain_name: None,
            stage_variables: Vec::new(),
        }
    }
}

/// Where upgrades are accepted.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The paths, exactly.
    pub accepted: Vec<String>,
    /// The status elsewhere: API Gateway answers 403.
    pub otherwise: u16,
}

impl Default for Paths {
    /// Upgrades at `/` alone; elsewhere 404, as a server without stages says it.
    fn default() -> Self {
        Self {
            accepted: vec!["/".to_owned()],
            otherwise: 404,
        }
    }
}

impl Paths {
    /// Upgrades at `/{stage}`; elsewhere 403, as API Gateway does.
    #[must_use]
    pub fn stage(stage: &str) -> Self {
        Self {
            accepted: vec![format!("/{stage}"), format!("/{stage}/")],
            otherwise: 403,
        }
    }
}

/// One route; by default a function is asked and its answer goes nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// What is asked.
    pub integration: RouteIntegration,
    /// What happens to the answer.
    pub response: RouteResponse,
    /// Time that the integration has instead of [`Limits::integration_timeout`].
    pub timeout: Option<Duration>,
    /// What the route takes of all connections together, beside the account's rate.
    pub rate: Option<Rate>,
}

impl Route {
    /// A route that asks no function: a `MOCK` integration with this text as its response.
    #[must_use]
    pub fn mock(text: &str) -> Self {
        let integration = RouteIntegration::Mock(text.into());
        Self {
            integration,
            ..Self::default()
        }
    }

    /// With a route response: the answer is sent to the caller.
    #[must_use]
    pub fn two_way(mut self) -> Self {
        self.response = RouteResponse::TwoWay;
        self
    }

    /// With a timeout of its own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// With a rate of its own.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }
}

/// What a route asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteIntegration {
    /// A function, with the event (`AWS_PROXY`).
    #[default]
    Function,
    /// Nothing: this text is the answer (`MOCK`).
    Mock(Text),
}

/// What happens to an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteResponse {
    /// Nothing: a route without a route response.
    #[default]
    OneWay,
    /// Its body is sent to the caller.
    TwoWay,
}

/// How handshakes are authorized.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorizerRules {
    /// All must be present and not empty, else 401 without asking.
    pub identity_sources: Vec<IdentitySource>,
    /// Time the authorizer has; past it the handshake gets 500.
    pub timeout: Duration,
    /// An error with exactly this text refuses with 429, as one with `Unauthorized` does with 401.
    ///
    /// API Gateway has no such text (it answers 500), so that it is off by default. A host whose
    /// authorizer limits rates sets it, because a refusal is then not an error of the server.
    pub too_many_requests_error: Option<String>,
    /// The name of a value in the authorizer's context: what waits for connections with the same
    /// value is bounded together, by [`Limits::share_queued_bytes_max`].
    ///
    /// A host with several tenants names the tenant, so that one whose clients do not read leaves
    /// the others what the process may hold. API Gateway says nothing of such a bound.
    pub share: Option<String>,
}

impl Default for AuthorizerRules {
    fn default() -> Self {
        Self {
            identity_sources: Vec::new(),
            timeout: limits::INTEGRATION_TIMEOUT,
            too_many_requests_error: None,
            share: None,
        }
    }
}

/// Sizes, times and counts; the defaults are API Gateway's where it has them, but for its rates.
///
/// An account's rates are shared by all its APIs; a host that wants them says
/// [`Limits::api_gateway`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Payload of one frame from a client, in bytes; above it 1009.
    pub frame_bytes_max: usize,
    /// Payload of one message, in bytes; above it 1009, or 413 for a post.
    pub message_bytes_max: usize,
    /// Time without a message either way until 1001.
    pub idle: Option<Duration>,
    /// Age at which a connection gets 1001.
    pub lifetime: Option<Duration>,
    /// How many times faster `idle` and `lifetime` pass; functions run in real time.
    pub speed: NonZeroU32,
    /// Time a function has: `$connect` gets 504, a message the time-out frame.
    pub integration_timeout: Duration,
    /// What a function may return, in bytes; above it, it has failed.
    pub response_bytes_max: usize,
    /// New connections of the whole gateway; above it handshakes get 429.
    pub connection_rate: Option<Rate>,
    /// Messages and `@connections` calls of the whole gateway; above it, an error frame or 429.
    pub message_rate: Option<Rate>,
    /// Messages of one connection; above it 1008.
    pub client_rate: Option<Rate>,
    /// Invocations for one connection's messages at a time; at it, the gateway reads no further
    /// message.
    pub in_flight_max: usize,
    /// Messages that wait to be written to one connection; at it, posts get 429.
    pub queued_messages_max: usize,
    /// Their bytes together; a message is taken as long as the queue is empty.
    pub queued_bytes_max: usize,
    /// Bytes held in the whole process: of messages that wait or are being written, and of what was
    /// read and is no whole message yet; at it, posts get 429, and more fragments than one frame 1013.
    pub process_queued_bytes_max: usize,
    /// The same for all connections of one [share](AuthorizerRules::share).
    pub share_queued_bytes_max: usize,
    /// Time for which a client may take no byte of what waits for it, until 1013.
    pub stalled: Duration,
    /// Time for a request's head, and for the switch of protocols after it.
    pub handshake: Duration,
    /// Time a closed connection has for its last bytes and its close frame.
    pub closing: Duration,
    /// Connections at a time, handshakes included; at it, 503.
    pub connections_max: usize,
    /// Time for which `serve` drains after its shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            idle: Some(limits::IDLE),
            lifetime: Some(limits::LIFETIME),
            speed: NonZeroU32::MIN,
            integration_timeout: limits::INTEGRATION_TIMEOUT,
            response_bytes_max: limits::FUNCTION_RESPONSE_BYTES_MAX,
            connection_rate: None,
            message_rate: None,
            client_rate: None,
            in_flight_max: 128,
            queued_messages_max: 256,
            queued_bytes_max: 256 * 1024,
            process_queued_bytes_max: 256 * 1024 * 1024,
            share_queued_bytes_max: 64 * 1024 * 1024,
            stalled: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            closing: Duration::from_secs(2),
            connections_max: 100_000,
            drain: Duration::from_secs(10),
        }
    }
}
