//! Text of a WebSocket message comes in, a typed `streamer.v1` message goes out, and the reverse.
//!
//! What a client of Streamer needs to speak the protocol: [`request`] is what it sends, [`message`] what it
//! gets, [`view`] what it learns about a request, [`error`] why something was refused, [`close`] whether to come
//! back, [`seq`] which messages to drop. Nothing here opens a socket or reads a clock.
//!
//! ```
//! use streamer_protocol::{message::ServerMessage, request::ClientMessage};
//!
//! let ask = ClientMessage::new("echo").with_id("c-1").with_payload(&"hello")?;
//! assert_eq!(serde_json::to_string(&ask)?, r#"{"id":"c-1","action":"echo","payload":"hello"}"#);
//!
//! let answer = ServerMessage::parse(r#"{"type":"response","id":"c-1","data":"hello"}"#)?;
//! assert_eq!(answer.id(), Some("c-1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

pub mod limits;
pub mod request;
pub mod message;
pub mod view;
pub mod error;
pub mod close;
pub mod seq;
pub mod schema;
#[cfg(feature = "test-util")]
pub mod vectors;
mod absent;

/// The WebSocket subprotocol that names this version.
pub const SUBPROTOCOL: &str = "streamer.v1";
