//! A WebSocket close code comes in, whether to reconnect goes out.

/// What a client does after its connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Connect again and resume.
    Reconnect,
    /// Stay closed: the same would happen again.
    Stay,
}

/// Codes that Streamer or API Gateway close with, what each means, and what follows (RFC 6455 §7.4.1).
pub const TABLE: [(u16, &str, After); 12] = [
    (1000, "done", After::Stay),
    (1001, "idle, or too old", After::Reconnect),
    (1002, "the client broke the WebSocket protocol", After::Stay),
    (1003, "the client sent a binary message", After::Stay),
    (1005, "closed without a code", After::Reconnect),
    (1006, "the connection was lost", After::Reconnect),
    (1007, "the client sent text that is not UTF-8", After::Stay),
    (1008, "the client sent messages too fast", After::Reconnect),
    (
        1009,
        "the client sent a frame or message that is too large",
        After::Stay,
    ),
    (1011, "the server failed", After::Reconnect),
    (1012, "the server restarts", After::Reconnect),
    (
        1013,
        "the client read too slowly, or there is no room for its message",
        After::Reconnect,
    ),
];

/// What to do after `code`; a code not in the table is a reason to reconnect.
#[must_use]
pub fn after(code: u16) -> After {
    TABLE
        .iter()
        .find(|row| row.0 == code)
        .map_or(After::Reconnect, |row| row.2)
}

/// What `code` means, for people.
#[must_use]
pub fn meaning(code: u16) -> &'static str {
    TABLE
        .iter()
        .find(|row| row.0 == code)
        .map_or("no reason known", |row| row.1)
}
