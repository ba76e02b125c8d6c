//! A condition such as `reply.p99 < 100ms` comes in; whether a report keeps it goes out.

mod amount;

use std::fmt;

use self::amount::{Amount, Scale};
use crate::metric::{Metric, Unit};
use crate::report::{Judged, Report};
use crate::scenario::{Problem, Scenario};

/// Something that must hold.
///
/// ```
/// use lift_bench::threshold::Threshold;
///
/// assert!(Threshold::parse("reply{talker}.p99 <= reply{raw}.p99 + 3ms").is_ok());
/// let refused = Threshold::parse("messages.lost < 5ms").unwrap_err();
/// assert_eq!(refused.to_string(), "`messages.lost < 5ms`: `messages.lost` is a number, and `5ms` is a time");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    left: Metric,
    operator: Operator,
    right: Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

#[derive(Debug, Clone, PartialEq)]
enum Right {
    Amount(Amount),
    /// Another metric, and what is added to it.
    Metric(Metric, f64, Scale),
}

/// What operators are made of.
const SIGNS: &[char] = &['<', '>', '='];
/// As they are listed.
const COMPARISONS: &str = "`<`, `<=`, `>`, `>=` and `==`";
const OPERATORS: [(&str, Operator); 5] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::More),
];

impl Threshold {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is no condition; a metric that is none, with the nearest that is one; a unit that does not fit.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        parsed(text).map_err(|problem| Problem {
            message: format!("`{text}`: {}", problem.message),
            ..problem
        })
    }

    /// Refuses behaviours and phases that a scenario does not have.
    ///
    /// # Errors
    /// One that is not there, with the nearest that is.
    pub fn check(&self, scenario: &Scenario) -> Result<(), Problem> {
        self.left.check(scenario)?;
        match &self.right {
            Right::Amount(_) => Ok(()),
            Right::Metric(metric, ..) => metric.check(scenario),
        }
    }

    /// Whether a report keeps it. Where there was nothing to measure it does not.
    #[must_use]
    pub fn judge(&self, report: &Report) -> Judged {
        let left = self.left.of(report);
        let (right, scale) = match &self.right {
            Right::Amount(amount) => (Some(amount.value), amount.scale),
            Right::Metric(metric, plus, scale) => {
                (metric.of(report).map(|value| value + plus), *scale)
            }
        };
        let held = left
            .zip(right)
            .is_some_and(|(left, right)| self.operator.holds(left, right));
        let measured = match &self.right {
            Right::Amount(_) => left.map(|left| scale.shown(left)),
            Right::Metric(metric, ..) => left.zip(metric.of(report)).map(|(left, other)| {
                format!("{} against {}", scale.shown(left), scale.shown(other))
            }),
        };
        Judged {
            threshold: self.text.clone(),
            measured,
            held,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Operator {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
            Self::Equal => (left - right).abs() < f64::EPSILON,
        }
    }
}

fn parsed(text: &str) -> Result<Threshold, Problem> {
    let Some(at) = outside(text, SIGNS) else {
        return Err(problem(
            "it has no `<`, `<=`, `>`, `>=` or `==`: write `reply.p99 < 100ms`".to_owned(),
        ));
    };
    let (left, rest) = text.split_at(at);
    let right = rest.trim_start_matches(SIGNS);
    // What is no part of a name and stands before the first sign belongs to it, as in `!=`.
    let name = left.trim_end_matches(['!', '~']);
    let sign = text.get(name.len()..text.len() - right.len());
    let sign = sign.unwrap_or_default();
    let found = OPERATORS.into_iter().find(|(known, _)| *known == sign);
    let Some((_, operator)) = found else {
        return Err(problem(match sign {
            "=" => "`=` is no comparison: write `==`".to_owned(),
            other => format!("`{other}` is no comparison: there are {COMPARISONS}"),
        }));
    };
    let left = Metric::parse(left)?;
    let right = right.trim();
    if right.starts_with(SIGNS) {
        return Err(problem(format!(
            "it has two operators: there are {COMPARISONS}"
        )));
    }
    let right = if right.starts_with(|c: char| c.is_ascii_alphabetic()) {
        against(&left, right)?
    } else {
        Right::Amount(Amount::parse(right)?.fitting(&left)?)
    };
    Ok(Threshold {
        text: text.to_owned(),
        left,
        operator,
        right,
    })
}

/// Another metric, perhaps with something added or taken away.
fn against(left: &Metric, right: &str) -> Result<Right, Problem> {
    let sign = outside(right, &['+', '-']);
    let (name, plus) = right.split_at(sign.unwrap_or(right.len()));
    let metric = Metric::parse(name)?;
    if metric.unit() != left.unit() {
        return Err(problem(format!(
            "`{left}` is {}, and `{metric}` is {}",
            named(left.unit()),
            named(metric.unit())
        )));
    }
    let default = match left.unit() {
        Unit::Time => Scale::Milliseconds,
        Unit::Percent => Scale::Percent,
        Unit::Number => Scale::One,
    };
    if plus.is_empty() {
        return Ok(Right::Metric(metric, 0.0, default));
    }
    let (sign, amount) = plus.split_at(1);
    let amount = Amount::parse(amount.trim())?.fitting(left)?;
    let value = if sign == "-" {
        -amount.value
    } else {
        amount.value
    };
    Ok(Right::Metric(metric, value, amount.scale))
}

/// Where the first of some signs is that is not in the name of a behaviour or phase.
fn outside(text: &str, signs: &[char]) -> Option<usize> {
    let mut close = None;
    text.char_indices().find_map(|(at, c)| {
        match (close, c) {
            (None, '{') => close = Some('}'),
            (None, '[') => close = Some(']'),
            (Some(end), c) if c == end => close = None,
            (None, c) if signs.contains(&c) => return Some(at),
            (None | Some(_), _) => {}
        }
        None
    })
}

fn named(unit: Unit) -> &'static str {
    match unit {
        Unit::Time => "a time",
        Unit::Percent => "a share in `%`",
        Unit::Number => "a number",
    }
}

fn problem(message: String) -> Problem {
    Problem {
        place: None,
        message,
        suggestion: None,
    }
}
