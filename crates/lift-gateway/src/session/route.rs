//! In: a message's text. Out: the value that its route key is compared with.
//!
//! Source: developer guide, "Working with routes for WebSocket APIs" and "WebSocket selection
//! expressions": a path that is not there is the empty string, a body that is no JSON selects
//! `$default`. JSONPath's wildcards and filters are not supported.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use lift_apigw::event::{CONNECT, DEFAULT, DISCONNECT};

use super::rules::{Route, Rules};

/// Where a message's route key is found: `$request.body.action`.
///
/// ```
/// use lift_gateway::RouteSelection;
///
/// let selection: RouteSelection = "${request.body.meta.kinds[1]}-v1".parse()?;
/// assert_eq!(selection.evaluate(r#"{"meta":{"kinds":["a","b"]}}"#).unwrap(), "b-v1");
/// # Ok::<(), lift_gateway::RouteSelectionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSelection {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Body(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Why a route selection expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{expression}` is not made of `$request.body.name[0]`, or `${{request.body.name}}` and text"
)]
pub struct RouteSelectionError {
    expression: String,
}

impl Default for RouteSelection {
    fn default() -> Self {
        let action = Step::Key("action".to_owned());
        Self {
            parts: vec![Part::Body(vec![action])],
        }
    }
}

impl FromStr for RouteSelection {
    type Err = RouteSelectionError;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        let alone = expression.strip_prefix('$').and_then(parse_variable);
        let parts = match alone {
            Some(path) => Some(vec![Part::Body(path)]),
            None => parse_template(expression),
        };
        match parts {
            Some(parts) if !parts.is_empty() => Ok(Self { parts }),
            Some(_) | None => Err(RouteSelectionError {
                expression: expression.to_owned(),
            }),
        }
    }
}

impl fmt::Display for RouteSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |f: &mut fmt::Formatter<'_>, path: &[Step]| {
            f.write_str("request.body")?;
            path.iter().try_for_each(|step| match step {
                Step::Key(key) if !key.is_empty() && key.chars().all(is_plain) => {
                    write!(f, ".{key}")
                }
                Step::Key(key) => write!(f, "['{key}']"),
                Step::Index(index) => write!(f, "[{index}]"),
            })
        };
        if let [Part::Body(steps)] = self.parts.as_slice() {
            f.write_str("$")?;
            return path(f, steps);
        }
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(&text.replace('$', "\\$")),
            Part::Body(steps) => {
                f.write_str("${")?;
                path(f, steps)?;
                f.write_str("}")
            }
        })
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// Text, `\$` for a dollar, and `${request.body…}`, in any order.
fn parse_template(mut rest: &str) -> Option<Vec<Part>> {
    let (mut parts, mut literal) = (Vec::new(), String::new());
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\$") {
            literal.push('$');
            rest = after;
        } else if let Some(variable) = rest.strip_prefix("${") {
            let (variable, after) = variable.split_once('}')?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Body(parse_variable(variable)?));
            rest = after;
        } else if next == '$' {
            return None;
        } else {
            literal.push(next);
            rest = rest.get(next.len_utf8()..)?;
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Some(parts)
}

/// `request.body.name[0]['other name']` as its steps.
fn parse_variable(variable: &str) -> Option<Vec<Step>> {
    let mut rest = variable.strip_prefix("request.body")?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(|c| !is_plain(c)).unwrap_or(named.len());
            let (name, after) = named.split_at_checked(end)?;
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Key(name.to_owned()));
            rest = after;
        } else {
            let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = |quote| inner.strip_prefix(quote)?.strip_suffix(quote);
            steps.push(match quoted('\'').or_else(|| quoted('"')) {
                Some(name) => Step::Key(name.to_owned()),
                None => Step::Index(inner.parse().ok()?),
            });
            rest = after;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

impl RouteSelection {
    /// The route key of a message.
    ///
    /// A path that is not there is empty. Numbers and booleans are their text, null is empty, lists
    /// are `[1, a]`, objects `{a=1}` (*unverified* but for lists). Of a repeated key, the last
    /// counts (*unverified*).
    ///
    /// # Errors
    /// The message is not JSON, and the expression is more than literal text.
    pub fn evaluate(&self, message: &str) -> Result<String, serde_json::Error> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => key.push_str(text),
                Part::Body(path) => {
                    if let Some(value) = find(path, message)? {
                        key.push_str(&value);
                    }
                }
            }
        }
        Ok(key)
    }

    /// The same, borrowed from the message where it can be.
    fn key<'m>(&self, message: &'m str) -> Result<Cow<'m, str>, serde_json::Error> {
        match self.parts.as_slice() {
            [Part::Body(path)] => Ok(find(path, message)?.unwrap_or_default()),
            _ => self.evaluate(message).map(Cow::Owned),
        }
    }
}

fn find<'m>(path: &[Step], message: &'m str) -> Result<Option<Cow<'m, str>>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(message);
    let value = Walk(path).deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// The route that takes a message: its exact key, else `$default`; never `$connect` or `$disconnect`.
pub(super) fn select<'r>(rules: &'r Rules, message: &str) -> Option<(&'r str, &'r Route)> {
    let is_own = |key: &String| ![CONNECT, DISCONNECT, DEFAULT].contains(&key.as_str());
    let key = if rules.routes.keys().any(is_own) {
        rules.route_selection.key(message).unwrap_or_default()
    } else {
        // Whatever the message is, there is one route to take.
        Cow::Borrowed(DEFAULT)
    };
    let exact = match key.as_ref() {
        // Asking for them by name is no way to them (*unverified* on API Gateway).
        CONNECT | DISCONNECT => None,
        key => rules.routes.get_key_value(key),
    };
    let found = exact.or_else(|| rules.routes.get_key_value(DEFAULT));
    found.map(|(key, route)| (key.as_str(), route))
}

/// Reads the value at a path and checks, without keeping it, that the rest is JSON.
struct Walk<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn leaf(&self, value: impl fmt::Display) -> Option<Cow<'static, str>> {
        self.0.is_empty().then(|| Cow::Owned(value.to_string()))
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.0.is_empty() {
            return Shown.visit_map(map).map(|shown| Some(Cow::Owned(shown)));
        }
        let (step, rest) = match self.0.split_first() {
            Some((Step::Key(step), rest)) => (Some(step.as_str()), rest),
            Some((Step::Index(_), _)) | None => (None, self.0),
        };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(IsKey(step))? {
            if is_it {
                found = map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if self.0.is_empty() {
            return Shown.visit_seq(seq).map(|shown| Some(Cow::Owned(shown)));
        }
        let mut found = None;
        if let Some((Step::Index(index), rest)) = self.0.split_first() {
            for _ in 0..*index {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = seq.next_element_seed(Walk(rest))?.flatten();
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then_some(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads an object's key: whether it is this one.
struct IsKey<'k>(Option<&'k str>);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

/// Reads a value as text: lists as `[a, b]`, objects as `{a=1, b=2}`, as Java prints them.
struct Shown;

impl<'de> DeserializeSeed<'de> for Shown {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shown {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            pairs.push(format!("{key}={}", map.next_value_seed(Self)?));
        }
        Ok(format!("{{{}}}", pairs.join(", ")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(format!("[{}]", items.join(", ")))
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }
}
