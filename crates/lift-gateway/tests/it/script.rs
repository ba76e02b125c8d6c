//! In: the steps of a conversation. Out: the same, done by one side and compared with the script.
//!
//! A script is one rule: a comment that says it (see `page.rs`), what is there (`route`, `authorizer`,
//! `limit`, `path`, `function`), then what happens. `README.md` beside the scripts lists the words.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Clock, Fields, Kept, like, same};
use crate::setup::Setup;

/// One way to run a conversation: without sockets, or over them.
pub(crate) trait Side {
    /// What times in events are compared with.
    const CLOCK: Clock;

    async fn connect(&mut self, target: &str, headers: &Headers) -> Result<(), String>;
    /// The response to the handshake.
    async fn response(&mut self) -> Result<Http, String>;
    /// A request beside the connection, and its response.
    async fn http(&mut self, request: Request<'_>) -> Result<Http, String>;
    async fn send(&mut self, message: Sent) -> Result<(), String>;
    async fn received(&mut self) -> Result<Received, String>;
    async fn invoked(&mut self) -> Result<(String, Value), String>;
    async fn answer(&mut self, function: &str, behaviour: &str) -> Result<(), String>;
    async fn advance(&mut self, by: Duration);
    /// The status of an `@connections` call, and the body of a `GET`.
    async fn call(&mut self, call: Call) -> Result<(u16, Option<Value>), String>;
    async fn announce(&mut self, message: &str);
    async fn stall(&mut self);
    async fn fill(&mut self, bytes: usize) -> Result<(), String>;
    async fn drain(&mut self, close_after: Duration);
    /// Lets the conversation end, and says what nobody asked about: an open connection makes one
    /// `$disconnect`, and nothing else may be left.
    async fn finish(&mut self) -> Result<(), String>;
}

pub(crate) type Headers = Vec<(String, String)>;

/// An HTTP request that asks for no connection, or not rightly.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    pub(crate) method: &'r str,
    pub(crate) target: &'r str,
    pub(crate) headers: &'r Headers,
    pub(crate) body: Vec<u8>,
}

/// An HTTP response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Http {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Text(Vec<Vec<u8>>),
    Binary(Vec<u8>),
    /// Frames that RFC 6455 forbids, as bytes.
    Broken(Vec<u8>),
    Ping,
    Close(Option<(u16, String)>),
    Drop,
}

/// What a client receives.
#[derive(Clone, Debug, PartialEq)]
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

/// What a script has said and seen so far.
struct State {
    headers: Headers,
    response: Http,
    kept: Kept,
}

/// Runs the steps on one side.
pub(crate) async fn run<S: Side>(setup: &Setup, side: &mut S) -> Result<(), String> {
    let mut state = State {
        headers: Headers::new(),
        response: Http::default(),
        kept: Kept::new(S::CLOCK),
    };
    for (number, line) in &setup.steps {
        setup.line.store(*number, Ordering::Relaxed);
        step(side, line, &mut state)
            .await
            .map_err(|error| at(*number, &error))?;
    }
    side.finish()
        .await
        .map_err(|error| format!("at the end: {error}"))
}

async fn step(side: &mut impl Side, line: &str, state: &mut State) -> Result<(), String> {
    let line = state.kept.fill(line);
    let (verb, rest) = split(&line);
    match verb {
        "header" => {
            let (name, value) = rest.split_once(": ").ok_or("`header Name: value`")?;
            state.headers.push((name.to_owned(), value.to_owned()));
        }
        "connect" => {
            let target = if rest.is_empty() { "/" } else { rest };
            side.connect(target, &state.headers).await?;
        }
        "accepted" => {
            state.response = side.response().await?;
            let subprotocol = state.response.header("Sec-WebSocket-Protocol");
            same(
                (101, rest),
                (state.response.status, subprotocol.unwrap_or_default()),
            )?;
        }
        "refused" => {
            state.response = side.response().await?;
            answered(rest, &state.response)?;
        }
        "http" | "http-bytes" => state.response = http(side, verb, rest, &state.headers).await?,
        "answered" => answered(rest, &state.response)?,
        "answered-json" => {
            let (status, body) = split(rest);
            same(number(status)?, state.response.status)?;
            let actual = json(&state.response.body)?;
            let kept = &mut state.kept;
            kept.includes(&json(body)?, Some(&actual), Fields::All, "body")?;
        }
        "header-is" => {
            let (name, value) = split(rest);
            let value = (!value.is_empty()).then_some(value);
            same(value, state.response.header(name))?;
        }
        "expect" | "expect-bytes" | "expect-binary" | "pong" | "closed" | "ended" => {
            received(verb, rest, side.received().await?)?;
        }
        "invoked" | "invoked-with" => {
            let (function, event) = split(rest);
            let (invoked, actual) = side.invoked().await?;
            same(spaced(function), invoked)?;
            let fields = match verb {
                "invoked" => Fields::Some,
                _ => Fields::All,
            };
            let event = if event.is_empty() { "{}" } else { event };
            let kept = &mut state.kept;
            kept.includes(&json(event)?, Some(&actual), fields, "event")?;
        }
        "answer" => {
            let (function, outcome) = split(rest);
            side.answer(function, outcome).await?;
        }
        "advance" => side.advance(duration(rest)?).await,
        "post" | "post-bytes" | "post-hex" | "post-to" | "delete" | "delete-to" | "get"
        | "get-to" => {
            call(side, verb, rest, &mut state.kept).await?;
        }
        "announce" => side.announce(rest).await,
        "stall" => side.stall().await,
        "fill" => side.fill(number(rest)?).await?,
        "drain" => side.drain(duration(rest)?).await,
        _ => side.send(sent(verb, rest)?).await?,
    }
    Ok(())
}

