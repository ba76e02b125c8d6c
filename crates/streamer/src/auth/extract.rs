//! The headers, query and subprotocols of a handshake come in, the one token that decides goes out.

use streamer_protocol::SUBPROTOCOL;

use super::rejection::{Rejection, shown};

const BEARER_ENTRY: &str = "bearer.";

/// Whether `?token=` counts; query strings end in access logs, so that it does not unless
/// configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryToken {
    /// A token in the query is as good as none.
    #[default]
    Off,
    /// A token in the query decides where no other is present.
    On,
}

/// What a client sent when it asked for the upgrade; names may repeat, header names in any case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handshake<'a> {
    /// Every header line as it came.
    pub headers: &'a [(&'a str, &'a str)],
    /// Every query parameter, decoded.
    pub query: &'a [(&'a str, &'a str)],
    /// The entries of `Sec-WebSocket-Protocol`, in order.
    pub subprotocols: &'a [&'a str],
}

/// Takes the token of a handshake: from `Authorization`, else a subprotocol, else the query where
/// that is on.
///
/// The first of these that is present decides alone, also when it is bad and a later one would be
/// good.
///
/// # Errors
/// Unauthorized where no token is present, or the place that decides holds more than one, or none
/// that is whole.
pub fn presented_token<'a>(
    handshake: &Handshake<'a>,
    query: QueryToken,
) -> Result<&'a str, Rejection> {
    if let Some(found) = in_authorization(handshake.headers)? {
        return Ok(found);
    }
    if let Some(found) = in_subprotocols(handshake.subprotocols)? {
        return Ok(found);
    }
    let in_query = only(
        handshake
            .query
            .iter()
            .filter(|(name, _)| *name == "token")
            .map(|(_, value)| *value),
        "more than one `token` in the query",
    )?;
    match (in_query, query) {
        (Some(""), QueryToken::On) => {
            Err(Rejection::unauthorized("the `token` in the query is empty"))
        }
        (Some(found), QueryToken::On) => Ok(found),
        (Some(_), QueryToken::Off) => Err(Rejection::unauthorized(
            "the only token is in the query, where it is not allowed",
        )),
        (None, _) => Err(Rejection::unauthorized("no token")),
    }
}

/// `Authorization` is one field of one value (RFC 9110 §11.6.2), whatever its scheme: of two, a
/// proxy may have seen another than we do. One of another scheme is for somebody else, and leaves
/// the next place to decide.
fn in_authorization<'a>(headers: &[(&'a str, &'a str)]) -> Result<Option<&'a str>, Rejection> {
    let values = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.trim_matches([' ', '\t']));
    let Some(value) = only(values, "more than one Authorization header")? else {
        return Ok(None);
    };
    let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    match credentials.trim_start_matches(' ') {
        "" => Err(Rejection::unauthorized(
            "the Authorization header holds no token",
        )),
        found => Ok(Some(found)),
    }
}

fn in_subprotocols<'a>(offered: &[&'a str]) -> Result<Option<&'a str>, Rejection> {
    let entries = offered
        .iter()
        .filter_map(|entry| entry.strip_prefix(BEARER_ENTRY));
    let Some(found) = only(entries, "more than one bearer subprotocol")? else {
        return Ok(None);
    };
    if found.is_empty() {
        return Err(Rejection::unauthorized(
            "the bearer subprotocol holds no token",
        ));
    }
    if !offered.contains(&SUBPROTOCOL) {
        // The server echoes nothing but it, and a browser that is echoed nothing it offered fails
        // the connection.
        return Err(Rejection::unauthorized(
            "a bearer subprotocol without `streamer.v1` beside it",
        ));
    }
    Ok(Some(found))
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a str>,
    several: &'static str,
) -> Result<Option<&'a str>, Rejection> {
    let first = values.next();
    if values.next().is_some() {
        return Err(Rejection::unauthorized(several));
    }
    Ok(first)
}

/// Checks a browser's `Origin` against those allowed, each as `https://app.example.com`; an empty
/// list allows all.
///
/// Call it once the token is known to be good: a bad token is Unauthorized wherever it came from.
/// Programs send no `Origin` and pass; it protects users of browsers (RFC 6455 §10.2), not the
/// server.
///
/// # Errors
/// Forbidden where an `Origin` is present and not on the list, or present twice.
pub fn check_origin<S: AsRef<str>>(
    headers: &[(&str, &str)],
    allowed: &[S],
) -> Result<(), Rejection> {
    if allowed.is_empty() {
        return Ok(());
    }
    let mut origins = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some((_, origin)), None) => {
            if allowed
                .iter()
                .any(|one| one.as_ref().eq_ignore_ascii_case(origin))
            {
                Ok(())
            } else {
                Err(Rejection::forbidden(format!(
                    "origin {} is not allowed",
                    shown(origin)
                )))
            }
        }
        (Some(_), Some(_)) => Err(Rejection::forbidden("more than one Origin header")),
    }
}
