//! What the parser of YAML refuses comes in; the same in the file's own words, with its place, goes out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_path_to_error::{Path, Segment, Track};
use serde_saphyr::{Error, Location};

use super::{Scenario, read::Problem, read::nearest};

/// Most characters of a value that are shown.
const SHOWN_MAX: usize = 60;

/// A text of this shape, not yet checked for what cannot work.
pub(super) fn shaped(text: &str) -> Result<Scenario, Problem> {
    let mut track = Track::new();
    let shaped = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        Scenario::deserialize(serde_path_to_error::Deserializer::new(
            deserializer,
            &mut track,
        ))
    });
    shaped.map_err(|error| {
        let error = innermost(&error);
        let message = Refused::new(text, &track.path(), error).said();
        Problem {
            place: error.location().map(place),
            suggestion: meant(&message),
            message,
        }
    })
}

pub(super) fn place(location: Location) -> (u64, u64) {
    (location.line(), location.column())
}

fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        error => error,
    }
}

/// A value that is not what its key takes.
struct Refused<'a> {
    error: &'a Error,
    /// The key, and whether the value is one of a list of it.
    key: Option<(&'a str, Of)>,
    value: Written<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Key,
    ListOfKey,
}

/// How a value is written.
enum Written<'a> {
    Nothing,
    Text(&'a str),
    List,
    Map,
}

impl<'a> Refused<'a> {
    fn new(text: &'a str, path: &'a Path, error: &'a Error) -> Self {
        let mut of = Of::Key;
        let key = path.iter().rev().find_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            Segment::Enum { variant } => Some(variant.as_str()),
            Segment::Seq { .. } | Segment::Unknown => {
                of = Of::ListOfKey;
                None
            }
        });
        Self {
            error,
            key: key.map(|key| (key, of)),
            value: error
                .location()
                .map_or(Written::Nothing, |location| Written::at(text, location)),
        }
    }

    fn said(&self) -> String {
        match self.error {
            Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is there twice"),
            Error::SerdeMissingField { field, .. } => match self.key {
                Some((key, Of::Key)) => format!("`{key}` has no `{field}`"),
                Some((key, Of::ListOfKey)) => format!("one of `{key}` has no `{field}`"),
                None => format!("it has no `{field}`"),
            },
            Error::UnexpectedValueForUnit { .. } => self.instead("nothing after it"),
            Error::Unexpected { .. }
            | Error::InvalidScalar { .. }
            | Error::NullIntoString { .. }
            | Error::SerdeInvalidType { .. }
            | Error::SerdeInvalidValue { .. } => self.instead(&self.wanted()),
            // It comes from the standard library, which knows neither key nor value.
            Error::Message { .. } if matches!(self.key, Some(("sources", _))) => {
                self.instead(&self.wanted())
            }
            Error::Message { msg, .. } => match self.key {
                Some((key, Of::Key)) => format!("`{key}`: {msg}"),
                Some((_, Of::ListOfKey)) | None => msg.clone(),
            },
            other => {
                let said = other.to_string();
                let message = said.rsplit_once(" at line ").map(|(message, _)| message);
                message.unwrap_or(&said).to_owned()
            }
        }
    }

    /// What is there, and what should be.
    fn instead(&self, wanted: &str) -> String {
        let what = match self.key {
            Some((key, Of::Key)) => format!("`{key}`"),
            Some((key, Of::ListOfKey)) => format!("one of `{key}`"),
            None => "it".to_owned(),
        };
        // The place of a value that the parser had read already is that of its key.
        let is = match (self.error, &self.value) {
            (Error::SerdeInvalidValue { unexpected, .. }, _) => {
                Cow::Owned(unexpected.trim_start_matches("integer ").to_owned())
            }
            (_, Written::Nothing) => Cow::Borrowed("empty"),
            (_, Written::Text(text)) => Cow::Owned(format!("`{text}`")),
            (_, Written::List) => Cow::Borrowed("a list"),
            (_, Written::Map) => Cow::Borrowed("a map"),
        };
        format!("{what} is {is}: write {wanted}")
    }

    fn wanted(&self) -> Cow<'static, str> {
        let keys = matches!(
            self.error,
            Error::Unexpected {
                expected: "mapping start",
                ..
            }
        );
        let known = self.key.filter(|_| !keys);
        let known = known.and_then(|(key, of)| example(key, of));
        let by_type = || match self.error {
            Error::Unexpected { expected, .. } => Cow::Borrowed(match *expected {
                "sequence start" => "a list, such as `[one, two]`",
                "mapping start" => "keys with values, such as `key: value`",
                _ => "one value",
            }),
            Error::InvalidScalar { ty, .. } => typed(ty),
            Error::SerdeInvalidType { expected, .. }
            | Error::SerdeInvalidValue { expected, .. } => Cow::Owned(expected.clone()),
            _ => Cow::Borrowed("one value"),
        };
        known.map_or_else(by_type, Cow::Borrowed)
    }
}

