//! What a handshake is to say comes in as it is written, checked as far as that can be without a client.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue, Uri};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use streamer_client::options::Options;

use super::Problem;
use crate::{
    echo,
    payload::{self, is_template},
};

/// What a template knows before its client has sent a message.
const KNOWN: [&str; 4] = ["client", "data", "random", "seed"];

/// A target's scheme, host and port, and its path and query.
pub(crate) fn split_target(target: &str) -> (&str, &str) {
    let host = target.find("://").map_or(0, |scheme| scheme + "://".len());
    let from_host = target.get(host..).unwrap_or_default();
    let length = from_host.find(['/', '?', '#']).unwrap_or(from_host.len());
    target
        .split_at_checked(host + length)
        .unwrap_or((target, ""))
}

/// Checks a URL that a WebSocket can be opened to, whose path and query may be templates.
///
/// # Errors
/// It is no `ws://` or `wss://` URL, its host or port is a template, or a template knows another name.
pub fn target_url(text: &str) -> Result<String, Problem> {
    let (server, _) = split_target(text);
    if is_template(server) {
        return Err(Problem::of(format!(
            "`{text}` has a template before its path: the host and the port are one server's"
        )));
    }
    let is_url = server.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("ws" | "wss"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_url {
        return Err(Problem::of(format!(
            "`{text}` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`"
        )));
    }
    payload::check_names(text, &KNOWN).map_err(Problem::of)?;
    Ok(text.to_owned())
}

/// A value that a header may have (RFC 9110 §5.5); it may be secret.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, &'static str> {
    if text.trim() != text {
        return Err("begins or ends with a space");
    }
    let mut value =
        HeaderValue::from_str(text).map_err(|_secret| "has characters that no header may have")?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn target<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| target_url(&text).map_err(D::Error::custom))
        .transpose()
}

/// Which may be the generator's own.
pub(super) fn target_of_behaviour<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let url = |text: String| match target_url(&text) {
        _ if text == echo::NAME => Ok(text),
        Ok(url) => Ok(url),
        Err(problem) => Err(D::Error::custom(format!(
            "{problem}, or `{}` for the generator's own server",
            echo::NAME
        ))),
    };
    text.map(url).transpose()
}

/// By their names in lower case.
pub(super) fn headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_map(Headers)
}

struct Headers;

impl<'de> Visitor<'de> for Headers {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers by name, such as `x-api-key: secret`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = BTreeMap::new();
        while let Some(Name(name)) = map.next_key()? {
            if headers.contains_key(name.as_str()) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            let Text(text) = map.next_value()?;
            headers.insert(name.as_str().to_owned(), text);
        }
        Ok(headers)
    }
}

/// Read for itself, so that what is wrong has its own place.
struct Name(HeaderName);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name: HeaderName = text
            .parse()
            .map_err(|_bad| D::Error::custom("it is no name of a header"))?;
        let mut options = Options::new("ws://localhost");
        options
            .headers
            .insert(name.clone(), HeaderValue::from_static(""));
        options.check().map_err(D::Error::custom)?;
        Ok(Self(name))
    }
}

/// A template, or a value.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !is_template(&text) {
            let fits = header_value(&text);
            fits.map_err(|why| D::Error::custom(format!("the header's value {why}")))?;
        }
        payload::check_names(&text, &KNOWN).map_err(D::Error::custom)?;
        Ok(Self(text))
    }
}
