//! Logs, metrics and traces of an app on Lambda: what the framework records comes in, lines and datagrams go out.
//!
//! Nothing here reads the environment or asks the time of the system by itself: the host gives both.

pub mod names;
pub mod emf;
pub mod logs;
pub mod xray;
pub mod traces;
mod function;

pub use function::{Config, Counts, NotInstalled, Telemetry};

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
}
