//! In: the text of a conversation. Out: its rules, and its steps done by one side.
//!
//! A script is one rule: a comment that names its source, what is there (`route`, `authorizer`,
//! `limit`, `path`, `function`), then what happens. `README.md` beside the scripts lists the words.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lift_gateway::{AuthorizerRules, IdentitySource, InvokeError, Rules};
use serde_json::Value;

use crate::world::{Behaviour, World};

/// One way to run a conversation: without sockets, or over them.
pub(crate) trait Side {
    async fn connect(&mut self, target: &str, headers: &[(String, String)]);
    /// Status, body of a refusal or subprotocol of an accepted handshake.
    async fn response(&mut self) -> Result<(u16, String), String>;
    async fn send(&mut self, message: Sent);
    async fn received(&mut self) -> Result<Received, String>;
    async fn invoked(&mut self) -> Result<(String, Value), String>;
    async fn answer(&mut self, function: &str, outcome: Behaviour) -> Result<(), String>;
    async fn advance(&mut self, by: Duration);
    /// The status of an `@connections` call, and the body of a `GET`.
    async fn call(&mut self, call: Call) -> (u16, Option<Value>);
    async fn stall(&mut self);
    async fn fill(&mut self, bytes: usize);
    async fn drain(&mut self, close_after: Duration);
    /// Lets the conversation end, and says what nobody asked about: an open connection makes one
    /// `$disconnect`, and nothing else may be left.
    async fn finish(&mut self) -> Result<(), String>;
}

/// What a client sends.
#[derive(Debug)]
pub(crate) enum Sent {
    Text(Vec<Vec<u8>>),
    Binary(Vec<u8>),
    Unmasked(String),
    Ping,
    Close(Option<(u16, String)>),
    Drop,
}

/// What a client receives.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
    End,
}

/// An `@connections` call; without an id, about the script's connection.
#[derive(Debug)]
pub(crate) enum Call {
    Post {
        id: Option<String>,
        payload: Vec<u8>,
    },
    Get {
        id: Option<String>,
    },
    Delete {
        id: Option<String>,
    },
}

pub(crate) struct Setup {
    pub(crate) rules: Rules,
    pub(crate) world: World,
    steps: Vec<(usize, String)>,
    /// The line that is being done, for a script that gets stuck.
    pub(crate) line: AtomicUsize,
}

