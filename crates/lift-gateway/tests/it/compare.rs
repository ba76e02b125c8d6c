//! In: what a script expects and what there was. Out: whether they agree, and what the script keeps.

use std::collections::BTreeMap;
use std::fmt;

use lift_gateway::ConnectionId;
use serde_json::Value;

/// Values that a script has named, to compare later ones with.
#[derive(Debug)]
pub(crate) struct Kept {
    named: BTreeMap<String, Value>,
    clock: Clock,
}

/// How exactly time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clock {
    /// As the script says.
    #[allow(dead_code, reason = "every clock of one binary is of one kind")]
    Paused,
    /// As long as it says, and whatever sockets and functions take.
    #[allow(dead_code, reason = "every clock of one binary is of one kind")]
    Real,
}

/// What sockets and functions take at most, in ms, where a time is compared: an integration's time.
const TAKEN_MS_MAX: u64 = 29_000;

/// Whether fields that the script does not name may be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fields {
    Some,
    All,
}

pub(crate) fn same<T: PartialEq + fmt::Debug>(expected: T, actual: T) -> Result<(), String> {
    match (expected, actual) {
        (expected, actual) if expected == actual => Ok(()),
        (expected, actual) => Err(format!("expected {expected:?}, was {actual:?}")),
    }
}

/// Whether a text is a pattern in which `*` stands for any run without `"`.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let ends = rest.find('"').unwrap_or(rest.len());
    (0..=ends).any(|end| rest.is_char_boundary(end) && like(after, &rest[end..]))
}

impl Kept {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            named: BTreeMap::new(),
            clock,
        }
    }

    /// Puts what was kept into a text: `<name>`, and `<name%>` percent-encoded.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.named
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                let value = value.as_str().unwrap_or_default();
                text.replace(&format!("<{name}>"), value)
                    .replace(&format!("<{name}%>"), &value.replace('=', "%3D"))
            })
    }

    /// Whether a value is as expected; see `README.md` for the words in parentheses.
    pub(crate) fn includes(
        &mut self,
        expected: &Value,
        actual: Option<&Value>,
        fields: Fields,
        path: &str,
    ) -> Result<(), String> {
        let wrong = || {
            let actual = actual.map_or("(absent)".to_owned(), Value::to_string);
            Err(format!("{path}: expected {expected}, was {actual}"))
        };
        match (expected, actual) {
            (Value::String(text), None) if text == "(absent)" => Ok(()),
            (Value::String(text), Some(actual)) => match self.matches(text, actual) {
                true => Ok(()),
                false => wrong(),
            },
            (Value::Object(expected), Some(Value::Object(actual))) => {
                let unnamed = actual.keys().find(|key| !expected.contains_key(*key));
                if let (Fields::All, Some(unnamed)) = (fields, unnamed) {
                    return Err(format!("{path}.{unnamed} is there"));
                }
                expected.iter().try_for_each(|(key, value)| {
                    let path = format!("{path}.{key}");
                    self.includes(value, actual.get(key), fields, &path)
                })
            }
            (expected, Some(actual)) if expected == actual => Ok(()),
            _ => wrong(),
        }
    }

    fn matches(&mut self, expected: &str, actual: &Value) -> bool {
        let text = actual.as_str().unwrap_or_default();
        let word = expected
            .strip_prefix('(')
            .and_then(|word| word.strip_suffix(')'));
        match word.map(|word| word.split_once(' ').unwrap_or((word, ""))) {
            _ if expected == "*" => true,
            None => actual.is_string() && like(expected, text),
            // Connection, request and message ids share one form.
            Some(("id", _)) => ConnectionId::parse(text).is_some(),
            Some(("clf", _)) => shaped("00/Aaa/0000:00:00:00 +0000", text),
            Some(("iso", _)) => shaped("0000-00-00T00:00:00.000Z", text),
            Some(("trace", _)) => shaped("Root=0-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx", text),
            Some(("list", _)) => actual.is_array(),
            Some(("map", _)) => actual.is_object(),
            Some(("about", ms)) => {
                let (ms, actual) = (ms.parse::<u64>(), actual.as_u64());
                match (ms, actual, self.clock) {
                    (Ok(ms), Some(actual), Clock::Paused) => ms == actual,
                    (Ok(ms), Some(actual), Clock::Real) => {
                        (ms..ms + TAKEN_MS_MAX).contains(&actual)
                    }
                    (Err(_), ..) | (_, None, _) => false,
                }
            }
            Some(("ms", _)) => actual.as_u64().is_some_and(|ms| ms > 1_600_000_000_000),
            Some(("same", name)) => {
                let kept = self.named.entry(name.to_owned());
                kept.or_insert_with(|| actual.clone()) == actual
            }
            Some(("other", name)) => {
                let kept = self.named.insert(name.to_owned(), actual.clone());
                kept.is_some_and(|kept| kept != *actual)
            }
            Some(("tail", name)) => {
                let kept = self
                    .named
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                kept.len() == 16 && text.ends_with(&kept[10..])
            }
            Some(_) => false,
        }
    }
}

/// Whether a text has a shape: `0` a digit, `A` an upper and `a` a lower letter, `x` a hex digit.
fn shaped(shape: &str, text: &str) -> bool {
    let fits = |shape: u8, byte: u8| match shape {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        other => other == byte,
    };
    // The literal letters of the shapes stand for themselves.
    let (shape, literal) = match shape.strip_prefix("Root=") {
        Some(rest) => (rest, "Root="),
        None => (shape, ""),
    };
    let Some(text) = text.strip_prefix(literal) else {
        return false;
    };
    shape.len() == text.len() && shape.bytes().zip(text.bytes()).all(|(s, b)| fits(s, b))
}
