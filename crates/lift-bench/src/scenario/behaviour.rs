//! What a virtual client does from its first connection to its last.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    Protocol, handshake,
    span::{self, Span},
};

/// What one kind of virtual client does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Behaviour {
    /// How often it is chosen, against the weights of the others: 1 if absent.
    #[serde(default = "one")]
    pub weight: u32,
    /// Another server than the scenario's. `echo` is one in the generator's own process, which sends texts back: what
    /// the machine and the generator themselves cost, to compare with.
    #[serde(default, deserialize_with = "handshake::target_of_behaviour")]
    pub target: Option<String>,
    /// Replace the scenario's by name.
    #[serde(default, deserialize_with = "handshake::headers")]
    pub headers: BTreeMap<String, String>,
    /// What that server speaks, if not what the scenario's does.
    pub speaks: Option<Protocol>,
    /// Messages of a phase's `messages_per_second` that one client has under way at a time: 1 if absent. More wait.
    #[serde(default = "NonZeroU32::of_one")]
    pub in_flight: NonZeroU32,
    /// What a phase's `messages_per_second` sends by way of these clients.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// What each does, in turn: `connect`, then `stay`, if absent.
    #[serde(default = "Behaviour::connect_and_stay")]
    pub steps: Vec<Step>,
}

/// One thing that a client does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// Opens its connection.
    Connect,
    /// Sends a message and waits for what it expects.
    Send(Message),
    /// Waits.
    Think(Span),
    /// Does some steps again and again.
    Repeat(Repeat),
    /// Sends what the phases' `messages_per_second` asks for, until the last phase is over.
    Stay(Stay),
    /// Loses its connection without a close frame, comes back and resumes what is open.
    Reconnect(Reconnect),
    /// Closes its connection.
    Disconnect,
}

/// How long a client that lost its connection is away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconnect {
    /// How long.
    pub offline: Span,
}

/// Steps that are done again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// From the start of one round to the start of the next; a round that takes longer makes the next late, and its
    /// latency counts from when it was due.
    #[serde(default, deserialize_with = "span::optional_duration")]
    pub every: Option<Duration>,
    /// What to do.
    pub steps: Vec<Step>,
}

/// How long a client takes part in the phases' messages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stay {
    /// At most this long; until the last phase is over if absent.
    #[serde(rename = "for")]
    pub at_most: Option<Span>,
}

/// A message, and what is expected of the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Message {
    /// How often it is chosen, against the weights of a behaviour's other messages: 1 if absent.
    #[serde(default = "one")]
    pub weight: u32,
    /// Streamer's action.
    pub action: Option<String>,
    /// The action's payload; its strings are templates, and one that is a single `{{ … }}` keeps that value's type.
    pub payload: Option<Value>,
    /// A template of the whole text, for a plain server. Where it holds `{{ id }}` an answer is known by it, else the
    /// next text is the answer.
    pub text: Option<String>,
    /// What answers it.
    #[serde(default)]
    pub expect: Expect,
}

/// What answers a message.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expect {
    /// Streamer: an answer, or an acknowledgment and then the request's end. A plain server: any text.
    #[default]
    Answer,
    /// Nothing is waited for.
    Nothing,
    /// A text that contains this.
    Contains(String),
    /// A JSON text that has at least these members.
    Json(Value),
    /// Streamer: an acknowledgment; the request's end is waited for by nobody.
    Acknowledgment,
}

/// Names of steps, as they are written.
const STEPS: &[&str] = &[
    "connect",
    "send",
    "think",
    "repeat",
    "stay",
    "reconnect",
    "disconnect",
];

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

/// A step is its name, or its name with what it needs.
struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step, such as `connect` or `think: 2s`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Step, E> {
        match name {
            "connect" => Ok(Step::Connect),
            "stay" => Ok(Step::Stay(Stay::default())),
            "reconnect" => Ok(Step::Reconnect(Reconnect::default())),
            "disconnect" => Ok(Step::Disconnect),
            "send" | "think" | "repeat" => {
                Err(E::custom(format!("`{name}` needs to be told what")))
            }
            other => Err(E::unknown_variant(other, STEPS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let name: String = map
            .next_key()?
            .ok_or_else(|| de::Error::custom("a step has no name"))?;
        let step = match name.as_str() {
            "send" => Step::Send(map.next_value()?),
            "think" => Step::Think(map.next_value()?),
            "repeat" => Step::Repeat(map.next_value()?),
            "stay" => Step::Stay(map.next_value::<Option<Stay>>()?.unwrap_or_default()),
            "reconnect" => {
                Step::Reconnect(map.next_value::<Option<Reconnect>>()?.unwrap_or_default())
            }
            "connect" | "disconnect" => {
                map.next_value::<()>()?;
                return self.visit_str(&name);
            }
            other => return Err(de::Error::unknown_variant(other, STEPS)),
        };
        match map.next_key::<String>()? {
            None => Ok(step),
            Some(more) => Err(de::Error::custom(format!(
                "`{more}` is a second step: begin it with a dash of its own"
            ))),
        }
    }
}

impl Behaviour {
    fn connect_and_stay() -> Vec<Step> {
        vec![Step::Connect, Step::Stay(Stay::default())]
    }
}

fn one() -> u32 {
    1
}

trait One {
    fn of_one() -> Self;
}

impl One for NonZeroU32 {
    fn of_one() -> Self {
        Self::MIN
    }
}