impl Setup {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut setup = Self {
            rules: Rules::default(),
            world: World::default(),
            steps: Vec::new(),
            line: AtomicUsize::new(0),
        };
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !setup.steps.is_empty() || !setup.configure(line).map_err(|e| at(number, &e))? {
                setup.steps.push((number, line.to_owned()));
            }
        }
        Ok(setup)
    }

    /// Takes a line of the setup; false if it is the first step.
    fn configure(&mut self, line: &str) -> Result<bool, String> {
        let (verb, rest) = split(line);
        match verb {
            "route" => {
                let rules = std::mem::take(&mut self.rules);
                self.rules = match split(rest) {
                    (key, "two-way") => rules.two_way(key),
                    (key, _) => rules.one_way(key),
                };
            }
            "select" => {
                self.rules.route_selection = rest.parse().map_err(|e| format!("{e}"))?;
            }
            "authorizer" => {
                let authorizer = self
                    .rules
                    .authorizer
                    .get_or_insert_with(AuthorizerRules::default);
                match split(rest) {
                    ("header", name) => {
                        authorizer
                            .identity_sources
                            .push(IdentitySource::Header(name.to_owned()));
                    }
                    ("query", name) => {
                        authorizer
                            .identity_sources
                            .push(IdentitySource::Query(name.to_owned()));
                    }
                    ("too-many-requests", text) => {
                        authorizer.too_many_requests_error = Some(text.to_owned());
                    }
                    _ => {}
                }
            }
            "path" => {
                let (path, status) = split(rest);
                self.rules.paths.accepted = vec![path.to_owned()];
                self.rules.paths.otherwise = number(status)?;
            }
            "api" => {
                let (name, value) = split(rest);
                let value = value.to_owned();
                let api = &mut self.rules.api;
                match name {
                    "id" => api.api_id = value,
                    "stage" => api.stage = value,
                    "account" => api.account = value,
                    "region" => api.region = value,
                    "variable" => {
                        let (name, value) = split(&value);
                        api.stage_variables
                            .push((name.to_owned(), value.to_owned()));
                    }
                    other => return Err(format!("no such name: {other}")),
                }
            }
            "limit" => self.limit(rest)?,
            "function" => {
                let (function, behaviour) = split(rest);
                self.world.behave(function, behaviour_of(behaviour)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn limit(&mut self, rest: &str) -> Result<(), String> {
        let limits = &mut self.rules.limits;
        let (name, value) = split(rest);
        match name {
            "frame" => limits.frame_bytes_max = number(value)?,
            "message" => limits.message_bytes_max = number(value)?,
            "idle" => limits.idle = Some(duration(value)?),
            "lifetime" => {
                limits.lifetime = (value != "none").then(|| duration(value)).transpose()?
            }
            "speed" => limits.speed = number(value)?,
            "integration" => limits.integration_timeout = duration(value)?,
            "in-flight" => limits.in_flight_max = number(value)?,
            "queued-messages" => limits.queued_messages_max = number(value)?,
            "queued-bytes" => limits.queued_bytes_max = number(value)?,
            "process-bytes" => limits.process_queued_bytes_max = number(value)?,
            "stalled" => limits.stalled = duration(value)?,
            other => return Err(format!("no such limit: {other}")),
        }
        Ok(())
    }
}

/// Runs the steps on one side.
pub(crate) async fn run(setup: &Setup, side: &mut impl Side) -> Result<(), String> {
    let mut headers = Vec::new();
    for (number, line) in &setup.steps {
        setup.line.store(*number, Ordering::Relaxed);
        step(side, line, &mut headers)
            .await
            .map_err(|error| at(*number, &error))?;
    }
    side.finish()
        .await
        .map_err(|error| format!("at the end: {error}"))
}

async fn step(
    side: &mut impl Side,
    line: &str,
    headers: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let (verb, rest) = split(line);
    match verb {
        "header" => {
            let (name, value) = rest.split_once(": ").ok_or("`header Name: value`")?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        "connect" => {
            side.connect(if rest.is_empty() { "/" } else { rest }, headers)
                .await
        }
        "accepted" => same((101, rest.to_owned()), side.response().await?)?,
        "refused" => {
            let (status, body) = split(rest);
            same((number(status)?, body.to_owned()), side.response().await?)?;
        }
        "send" | "send-bytes" | "send-frames" | "send-hex" | "send-binary" | "unmasked"
        | "ping" | "close" | "drop" => side.send(sent(verb, rest)?).await,
        "expect" => match side.received().await? {
            Received::Text(text) if like(rest, &text) => {}
            other => return Err(format!("expected {rest}, received {other:?}")),
        },
        "expect-bytes" => match side.received().await? {
            Received::Text(text) => same(number::<usize>(rest)?, text.len())?,
            other => return Err(format!("expected text, received {other:?}")),
        },
        "expect-binary" => same(Received::Binary(hex(rest)?), side.received().await?)?,
        "pong" => same(Received::Pong, side.received().await?)?,
        "closed" => same(closed(rest)?, side.received().await?)?,
        "ended" => same(Received::End, side.received().await?)?,
        "invoked" => {
            let (function, event) = split(rest);
            let (invoked, actual) = side.invoked().await?;
            same(function, invoked.as_str())?;
            let event = if event.is_empty() { "{}" } else { event };
            includes(&json(event)?, Some(&actual), "event")?;
        }
        "answer" => {
            let (function, outcome) = split(rest);
            side.answer(function, behaviour_of(outcome)?).await?;
        }
        "advance" => side.advance(duration(rest)?).await,
        "post" | "post-bytes" | "post-hex" | "post-to" | "delete" | "delete-to" | "get"
        | "get-to" => {
            call(side, verb, rest).await?;
        }
        "stall" => side.stall().await,
        "fill" => side.fill(number(rest)?).await,
        "drain" => side.drain(duration(rest)?).await,
        other => return Err(format!("no such step: {other}")),
    }
    Ok(())
}

fn sent(verb: &str, rest: &str) -> Result<Sent, String> {
    Ok(match verb {
        "send" => Sent::Text(vec![rest.as_bytes().to_vec()]),
        "send-bytes" => Sent::Text(vec![vec![b'x'; number(rest)?]]),
        "send-frames" => {
            let sizes = rest
                .split(' ')
                .map(number::<usize>)
                .collect::<Result<Vec<_>, _>>()?;
            Sent::Text(sizes.into_iter().map(|size| vec![b'x'; size]).collect())
        }
        "send-hex" => Sent::Text(rest.split(' ').map(hex).collect::<Result<_, _>>()?),
        "send-binary" => Sent::Binary(hex(rest)?),
        "unmasked" => Sent::Unmasked(rest.to_owned()),
        "ping" => Sent::Ping,
        "close" if rest.is_empty() => Sent::Close(None),
        "close" => {
            let (code, reason) = split(rest);
            Sent::Close(Some((number(code)?, reason.to_owned())))
        }
        _ => Sent::Drop,
    })
}

/// `post STATUS TEXT`, `post-bytes STATUS N`, `post-to STATUS ID`, `get STATUS [JSON]`, …
async fn call(side: &mut impl Side, verb: &str, rest: &str) -> Result<(), String> {
    let (status, rest) = split(rest);
    let post = |payload| Call::Post { id: None, payload };
    let to = || Some(rest.to_owned());
    let call = match verb {
        "post" => post(rest.as_bytes().to_vec()),
        "post-bytes" => post(vec![b'x'; number(rest)?]),
        "post-hex" => post(hex(rest)?),
        "post-to" => Call::Post {
            id: to(),
            payload: b"x".to_vec(),
        },
        "get" => Call::Get { id: None },
        "get-to" => Call::Get { id: to() },
        "delete-to" => Call::Delete { id: to() },
        _ => Call::Delete { id: None },
    };
    let (actual, body) = side.call(call).await;
    same(number::<u16>(status)?, actual)?;
    match verb {
        "get" if !rest.is_empty() => includes(&json(rest)?, body.as_ref(), "body"),
        _ => Ok(()),
    }
}

/// `closed`, `closed CODE`, `closed CODE REASON`.
fn closed(rest: &str) -> Result<Received, String> {
    if rest.is_empty() {
        return Ok(Received::Close(None));
    }
    let (code, reason) = split(rest);
    Ok(Received::Close(Some((number(code)?, reason.to_owned()))))
}

fn behaviour_of(text: &str) -> Result<Behaviour, String> {
    let (verb, rest) = split(text);
    Ok(match verb {
        "answer" => Behaviour::Answer(rest.to_owned()),
        "answer-body" => {
            let body = "x".repeat(number(rest)?);
            Behaviour::Answer(format!(r#"{{"statusCode":200,"body":"{body}"}}"#))
        }
        "allow" => Behaviour::Policy {
            effect: "Allow",
            context: rest.to_owned(),
        },
        "deny" => Behaviour::Policy {
            effect: "Deny",
            context: rest.to_owned(),
        },
        "echo" => Behaviour::Echo,
        "fail" => Behaviour::Fail(InvokeError::FunctionError {
            message: rest.to_owned(),
        }),
        "crash" => Behaviour::Fail(InvokeError::Crashed),
        "throttle" => Behaviour::Fail(InvokeError::Throttled),
        "hold" => Behaviour::Hold,
        other => return Err(format!("no such behaviour: {other}")),
    })
}

pub(crate) fn at(number: usize, error: &str) -> String {
    format!("line {number}: {error}")
}

fn split(line: &str) -> (&str, &str) {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    (first, rest.trim())
}

fn same<T: PartialEq + std::fmt::Debug>(expected: T, actual: T) -> Result<(), String> {
    match (expected, actual) {
        (expected, actual) if expected == actual => Ok(()),
        (expected, actual) => Err(format!("expected {expected:?}, was {actual:?}")),
    }
}

/// Whether a text is a pattern in which `*` stands for any run without `"`.
fn like(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let ends = rest.find('"').unwrap_or(rest.len());
    (0..=ends).any(|end| rest.is_char_boundary(end) && like(after, &rest[end..]))
}

/// Whether a value holds all that is expected; `"*"` is any value, `"(absent)"` none.
fn includes(expected: &Value, actual: Option<&Value>, path: &str) -> Result<(), String> {
    match (expected, actual) {
        (Value::String(text), Some(_)) if text == "*" => Ok(()),
        (Value::String(text), None) if text == "(absent)" => Ok(()),
        (Value::Object(expected), Some(Value::Object(actual))) => {
            let mut fields = expected.iter();
            fields.try_for_each(|(key, value)| {
                includes(value, actual.get(key), &format!("{path}.{key}"))
            })
        }
        (expected, Some(actual)) if expected == actual => Ok(()),
        (expected, actual) => {
            let actual = actual.map_or("(absent)".to_owned(), Value::to_string);
            Err(format!("{path}: expected {expected}, was {actual}"))
        }
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_not| format!("not a number: `{text}`"))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().collect();
    let bytes = digits.chunks(2).map(|pair| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16)
            .map_err(|_not| format!("not hex: {text}"))
    });
    bytes.collect()
}

/// `1h30m`, `10m1s`, `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or("a duration has units")?;
        let (count, unit) = rest.split_at(digits);
        let length = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let (unit, after) = unit.split_at(length);
        let count: u64 = number(count)?;
        total += match unit {
            "h" => Duration::from_secs(count * 3600),
            "m" => Duration::from_secs(count * 60),
            "s" => Duration::from_secs(count),
            "ms" => Duration::from_millis(count),
            other => return Err(format!("no such unit: {other}")),
        };
        rest = after;
    }
    Ok(total)
}