impl<'a> Written<'a> {
    fn at(text: &'a str, location: Location) -> Self {
        let span = location.span();
        let number = |number: Option<u64>| usize::try_from(number?).ok();
        let value = number(span.byte_offset())
            .zip(number(span.byte_len()))
            .and_then(|(at, len)| {
                let rest = text.get(at..)?;
                Some((rest.get(..len)?, rest))
            });
        match value {
            None | Some(("]" | "}" | ":", _)) => Self::Nothing,
            Some(("[" | "-", _)) => Self::List,
            Some(("{", _)) => Self::Map,
            // A map that is no more than its lines begins with no sign.
            Some(("", rest)) => match rest.chars().next() {
                Some(c) if !c.is_whitespace() && !",:]}#".contains(c) => Self::Map,
                Some(_) | None => Self::Nothing,
            },
            Some((value, _)) => {
                let line = value.lines().next().unwrap_or_default();
                let end = line.char_indices().nth(SHOWN_MAX);
                let shown = line.get(..end.map_or(line.len(), |(at, _)| at));
                Self::Text(shown.unwrap_or(line))
            }
        }
    }
}

/// What to write for a key, where more can be said than its type.
fn example(key: &str, of: Of) -> Option<&'static str> {
    Some(match (key, of) {
        ("connections_per_second" | "messages_per_second" | "ramp_to", Of::Key) => {
            "a number, such as `20` or `0.5`"
        }
        (
            "duration" | "at" | "every" | "each" | "for" | "offline" | "down" | "think" | "latency"
            | "expires_in" | "ready_within" | "connect_within" | "late_after" | "drain" | "lag",
            Of::Key,
        ) => "a time, such as `500ms` or `30s`",
        ("share" | "missed" | "cpu", Of::Key) => "a share, such as `50%` or `0.5`",
        ("bytes_per_second" | "slice" | "reset_after", Of::Key) => {
            "a whole number of bytes, such as `65536`"
        }
        ("processes", Of::Key) => "a whole number from 1 to 64",
        ("in_flight", Of::Key) => "a whole number from 1 on",
        ("command", Of::Key) => "a list of words, such as `[my-server, --port, \"7070\"]`",
        ("thresholds", Of::Key) => "a list of texts, such as `[\"reply.p99 < 100ms\"]`",
        ("thresholds", Of::ListOfKey) => "a text, such as `reply.p99 < 100ms`",
        ("sources", Of::ListOfKey) => "an IP address, such as `127.0.0.2`",
        _ => return None,
    })
}

fn typed(name: &str) -> Cow<'static, str> {
    let most = match name {
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" => u64::MAX,
        "floating point" => return Cow::Borrowed("a number, such as `20` or `0.5`"),
        "boolean" => return Cow::Borrowed("`true` or `false`"),
        other => return Cow::Owned(format!("a value of {other}")),
    };
    Cow::Owned(format!("a whole number from 0 to {most}"))
}

/// Out of `unknown field `stepz`, expected one of name, steps`: `steps`.
fn meant(message: &str) -> Option<String> {
    // Before it may be the key that it is of.
    let unknown = message.split_once("unknown ");
    let (_, rest) = unknown.map_or(message, |(_, rest)| rest).split_once('`')?;
    let (wrong, rest) = rest.split_once('`')?;
    let (_, known) = rest
        .split_once("expected one of ")
        .or_else(|| rest.split_once("expected "))?;
    let known = known
        .split([',', ' ', '`'])
        .filter(|word| !word.is_empty() && *word != "or");
    nearest(wrong, known)
}
