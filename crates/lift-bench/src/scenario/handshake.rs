//! What a handshake is to say comes in as it is written, checked as far as that can be without a client.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use streamer_client::options::Options;

use crate::payload::{self, is_template};

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

/// Whether a target's templates are where they may be, and are templates.
pub(crate) fn check_target(target: &str) -> Result<(), String> {
    if is_template(split_target(target).0) {
        return Err(format!(
            "`{target}` has a template before its path: the host and the port are one server's"
        ));
    }
    payload::check_names(target, &KNOWN)
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
    let target = Option::<String>::deserialize(deserializer)?;
    if let Some(target) = &target {
        check_target(target).map_err(D::Error::custom)?;
    }
    Ok(target)
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
            .map_err(|_bad| D::Error::custom(format!("`{text}` is no name of a header")))?;
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
