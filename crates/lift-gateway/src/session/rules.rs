//! In: what a host configures. Out: the rules and limits that every session of a gateway follows.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lift_apigw::{event, limits};

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
    /// Sizes, times and counts.
    pub limits: Limits,
}

impl Rules {
    /// Adds a route whose answer goes nowhere, as is API Gateway's default.
    #[must_use]
    pub fn one_way(mut self, key: impl Into<String>) -> Self {
        self.routes.insert(
            key.into(),
            Route {
                response: RouteResponse::OneWay,
            },
        );
        self
    }

    /// Adds a route whose answer's body is sent to the caller.
    #[must_use]
    pub fn two_way(mut self, key: impl Into<String>) -> Self {
        self.routes.insert(
            key.into(),
            Route {
                response: RouteResponse::TwoWay,
            },
        );
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

    pub(super) fn has(&self, route: &str) -> bool {
        self.routes.contains_key(route)
    }
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

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// What happens to the function's answer.
    pub response: RouteResponse,
}

/// What happens to a function's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteResponse {
    /// Nothing: a route without a route response.
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
}

impl Default for AuthorizerRules {
    fn default() -> Self {
        Self {
            identity_sources: Vec::new(),
            timeout: limits::INTEGRATION_TIMEOUT,
            too_many_requests_error: None,
        }
    }
}

/// A place in the request that must hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// `route.request.header.NAME`.
    Header(String),
    /// `route.request.querystring.NAME`.
    Query(String),
}

/// Sizes, times and counts; the defaults are API Gateway's where it has them.
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
    /// Invocations for one connection's messages at a time; at it, the gateway stops reading.
    pub in_flight_max: usize,
    /// Messages that wait to be written to one connection; at it, posts get 429.
    pub queued_messages_max: usize,
    /// Their bytes together; a message is taken as long as the queue is empty.
    pub queued_bytes_max: usize,
    /// Bytes that wait in the whole process; at it, posts get 429.
    pub process_queued_bytes_max: usize,
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
            in_flight_max: 128,
            queued_messages_max: 256,
            queued_bytes_max: 256 * 1024,
            process_queued_bytes_max: 256 * 1024 * 1024,
            stalled: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            closing: Duration::from_secs(2),
            connections_max: 100_000,
            drain: Duration::from_secs(10),
        }
    }
}
