//! In: WebSocket connections. Out: API Gateway's events for an integration, and its answers for the clients.
//!
//! A [`Gateway`] keeps the contract of API Gateway's WebSocket APIs on one machine: routes, events,
//! limits, close codes and the `@connections` calls. Every rule lives in the pure
//! [`session`] module (time and input in, actions out); the rest moves bytes. The limits are API
//! Gateway's but for its rates; [`Limits::api_gateway`] keeps these, too, and
//! [`Limits::relax`] lifts one by name.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use lift_gateway::{Answer, Gateway, Integration, InvokeError, Invocation, Rules};
//!
//! let echo = tower::service_fn(async |invocation: Invocation| {
//!     println!("{:?}: {} bytes", invocation.function, invocation.event.json().len());
//!     Ok::<_, InvokeError>(Answer::from(r#"{"statusCode":200,"body":"hello"}"#))
//! });
//! let gateway = Gateway::new(Rules::default(), Integration::new(echo));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! gateway.serve(listener, tokio_util::sync::CancellationToken::new()).await
//! # }
//! ```
#![warn(missing_docs)]

pub mod session;
mod integration;
mod gateway;
pub mod listener;
mod lobby;
mod connection;
mod socket;
mod wire;
mod connections;
mod clock;

pub use connections::Connections;
pub use gateway::{Gateway, ResponseBody};
pub use integration::{Answer, Integration, Invocation, Receipt};
pub use lift_apigw::id::{ConnectionId, RequestId};
pub use session::codec::Text;
pub use session::identity::{IdentitySource, IdentitySourceError};
pub use session::observer::{Observer, Received, Seen, Side};
pub use session::quota::{Quota, Rate, UnknownQuota};
pub use session::route::{RouteSelection, RouteSelectionError};
pub use session::rules::{
    Api, AuthorizerRules, Limits, Management, Paths, Route, RouteIntegration, RouteResponse, Rules,
    RulesError,
};
pub use session::untaken::{Taken, Untaken};
pub use session::{Function, FunctionEvent, InvokeError, PostError, Returned, Timestamp};
