//! In: what a gateway's observer sees. Out: the same for the feed: connections, frames and closes.

use std::sync::Arc;

use lift_gateway::session::outbox::Frame;
use lift_gateway::{Observer, Received, Rules, Seen, Side};

use crate::answers;
use crate::feed::{By, Detail, Direction, Entry, Feed, Opcode};

/// Characters of a message that are shown.
const PREVIEW_CHARS: usize = 60;

/// Puts what is seen of an API's connections into the feed.
pub(crate) fn observer(api: &Arc<str>, rules: &Rules, feed: &Feed) -> Observer {
    let (api, rules, feed) = (Arc::clone(api), rules.clone(), feed.clone());
    Observer::new(move |connection, seen| {
        if let Seen::Unrouted { message } = seen {
            return feed.problem(answers::unrouted(&api, &rules, message));
        }
        // Nothing else that is seen here is a problem.
        if feed.detail() == Detail::Problems {
            return;
        }
        let (api, connection) = (api.to_string(), connection.to_string());
        let frame = |direction, opcode, bytes: Option<usize>, text: Option<&str>| Entry::Frame {
            api: api.clone(),
            connection: connection.clone(),
            direction,
            opcode,
            bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            preview: text.map(preview),
        };
        feed.put(match seen {
            Seen::Accepted => Entry::Connected {
                api,
                connection: Some(connection),
                status: 101,
            },
            Seen::Received(received) => {
                let (opcode, text) = match received {
                    Received::Text(text) => (Opcode::Text, Some(text)),
                    Received::Binary => (Opcode::Binary, None),
                    Received::Ping => (Opcode::Ping, None),
                    Received::Pong => (Opcode::Pong, None),
                };
                frame(Direction::In, opcode, text.map(str::len), text)
            }
            Seen::Sent(sent) => match sent {
                Frame::Text(text) => {
                    let text = text.as_str();
                    frame(Direction::Out, Opcode::Text, Some(text.len()), Some(text))
                }
                Frame::Binary(bytes) => {
                    frame(Direction::Out, Opcode::Binary, Some(bytes.len()), None)
                }
            },
            Seen::Closed { by, code, reason } => Entry::Closed {
                api,
                connection,
                by: match by {
                    Side::Client => By::Client,
                    Side::Gateway => By::Gateway,
                },
                code,
                reason: preview(reason),
            },
            _ => return,
        });
    })
}

/// The beginning of a text, as one line that no terminal obeys.
pub(crate) fn preview(text: &str) -> String {
    let mut shown: String = text.chars().take(PREVIEW_CHARS).map(harmless).collect();
    if text.chars().nth(PREVIEW_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and those that turn the direction of what follows, as one dot.
fn harmless(c: char) -> char {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '·' } else { c }
}

#[cfg(test)]
mod tests {
    use super::preview;

    #[test]
    fn a_preview_is_one_short_line_that_no_terminal_obeys() {
        let check = |text: &str, expected: &str| assert_eq!(preview(text), expected);
        check("", "");
        check("{\"a\":\"grün\"}", "{\"a\":\"grün\"}");
        check("a\n\tb\u{1b}[2J\u{9b}x\u{202e}y", "a··b·[2J·x·y");
        check(&"ü".repeat(60), &"ü".repeat(60));
        check(&"ü".repeat(61), &format!("{}…", "ü".repeat(60)));
    }
}
