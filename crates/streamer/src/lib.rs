//! Streamer: authenticated connections, short requests answered at once, long ones run durably.
//!
//! [`app`] is the whole service as a Lift app; where it runs is its host's affair.
#![warn(missing_docs)]

pub mod auth;
pub mod objects;
mod authenticate;
mod actions;
pub mod tasks;
mod app;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod schemas;
mod asyncapi;
pub mod generate;
pub mod descriptors;

pub use app::{Records, Service, app};
pub use authenticate::{TokenAuthenticator, TokenRules};
