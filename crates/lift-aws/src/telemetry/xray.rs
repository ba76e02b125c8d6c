//! Traces: a trace header comes in, headers for what is called and subsegments for the X-Ray daemon go out.
//!
//! Lambda itself makes the function's segment; what is done within an invocation is a subsegment
//! of it, sent alone. Sources: [Sending segment documents to the X-Ray daemon][daemon] and
//! [Segment documents][documents].
//!
//! [daemon]: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
//! [documents]: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lift::clock::Timestamp;
use lift::error::Code;

use super::{cut, quoted};

/// What stands before every document in a datagram.
const DAEMON_HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";
/// Bytes of a header that are read.
const HEADER_BYTES_MAX: usize = 1_024;
/// Characters of a subsegment's name.
const NAME_CHARS_MAX: usize = 200;
/// Bytes of an annotation's text, of which X-Ray keeps 1,000 characters. A document is far
/// below the 64 KB that the daemon takes, since it has three annotations at most.
const ANNOTATION_BYTES_MAX: usize = 1_000;

/// The value of `X-Amzn-Trace-Id` and `_X_AMZN_TRACE_ID`: `Root=…;Parent=…;Sampled=1;Lineage=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeader {
    root: Arc<str>,
    parent: Option<SegmentId>,
    sampled: Option<Sampled>,
    /// What else stands there, `;Lineage=…`, passed on as it came.
    rest: Arc<str>,
}

/// Whether a trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// `Sampled=1`.
    Yes,
    /// `Sampled=0`.
    No,
    /// `Sampled=?`: whoever is called decides.
    Asked,
}

/// A text is no trace header.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no trace header")]
pub struct NoTraceHeader(String);

impl TraceHeader {
    /// The trace's id, `1-…-…`.
    pub fn trace_id(&self) -> &str {
        &self.root
    }

    /// The segment that calls.
    pub fn parent(&self) -> Option<SegmentId> {
        self.parent
    }

    /// Whether the trace is kept, where it says so.
    pub fn sampled(&self) -> Option<Sampled> {
        self.sampled
    }

    /// The header for what the segment `parent` calls.
    #[must_use]
    pub fn child(&self, parent: SegmentId) -> Self {
        Self {
            parent: Some(parent),
            ..self.clone()
        }
    }
}

impl FromStr for TraceHeader {
    type Err = NoTraceHeader;

    fn from_str(text: &str) -> Result<Self, NoTraceHeader> {
        parse(text).ok_or_else(|| NoTraceHeader(cut(text, HEADER_BYTES_MAX).to_owned()))
    }
}

fn parse(text: &str) -> Option<TraceHeader> {
    if text.len() > HEADER_BYTES_MAX {
        return None;
    }
    let (mut root, mut parent, mut sampled) = (None, None, None);
    let mut rest = String::new();
    for part in text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (key, value) = part.split_once('=')?;
        match key {
            "Root" => root = Some(trace_id(value)?),
            "Parent" => parent = Some(SegmentId::parse(value)?),
            "Sampled" => {
                sampled = Some(match value {
                    "1" => Sampled::Yes,
                    "0" => Sampled::No,
                    "?" => Sampled::Asked,
                    _ => return None,
                });
            }
            _ => rest.extend([";", part]),
        }
    }
    Some(TraceHeader {
        root: root?.into(),
        parent,
        sampled,
        rest: rest.into(),
    })
}

/// `1-`, 8 hexadecimal digits of a time, `-`, 24 random ones.
fn trace_id(text: &str) -> Option<&str> {
    let (time, random) = text.strip_prefix("1-")?.split_once('-')?;
    (is_hex(time, 8) && is_hex(random, 24)).then_some(text)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for TraceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root={}", self.root)?;
        if let Some(parent) = self.parent {
            write!(f, ";Parent={parent}")?;
        }
        match self.sampled {
            Some(Sampled::Yes) => f.write_str(";Sampled=1")?,
            Some(Sampled::No) => f.write_str(";Sampled=0")?,
            Some(Sampled::Asked) => f.write_str(";Sampled=?")?,
            None => {}
        }
        f.write_str(&self.rest)
    }
}

/// The id of a segment or subsegment: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentId(u64);

