//! In: a SAM or CloudFormation template. Out: its WebSocket APIs, functions and stream mappings, running on this machine.
//!
//! The gateway keeps API Gateway's rules ([`lift_gateway`]); this crate runs what is behind it: the
//! template becomes a [`plan::Plan`], functions are processes behind Lambda's Runtime API, and DynamoDB's
//! streams invoke them as Lambda's event source mappings do. It knows nothing of `lift`.
#![warn(missing_docs)]

pub mod plan;
pub mod template;
pub mod server;
pub mod ports;
pub mod authority;
mod door;
mod api;
mod caller;
pub mod access;
pub mod faults;
mod faulty;
mod answers;
pub mod lambda;
pub mod dynamodb;
pub mod build;
mod places;
pub mod watch;
pub mod feed;
mod traffic;
pub mod streams;
mod clock;

pub use lift_gateway::Quota;
