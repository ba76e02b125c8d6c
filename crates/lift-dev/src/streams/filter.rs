//! In: the patterns of `FilterCriteria`, and records. Out: whether a record passes, or what is wrong with a pattern.
//!
//! The syntax is EventBridge's as Lambda takes it ("Using event filtering with Lambda"): an object
//! of lists; `prefix`, `suffix`, `anything-but`, `numeric`, `exists`, `equals-ignore-case`, `$or`.
//! A DynamoDB number is a string in a record, so `numeric` never matches one.

use serde_json::{Map, Value};

/// Patterns of a mapping: one that matches suffices, and where there is none everything passes.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<Node>);

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter pattern {number}: `{path}` {problem}")]
pub struct PatternError {
    /// Which, from 1.
    number: usize,
    /// Names down to what is wrong, joined by dots.
    path: String,
    /// What is wrong.
    problem: String,
}

#[derive(Clone, Debug)]
enum Node {
    /// Every field must match.
    Fields(Vec<(String, Self)>),
    /// One of these must match, beside the other fields.
    Or(Vec<Self>),
    /// One of these must match the value.
    Leaf(Vec<Test>),
}

#[derive(Clone, Debug)]
enum Test {
    Equals(Value),
    EqualsIgnoreCase(String),
    Prefix(String),
    Suffix(String),
    AnythingBut(Vec<Self>),
    Numeric(Vec<(Comparison, f64)>),
    Exists,
    Absent,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Filters {
    /// The patterns in order.
    ///
    /// # Errors
    /// If one is not of EventBridge's syntax: which, where and why.
    pub fn new(patterns: &[Value]) -> Result<Self, PatternError> {
        let parsed = patterns.iter().enumerate().map(|(at, pattern)| {
            let mut path = Vec::new();
            object(pattern, &mut path).map_err(|problem| PatternError {
                number: at + 1,
                path: path.join("."),
                problem,
            })
        });
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// Whether a record passes, given as its JSON.
    #[must_use]
    pub fn pass(&self, record: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let record = serde_json::from_str(record).unwrap_or_default();
        self.0.iter().any(|pattern| pattern.matches(Some(&record)))
    }
}

impl Node {
    fn matches(&self, value: Option<&Value>) -> bool {
        // Of a list of objects one must match (EventBridge, "Arrays in event patterns").
        if let (Self::Fields(_), Some(Value::Array(all))) = (self, value) {
            return all.iter().any(|one| self.matches(Some(one)));
        }
        match self {
            Self::Fields(fields) => fields.iter().all(|(name, node)| match node {
                Self::Or(_) => node.matches(value),
                Self::Fields(_) | Self::Leaf(_) => node.matches(value.and_then(|of| of.get(name))),
            }),
            Self::Or(alternatives) => alternatives.iter().any(|node| node.matches(value)),
            Self::Leaf(tests) => tests.iter().any(|test| test.matches(value)),
        }
    }
}

impl Test {
    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Absent, value) => value.is_none(),
            (_, None) => false,
            // `exists` is about leaves: an object has no value of its own.
            (Self::Exists, Some(value)) => !value.is_object(),
            (Self::AnythingBut(_), Some(Value::Array(all))) => {
                all.iter().all(|one| self.matches_one(one))
            }
            (_, Some(Value::Array(all))) => all.iter().any(|one| self.matches_one(one)),
            (_, Some(one)) => self.matches_one(one),
        }
    }

    fn matches_one(&self, value: &Value) -> bool {
        match self {
            Self::Equals(wanted) => match (wanted.as_f64(), value.as_f64()) {
                (Some(wanted), Some(value)) => wanted.total_cmp(&value).is_eq(),
                _ => wanted == value,
            },
            Self::EqualsIgnoreCase(wanted) => {
                let text = value.as_str().map(str::to_lowercase);
                text.is_some_and(|text| text == wanted.to_lowercase())
            }
            Self::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => value.as_str().is_some_and(|text| text.ends_with(suffix)),
            Self::AnythingBut(tests) => {
                !value.is_object() && !tests.iter().any(|test| test.matches_one(value))
            }
            Self::Numeric(all) => value.as_f64().is_some_and(|value| {
                all.iter()
                    .all(|(comparison, bound)| comparison.holds(value, *bound))
            }),
            Self::Exists | Self::Absent => false,
        }
    }
}

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        let order = value.total_cmp(&bound);
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// A pattern, or the problem; `path` then leads to it.
fn object(pattern: &Value, path: &mut Vec<String>) -> Result<Node, String> {
    let fields = pattern.as_object().ok_or("must be an object")?;
    if fields.is_empty() {
        return Err("must not be empty".to_owned());
    }
    let mut nodes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        path.push(name.clone());
        let node = match value {
            Value::Array(alternatives) if name == "$or" => or(alternatives, path)?,
            Value::Array(tests) => Node::Leaf(leaf(tests)?),
            Value::Object(_) => object(value, path)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(format!("is `{value}`, and must be a list or an object"));
            }
        };
        path.pop();
        nodes.push((name.clone(), node));
    }
    Ok(Node::Fields(nodes))
}

