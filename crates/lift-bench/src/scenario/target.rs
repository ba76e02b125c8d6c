//! The file's text comes in, the URL of a server that a WebSocket can be opened to goes out.

use http::Uri;
use serde::{Deserialize, Deserializer, de::Error};

use super::Problem;
use crate::echo;

/// A URL that is given instead of a scenario's `target`.
///
/// # Errors
/// It is no `ws://` or `wss://` URL.
pub fn target_url(text: &str) -> Result<String, Problem> {
    let is_url = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("ws" | "wss"))
            && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_url {
        return Ok(text.to_owned());
    }
    Err(Problem {
        place: None,
        message: format!("`{text}` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`"),
        suggestion: None,
    })
}

pub(super) fn of_scenario<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| target_url(&text).map_err(D::Error::custom))
        .transpose()
}

/// Which may be the generator's own.
pub(super) fn of_behaviour<'de, D: Deserializer<'de>>(
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
