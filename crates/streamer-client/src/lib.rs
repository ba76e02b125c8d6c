//! Actions to run come in, answers, progress and results go out, over connections that come and go.
//!
//! [`Client`] keeps one connection to Streamer: it reconnects with a fresh token, sends again what was not answered,
//! resumes what was, and tells each follower of a request every piece of news once.
#![warn(missing_docs)]

mod client;
pub mod options;
pub mod request;
pub mod plain;
mod error;
mod state;
mod owner;
mod handshake;
mod link;
mod backoff;
mod tap;

pub use self::{
    client::Client,
    error::{Error, Reason, Source},
    state::State,
};
pub use streamer_protocol as protocol;
