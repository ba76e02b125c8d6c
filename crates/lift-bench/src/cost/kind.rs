//! An action comes in; as which of the counted events it is priced goes out.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::scenario::{Expect, Message, Protocol};

use super::{assumed::Assumed, sizes::Sizes};

/// A payload above this is a row of its own (`docs/dynamodb-layout.md`).
const INLINE_MAX: u64 = 4_096;

/// What happens, as its price goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// An event of `docs/aws-costs.json`, by its name there.
    Counted(&'static str),
    /// A client's own, to keep a silent connection open: API Gateway answers it itself.
    Ping,
    /// Something of a plain server: one invocation, and nothing known beyond it.
    Plain,
}

/// A part of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Its begin.
    Connect,
    /// What a client says.
    Message,
    /// Its end.
    Disconnect,
}

/// An event, and how large it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sort {
    /// What it is called: `connect`, `disconnect`, an action, `text`.
    pub name: String,
    /// Whose it is.
    pub behaviour: String,
    /// What part of a connection it is.
    pub moment: Moment,
    /// How it is priced.
    pub kind: Kind,
    /// Bytes that a client sends.
    pub bytes: u64,
    /// Bytes of what answers it at once; none where nothing does.
    pub reply_bytes: Option<f64>,
}

/// Actions of `streamer` whose request goes on after the acknowledgment.
const TASKS: [&str; 4] = [
    "process_data",
    "generate_report",
    "bulk_operation",
    "export_collection",
];
/// Actions about requests.
const CONTROL: [&str; 4] = [
    "request.get",
    "request.list",
    "request.cancel",
    "request.resume",
];

impl Kind {
    /// Whether a request goes on after the acknowledgment.
    #[must_use]
    pub fn is_task(self) -> bool {
        matches!(self, Self::Counted(name) if TASKS.contains(&name) || name == "process_data_large")
    }

    /// Whether it is an action about requests.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Counted(name) if CONTROL.contains(&name))
    }

    fn of(action: &str, payload_bytes: u64, tasks: &BTreeSet<String>) -> Self {
        let listed = |of: &[&'static str]| of.iter().copied().find(|it| *it == action);
        match action {
            "process_data" if payload_bytes > INLINE_MAX => Self::Counted("process_data_large"),
            // Of the counted ones this does least beyond what every task does.
            _ if tasks.contains(action) => Self::Counted("export_collection"),
            _ => Self::Counted(
                listed(&TASKS)
                    .or_else(|| listed(&CONTROL))
                    .unwrap_or("answered"),
            ),
        }
    }
}

/// How a message is priced.
pub(super) fn sort(
    behaviour: &str,
    message: &Message,
    sizes: &Sizes,
    assumed: &Assumed,
    tasks: &BTreeSet<String>,
) -> Sort {
    let (bytes, payload_bytes) = sizes.of(message);
    let Some(action) = &message.action else {
        let answered = message.expect != Expect::Nothing;
        return Sort {
            name: "text".to_owned(),
            behaviour: behaviour.to_owned(),
            moment: Moment::Message,
            kind: Kind::Plain,
            bytes,
            reply_bytes: answered.then_some(to_f64(bytes)),
        };
    };
    let kind = Kind::of(action, payload_bytes, tasks);
    let reply_bytes = match kind {
        Kind::Counted("answered") if action == "health" => assumed.answer_bytes,
        Kind::Counted("answered") => assumed.answer_bytes + to_f64(payload_bytes),
        Kind::Counted(_) | Kind::Ping | Kind::Plain => assumed.ack_bytes,
    };
    Sort {
        name: action.clone(),
        behaviour: behaviour.to_owned(),
        moment: Moment::Message,
        kind,
        bytes,
        reply_bytes: Some(reply_bytes),
    }
}

/// The begin or end of a connection.
pub(super) fn edge(behaviour: &str, moment: Moment, speaks: Protocol) -> Sort {
    let name = match moment {
        Moment::Disconnect => "disconnect",
        Moment::Connect | Moment::Message => "connect",
    };
    Sort {
        name: name.to_owned(),
        behaviour: behaviour.to_owned(),
        moment,
        kind: match speaks {
            Protocol::Streamer => Kind::Counted(name),
            Protocol::Plain => Kind::Plain,
        },
        bytes: 0,
        reply_bytes: None,
    }
}

/// What a client that comes back asks for each request that is open.
pub(super) fn resume(behaviour: &str, assumed: &Assumed) -> Sort {
    Sort {
        name: "request.resume".to_owned(),
        behaviour: behaviour.to_owned(),
        moment: Moment::Message,
        kind: Kind::Counted("request.resume"),
        bytes: 120,
        reply_bytes: Some(assumed.ack_bytes),
    }
}

/// What a client says where nothing else was said for a while.
pub(super) fn ping(behaviour: &str) -> Sort {
    Sort {
        name: "ping".to_owned(),
        behaviour: behaviour.to_owned(),
        moment: Moment::Message,
        kind: Kind::Ping,
        bytes: 17,
        reply_bytes: Some(15.0),
    }
}

/// A number of bytes or milliseconds; what has more than 52 bits is rounded, which no size here has.
pub(super) fn to_f64(n: u64) -> f64 {
    let (high, low) = (n >> 32, n & u64::from(u32::MAX));
    let part = |n: u64| u32::try_from(n).map_or(0.0, f64::from);
    part(high) * 4_294_967_296.0 + part(low)
}