/// What the next frame to the client is.
fn received(verb: &str, rest: &str, received: Received) -> Result<(), String> {
    match (verb, received) {
        ("expect", Received::Text(text)) if like(rest, &text) => Ok(()),
        ("expect-bytes", Received::Text(text)) => same(number::<usize>(rest)?, text.len()),
        ("expect-binary", received) => same(Received::Binary(hex(rest)?), received),
        ("pong", received) => same(Received::Pong, received),
        ("closed", received) => same(closed(rest)?, received),
        ("ended", received) => same(Received::End, received),
        (_, received) => Err(format!("expected {rest}, received {received:?}")),
    }
}

/// `answered STATUS [BODY]`.
fn answered(rest: &str, response: &Http) -> Result<(), String> {
    let (status, body) = split(rest);
    let actual = (response.status, response.body.as_str());
    same((number(status)?, body), actual)
}

/// `http METHOD PATH [BODY]`, `http-bytes METHOD PATH N`.
async fn http(
    side: &mut impl Side,
    verb: &str,
    rest: &str,
    headers: &Headers,
) -> Result<Http, String> {
    let (method, rest) = split(rest);
    let (target, body) = split(rest);
    let body = match verb {
        "http" => body.as_bytes().to_vec(),
        _ => vec![b'x'; number(body)?],
    };
    side.http(Request {
        method,
        target,
        headers,
        body,
    })
    .await
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
        "send-binary-bytes" => Sent::Binary(vec![0xff; number(rest)?]),
        "broken" => Sent::Broken(broken(rest)?),
        "ping" => Sent::Ping,
        "close" if rest.is_empty() => Sent::Close(None),
        "close" => {
            let (code, reason) = split(rest);
            Sent::Close(Some((number(code)?, reason.to_owned())))
        }
        "drop" => Sent::Drop,
        other => return Err(format!("no such step: {other}")),
    })
}

/// Frames that RFC 6455 §5 forbids a client, with the mask `00000000`.
fn broken(kind: &str) -> Result<Vec<u8>, String> {
    let masked = |first: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("short");
        [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
    };
    Ok(match kind {
        "unmasked" => b"\x81\x02hi".to_vec(),
        "reserved-bit" => masked(0xc1, b"hi"),
        "reserved-opcode" => masked(0x83, b"hi"),
        "reserved-control-opcode" => masked(0x8b, b""),
        "long-ping" => [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat(),
        "fragmented-ping" => masked(0x09, b""),
        "continuation-first" => masked(0x80, b"hi"),
        "text-in-text" => [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
        "close-of-one-byte" => masked(0x88, b"x"),
        other => return Err(format!("no such frame: {other}")),
    })
}

/// `post STATUS TEXT`, `post-bytes STATUS N`, `post-to STATUS ID`, `get STATUS [JSON]`, …
async fn call(side: &mut impl Side, verb: &str, rest: &str, kept: &mut Kept) -> Result<(), String> {
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
    let (actual, body) = side.call(call).await?;
    same(number::<u16>(status)?, actual)?;
    match verb {
        "get" if !rest.is_empty() => {
            kept.includes(&json(rest)?, body.as_ref(), Fields::Some, "body")
        }
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

pub(crate) fn at(number: usize, error: &str) -> String {
    format!("line {number}: {error}")
}

pub(crate) fn split(line: &str) -> (&str, &str) {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    (first, rest.trim())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
}

/// A route's key, in which `␣` stands for a space.
pub(crate) fn spaced(key: &str) -> String {
    key.replace('␣', " ")
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
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
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
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
