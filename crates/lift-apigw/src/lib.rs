//! Takes nothing and does nothing: the types here are what API Gateway's WebSocket APIs send and accept.
//!
//! Both sides of the contract use them: a gateway writes events and reads responses, a Lambda
//! function reads events and writes responses. Facts come from the API Gateway developer guide,
//! the service's API model and captured traffic; `fixtures/README.md` names the source of each.
//! A fact that nobody has confirmed against the service is marked *unverified* where it stands.
//!
//! ```
//! use lift_apigw::event::Event;
//!
//! # let json = std::fs::read("fixtures/message.json")?;
//! let event = Event::parse(&json)?;
//! assert!(matches!(event, Event::Message(message) if message.context.route_key == "sendmessage"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

pub mod event;
pub mod fields;
pub mod malformed;
pub mod authorizer;
pub mod response;
pub mod error_frame;
pub mod management;
pub mod close;
pub mod limits;
pub mod id;
pub mod time;
