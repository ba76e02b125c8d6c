//! In: a message's text. Out: the value that its route key is compared with.
//!
//! Source: developer guide, "Working with routes for WebSocket APIs": a path that is not there is
//! the empty string, a body that is no JSON selects `$default`. One path is supported,
//! `$request.body.<path>`; several `${…}` parts and literals are not.

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
/// let selection: RouteSelection = "$request.body.meta.kinds[1]".parse()?;
/// assert_eq!(selection.to_string(), "$request.body.meta.kinds[1]");
/// # Ok::<(), lift_gateway::RouteSelectionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSelection {
    path: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Why a route selection expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}` is not of the form `$request.body.name`, `.name` and `[0]` repeated")]
pub struct RouteSelectionError {
    expression: String,
}

impl Default for RouteSelection {
    fn default() -> Self {
        Self {
            path: vec![Step::Key("action".to_owned())],
        }
    }
}

impl FromStr for RouteSelection {
    type Err = RouteSelectionError;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        let error = || RouteSelectionError {
            expression: expression.to_owned(),
        };
        let braced = expression
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let inner = braced
            .or_else(|| expression.strip_prefix('$'))
            .ok_or_else(error)?;
        let path = inner.strip_prefix("request.body.").ok_or_else(error)?;
        let steps = path
            .split('.')
            .map(parse_segment)
            .collect::<Option<Vec<_>>>();
        Ok(Self {
            path: steps.ok_or_else(error)?.into_iter().flatten().collect(),
        })
    }
}

impl fmt::Display for RouteSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$request.body")?;
        self.path.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

/// `name[0][1]` as its steps.
fn parse_segment(segment: &str) -> Option<Vec<Step>> {
    let (name, mut rest) = match segment.find('[') {
        Some(at) => segment.split_at(at),
        None => (segment, ""),
    };
    let named = name
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    if name.is_empty() || !named {
        return None;
    }
    let mut steps = vec![Step::Key(name.to_owned())];
    while let Some(indexed) = rest.strip_prefix('[') {
        let (index, after) = indexed.split_once(']')?;
        steps.push(Step::Index(index.parse().ok()?));
        rest = after;
    }
    rest.is_empty().then_some(steps)
}

impl RouteSelection {
    /// The value at the path as text; empty where there is none.
    ///
    /// Numbers and booleans are their text; null, lists and objects are empty (*unverified*). Of a
    /// repeated key, the last counts (*unverified*).
    ///
    /// # Errors
    /// The message is not JSON.
    pub fn evaluate(&self, message: &str) -> Result<String, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(message);
        let value = Walk(&self.path).deserialize(&mut json)?;
        json.end()?;
        Ok(value.unwrap_or_default())
    }
}

/// The route that takes a message: its exact key, else `$default`; never `$connect` or `$disconnect`.
pub(super) fn select<'r>(rules: &'r Rules, message: &str) -> Option<(&'r str, Route)> {
    let key = rules.route_selection.evaluate(message).unwrap_or_default();
    let exact = match key.as_str() {
        // Asking for them by name is no way to them (*unverified* on API Gateway).
        CONNECT | DISCONNECT => None,
        key => rules.routes.get_key_value(key),
    };
    let found = exact.or_else(|| rules.routes.get_key_value(DEFAULT));
    found.map(|(key, route)| (key.as_str(), *route))
}

/// Reads the value at a path and checks, without keeping it, that the rest is JSON.
struct Walk<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn leaf(&self, value: impl fmt::Display) -> Option<String> {
        self.0.is_empty().then(|| value.to_string())
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0.split_first() {
                Some((Step::Key(step), rest)) if *step == key => {
                    found = map.next_value_seed(Walk(rest))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
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