fn or(alternatives: &[Value], path: &mut Vec<String>) -> Result<Node, String> {
    if alternatives.len() < 2 {
        return Err("needs at least two patterns".to_owned());
    }
    let nodes = alternatives.iter().map(|pattern| object(pattern, path));
    Ok(Node::Or(nodes.collect::<Result<_, _>>()?))
}

fn leaf(tests: &[Value]) -> Result<Vec<Test>, String> {
    if tests.is_empty() {
        return Err("must not be an empty list".to_owned());
    }
    tests.iter().map(test).collect()
}

fn test(value: &Value) -> Result<Test, String> {
    match value {
        Value::Object(operators) => operator(operators),
        Value::Array(_) => Err(format!("has `{value}`, a list in a list")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Ok(Test::Equals(value.clone()))
        }
    }
}

fn operator(operators: &Map<String, Value>) -> Result<Test, String> {
    let mut all = operators.iter();
    let (Some((name, value)), None) = (all.next(), all.next()) else {
        return Err(format!(
            "has {} operators in one object instead of one",
            operators.len()
        ));
    };
    let text = || {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("has `{name}` of `{value}`, which is no text"))
    };
    match name.as_str() {
        "prefix" => text().map(Test::Prefix),
        "suffix" => text().map(Test::Suffix),
        "equals-ignore-case" => text().map(Test::EqualsIgnoreCase),
        "exists" => match value {
            Value::Bool(true) => Ok(Test::Exists),
            Value::Bool(false) => Ok(Test::Absent),
            _ => Err(format!(
                "has `exists` of `{value}`, which is neither true nor false"
            )),
        },
        "anything-but" => match value {
            Value::Array(values) => leaf(values).map(Test::AnythingBut),
            _ => test(value).map(|test| Test::AnythingBut(vec![test])),
        },
        "numeric" => numeric(value),
        _ => Err(format!("has the operator `{name}`, which is not known")),
    }
}

fn numeric(value: &Value) -> Result<Test, String> {
    let wrong = || format!("has `numeric` of `{value}`, which is not like [\">\", 0, \"<=\", 5]");
    let parts = value.as_array().ok_or_else(wrong)?;
    let pairs = parts.chunks(2).map(|pair| {
        let [comparison, bound] = pair else {
            return Err(wrong());
        };
        let comparison = match comparison.as_str() {
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::LessOrEqual,
            Some("=") => Comparison::Equal,
            Some(">=") => Comparison::GreaterOrEqual,
            Some(">") => Comparison::Greater,
            _ => return Err(wrong()),
        };
        Ok((comparison, bound.as_f64().ok_or_else(wrong)?))
    });
    let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
    if pairs.is_empty() || pairs.len() > 2 {
        return Err(wrong());
    }
    Ok(Test::Numeric(pairs))
}
