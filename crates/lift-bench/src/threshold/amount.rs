//! `100ms` comes in, a number and its scale go out; and back.

use super::{named, problem};
use crate::metric::{Metric, Unit};
use crate::report::percent;
use crate::scenario::Problem;

/// A number with its unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Amount {
    text: String,
    /// Times in microseconds.
    pub(super) value: f64,
    pub(super) scale: Scale,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Microseconds,
    Milliseconds,
    Seconds,
    Percent,
    One,
}

impl Amount {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == '%' || c == ' ');
        let unit = text.get(digits.len()..).unwrap_or_default().trim();
        let scale = match unit {
            "us" | "µs" => Scale::Microseconds,
            "ms" => Scale::Milliseconds,
            "s" => Scale::Seconds,
            "%" => Scale::Percent,
            "" => Scale::One,
            other => {
                return Err(problem(format!(
                    "`{other}` of `{text}` is no unit: `us`, `ms`, `s`, `%` or none"
                )));
            }
        };
        let signs = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = digits.parse::<f64>().ok();
        match number.filter(|number| signs && number.is_finite()) {
            // Times are whole microseconds; what multiplying adds far behind the point is taken away.
            Some(number) => Ok(Self {
                text: text.to_owned(),
                value: (number * scale.unit() * 1000.0).round() / 1000.0,
                scale,
            }),
            None => Err(problem(format!(
                "`{text}` is no number with a unit and no metric: write `100ms`, `99.9%` or `0`"
            ))),
        }
    }

    /// Refuses a unit that is not the metric's.
    pub(super) fn fitting(self, metric: &Metric) -> Result<Self, Problem> {
        if self.scale.counts() == metric.unit() {
            return Ok(self);
        }
        let text = &self.text;
        Err(problem(match (metric.unit(), self.scale) {
            (Unit::Time, Scale::One) => {
                format!("`{metric}` is a time, and `{text}` has no unit: write `{text}ms`")
            }
            (Unit::Percent, Scale::One) => {
                let meant = if self.value <= 1.0 {
                    hundredfold(text)
                } else {
                    text.clone()
                };
                format!("`{metric}` is a share in `%`, and `{text}` has no unit: write `{meant}%`")
            }
            (unit, scale) => format!(
                "`{metric}` is {}, and `{text}` is {}",
                named(unit),
                named(scale.counts())
            ),
        }))
    }
}

impl Scale {
    fn unit(self) -> f64 {
        match self {
            Self::Microseconds | Self::Percent | Self::One => 1.0,
            Self::Milliseconds => 1000.0,
            Self::Seconds => 1_000_000.0,
        }
    }

    fn counts(self) -> Unit {
        match self {
            Self::Microseconds | Self::Milliseconds | Self::Seconds => Unit::Time,
            Self::Percent => Unit::Percent,
            Self::One => Unit::Number,
        }
    }

    /// A value as a threshold writes it.
    pub(super) fn shown(self, value: f64) -> String {
        let number = value / self.unit();
        match self {
            Self::Microseconds => format!("{}us", plain(number)),
            Self::Milliseconds => format!("{}ms", plain(number)),
            Self::Seconds => format!("{}s", plain(number)),
            Self::Percent => format!("{}%", percent(number)),
            Self::One => plain(number),
        }
    }
}

/// Of decimal digits, with the point two places to the right: multiplied, `0.999` would not be `99.9`.
fn hundredfold(text: &str) -> String {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let (hundredths, rest) = part.split_at_checked(2).unwrap_or((part, ""));
    let digits = format!("{whole}{hundredths:0<2}");
    let (whole, rest) = (digits.trim_start_matches('0'), rest.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    if rest.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{rest}")
    }
}

/// At most six decimals, which is a microsecond of a second.
fn plain(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
