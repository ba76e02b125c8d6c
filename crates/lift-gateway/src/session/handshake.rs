//! In: an HTTP request. Out: what it asks for as a WebSocket upgrade, or the response that refuses it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lift_apigw::fields::Params;
use lift_apigw::limits::URL_CHARS_MAX;
use lift_apigw::management::message_body;
use lift_apigw::response::Response;

use super::rules::{Limits, Rules};
use super::untaken::Untaken;
use super::{InvokeError, Returned, answer};

/// An HTTP request that asks for an upgrade.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upgrade {
    /// `GET`, if it is to succeed.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// What follows `?`, as sent.
    pub query: Option<String>,
    /// The headers in order, names in the client's spelling where it is known.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub source_ip: String,
}

impl Upgrade {
    /// A request with the headers that RFC 6455 §4.1 asks of a client.
    ///
    /// ```
    /// use lift_gateway::session::handshake::Upgrade;
    ///
    /// let upgrade = Upgrade::websocket("/?token=abc").header("Authorization", "Bearer x");
    /// assert_eq!(upgrade.query.as_deref(), Some("token=abc"));
    /// ```
    #[must_use]
    pub fn websocket(path_and_query: &str) -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        Self::new("GET", path_and_query, headers, "127.0.0.1")
    }

    /// A request with exactly these headers.
    #[must_use]
    pub fn new(
        method: &str,
        path_and_query: &str,
        headers: Vec<(String, String)>,
        source_ip: &str,
    ) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path_and_query, None),
        };
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            headers,
            source_ip: source_ip.to_owned(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn all<'u>(&'u self, name: &str) -> impl Iterator<Item = &'u str> {
        let wanted = name.to_owned();
        let named = self
            .headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(&wanted));
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn last<'u>(&'u self, name: &str) -> Option<&'u str> {
        self.all(name).last()
    }

    /// The decoded query parameters; `None` where the URL has none.
    pub(super) fn params(&self) -> Option<Params<'_>> {
        let query = self.query.as_deref().filter(|query| !query.is_empty())?;
        Some(Params::query(form_urlencoded::parse(query.as_bytes())))
    }

    fn lists(&self, header: &str, token: &str) -> bool {
        let mut items = self.all(header).flat_map(|value| value.split(','));
        items.any(|item| item.trim().eq_ignore_ascii_case(token))
    }
}

/// The response to a handshake that does not become a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside `Content-Type: application/json`.
    pub headers: Vec<(&'static str, &'static str)>,
    /// `{"message":…}`; API Gateway's own texts are *unverified* for handshakes.
    pub body: String,
}

impl Refusal {
    /// A refusal with the body that goes with its status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let message = match status {
            500 | 502 => lift_apigw::error_frame::INTERNAL_SERVER_ERROR,
            504 => lift_apigw::error_frame::ENDPOINT_REQUEST_TIMED_OUT,
            _ => {
                let known = http::StatusCode::from_u16(status).ok();
                known
                    .and_then(|status| status.canonical_reason())
                    .unwrap_or("Refused")
            }
        };
        Self {
            status,
            headers: Vec::new(),
            body: message_body(message),
        }
    }

    fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Checks what needs no function: path, size, and RFC 6455 §4.2.1.
pub(super) fn check(rules: &Rules, upgrade: &Upgrade) -> Result<(), Refusal> {
    let query = upgrade
        .query
        .as_ref()
        .map_or(0, |query| query.chars().count() + 1);
    if upgrade.path.chars().count() + query > URL_CHARS_MAX {
        return Err(Refusal::new(414));
    }
    if !rules.paths.accepted.contains(&upgrade.path) {
        return Err(Refusal::new(rules.paths.otherwise));
    }
    let asks = upgrade.lists("Connection", "upgrade") && upgrade.lists("Upgrade", "websocket");
    if upgrade.method != "GET" || !asks {
        return Err(Refusal::new(426).with_header("Upgrade", "websocket"));
    }
    if upgrade.last("Sec-WebSocket-Version") != Some("13") {
        return Err(Refusal::new(426).with_header("Sec-WebSocket-Version", "13"));
    }
    let key = upgrade
        .last("Sec-WebSocket-Key")
        .and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != 16) || upgrade.last("Host").is_none() {
        return Err(Refusal::new(400));
    }
    Ok(())
}

/// What `$connect` decides: the subprotocol of an accepted handshake, or the refusal.
///
/// Any 2xx accepts; another status reaches the client as it is; a function that fails is 502, one
/// that takes too long 504 (*unverified*). Only `Sec-WebSocket-Protocol` of the response counts,
/// and only if the client offered it (developer guide, "Setting up a $connect route that requires
/// a WebSocket subprotocol").
pub(super) fn decide(
    upgrade: &Upgrade,
    limits: &Limits,
    outcome: &Result<Returned, InvokeError>,
) -> Result<Option<String>, Refusal> {
    let answer = match outcome {
        Ok(answer) => answer.json(),
        Err(InvokeError::TimedOut) => return Err(Refusal::new(504)),
        Err(_) => return Err(Refusal::new(502)),
    };
    let response = read(limits, &answer).map_err(|_untaken| Refusal::new(502))?;
    match response.status_code {
        200..300 => Ok(response
            .header("Sec-WebSocket-Protocol")
            .filter(|chosen| upgrade.offers(chosen))
            .map(Cow::into_owned)),
        status => Err(Refusal::new(status)),
    }
}

/// What `$connect` answers, if a client can be told.
pub(super) fn read<'a>(limits: &Limits, answer: &'a [u8]) -> Result<Response<'a>, Untaken> {
    let response = Response::parse(answer::within(limits.response_bytes_max, answer)?)?;
    match response.status_code {
        200..600 => Ok(response),
        status => Err(Untaken::Status { status }),
    }
}

impl Upgrade {
    fn offers(&self, subprotocol: &str) -> bool {
        let mut offered = self
            .all("Sec-WebSocket-Protocol")
            .flat_map(|value| value.split(','));
        offered.any(|offer| offer.trim() == subprotocol)
    }
}

/// Refuses with 503 where the process has all the connections it may have.
pub(crate) fn admit(limits: &Limits, connections: usize) -> Result<(), Refusal> {
    if connections < limits.connections_max {
        Ok(())
    } else {
        Err(Refusal::new(503))
    }
}

/// A header's name as browsers and API Gateway's examples spell it.
///
/// API Gateway keeps the client's spelling, but HTTP parsers hand names over in lower case, and
/// functions look for `Authorization` or `Sec-WebSocket-Protocol`.
#[must_use]
pub fn spelling(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        "dnt" => "DNT".to_owned(),
        word => {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    });
    words.collect::<Vec<_>>().join("-")
}
