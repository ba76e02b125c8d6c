//! Lift: a framework for WebSocket applications, on AWS, on one machine, and in a test.
//!
//! An [`App`](app::App) is made of actions; a handler is an async function whose arguments say
//! what it needs. What takes long is a task: durable before it is acknowledged, with live
//! progress, resumed after a crash from its checkpoint, ended exactly once.
#![warn(missing_docs)]

pub mod id;
pub mod clock;
pub mod json;
pub mod error;
pub mod limits;
pub mod event;
pub mod identity;
pub mod envelope;
mod canonical;
#[cfg(not(feature = "test-util"))]
mod random;
#[cfg(feature = "test-util")]
pub mod random;
pub mod message;
pub mod request;
pub mod app;
pub mod middleware;
mod router;
mod control;
pub mod following;
pub mod action;
pub mod handler;
pub mod extract;
mod validate;
pub mod rate;
pub mod overload;
pub mod registry;
pub mod outbound;
pub mod task;