impl SegmentId {
    fn parse(text: &str) -> Option<Self> {
        let digits = Some(text).filter(|text| is_hex(text, 16))?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Work within an invocation, from its beginning to its end. Costs nothing but a copy of the
/// header where the trace is not kept.
#[derive(Debug)]
pub struct Subsegment {
    /// For what is called within it.
    header: TraceHeader,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    id: SegmentId,
    parent: SegmentId,
    name: String,
    began: Timestamp,
    /// Members of the document's `annotations`.
    annotations: Vec<String>,
}

/// How a subsegment ended, as X-Ray sorts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Ok,
    /// By the caller's fault.
    Error,
    /// Refused since it was too much.
    Throttled,
    /// By the server's fault.
    Fault,
}

impl From<Option<Code>> for Outcome {
    /// The outcome of an answer with this error code, or without one.
    fn from(code: Option<Code>) -> Self {
        match code {
            None => Self::Ok,
            Some(Code::RateLimited | Code::Overloaded) => Self::Throttled,
            Some(Code::InternalError | Code::TaskFailed | Code::Timeout) => Self::Fault,
            Some(_) => Self::Error,
        }
    }
}

impl Subsegment {
    /// Begins one under the header's segment. It is sent only where the header has one and says
    /// `Sampled=1`.
    pub fn begin(name: &str, header: &TraceHeader, now: Timestamp) -> Self {
        let kept = header.sampled == Some(Sampled::Yes);
        let id = header.parent.filter(|_| kept).and_then(|parent| {
            // Without randomness there is no id, and the trace lacks this piece.
            getrandom::u64().ok().map(|id| (SegmentId(id), parent))
        });
        let Some((id, parent)) = id else {
            return Self {
                header: header.clone(),
                open: None,
            };
        };
        Self {
            header: header.child(id),
            open: Some(Open {
                id,
                parent,
                name: allowed(name),
                began: now,
                annotations: Vec::new(),
            }),
        }
    }

    /// The header for what is called within it.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// Names the request, for searching.
    pub fn request_id(&mut self, id: &str) {
        self.annotate("request_id", || quoted(cut(id, ANNOTATION_BYTES_MAX)));
    }

    /// Names the action, of which clients choose unknown ones freely.
    pub fn action(&mut self, action: &str) {
        self.annotate("action", || quoted(cut(action, ANNOTATION_BYTES_MAX)));
    }

    /// Says which claim of the request it is.
    pub fn claim(&mut self, claim: u64) {
        self.annotate("claim", || claim.to_string());
    }

    fn annotate(&mut self, key: &str, value: impl FnOnce() -> String) {
        if let Some(open) = &mut self.open {
            open.annotations.push(format!("\"{key}\":{}", value()));
        }
    }

    /// What to send, where the trace is kept.
    pub fn end(self, outcome: Outcome, now: Timestamp) -> Option<Document> {
        let open = self.open?;
        let outcome = match outcome {
            Outcome::Ok => "",
            Outcome::Error => r#","error":true"#,
            Outcome::Throttled => r#","error":true,"throttle":true"#,
            Outcome::Fault => r#","fault":true"#,
        };
        Some(Document(format!(
            r#"{{"name":{},"id":"{}","trace_id":"{}","parent_id":"{}","type":"subsegment","start_time":{},"end_time":{},"annotations":{{{}}}{outcome}}}"#,
            quoted(&open.name),
            open.id,
            self.header.root,
            open.parent,
            seconds(open.began),
            seconds(now.max(open.began)),
            open.annotations.join(","),
        )))
    }
}

/// The name with the characters that X-Ray allows.
fn allowed(name: &str) -> String {
    let allow = |c: char| {
        let allowed = c.is_alphanumeric() || " _.:/%&#=+\\-@".contains(c);
        if allowed { c } else { '_' }
    };
    name.chars().take(NAME_CHARS_MAX).map(allow).collect()
}

/// Seconds since the epoch, to the millisecond.
fn seconds(at: Timestamp) -> String {
    let millis = at.as_millis();
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// A subsegment that ended, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The way to the X-Ray daemon.
#[derive(Debug)]
pub struct Daemon {
    socket: UdpSocket,
    unsent: AtomicU64,
}

/// There is no way to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum NoDaemon {
    /// The address is none.
    #[error("`{0}` is no address of an X-Ray daemon")]
    Address(String),
    /// The system gave no socket.
    #[error("no socket to the X-Ray daemon")]
    Socket(#[from] io::Error),
}

impl Daemon {
    /// Opens the socket. The address is `AWS_XRAY_DAEMON_ADDRESS`: `host:port`, or
    /// `tcp:host:port udp:host:port` in either order, of which UDP's counts. A host is an IP
    /// address, as Lambda gives it: a name would have to be waited for.
    ///
    /// # Errors
    /// When the address is of another form or the system gives no socket.
    pub fn connect(address: &str) -> Result<Self, NoDaemon> {
        let to = udp(address).ok_or_else(|| NoDaemon::Address(address.to_owned()))?;
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        Ok(Self {
            socket,
            unsent: AtomicU64::new(0),
        })
    }

    /// Sends a document without waiting. One that the socket does not take is counted, here and
    /// as `lift_xray_unsent_total`, and not sent again: a trace is worth no delay.
    pub fn send(&self, document: &Document) {
        let datagram = [DAEMON_HEADER, &document.0].concat();
        if self.socket.send(datagram.as_bytes()).is_err() {
            self.unsent.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("lift_xray_unsent_total").increment(1);
        }
    }

    /// Documents that were not sent.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Ordering::Relaxed)
    }
}

fn udp(address: &str) -> Option<SocketAddr> {
    let mut parts = address.split_whitespace();
    match (parts.next()?, parts.next(), parts.next()) {
        (only, None, None) => only.strip_prefix("udp:").unwrap_or(only).parse().ok(),
        (one, Some(other), None) => {
            let udp = one
                .strip_prefix("udp:")
                .or_else(|| other.strip_prefix("udp:"));
            udp?.parse().ok()
        }
        _ => None,
    }
}
