//! How long, how far apart, how many of a hundred: the file's texts come in, numbers go out.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A length of time, or two of which one between is chosen: `2s`, `1s..3s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The least.
    pub from: Duration,
    /// The most; the same as the least where there is nothing to choose.
    pub to: Duration,
}

impl Span {
    /// The length at `part` of the way from the least to the most; `part` is in 0–1.
    #[must_use]
    pub fn at(&self, part: f64) -> Duration {
        self.from + (self.to - self.from).mul_f64(part.clamp(0.0, 1.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (parsed(from)?, parsed(to)?),
            None => (parsed(&text)?, parsed(&text)?),
        };
        if from > to {
            return Err(D::Error::custom(format!(
                "`{text}` goes down: put the shorter time first"
            )));
        }
        Ok(Self { from, to })
    }
}

/// A part of a whole, in 0–1; written `0.5` or `50%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// None of it.
    pub const ZERO: Self = Self(0.0);
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// So many of a hundred; what is outside 0–100 is the nearest of them.
    #[must_use]
    pub fn percent(percent: f64) -> Self {
        Self((percent / 100.0).clamp(0.0, 1.0))
    }

    /// In 0–1.
    #[must_use]
    pub fn part(self) -> f64 {
        self.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0 * 100.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let trimmed = text.trim();
        let (number, scale) = match trimmed.strip_suffix('%') {
            Some(number) => (number.trim(), 100.0),
            None => (trimmed, 1.0),
        };
        match number.parse::<f64>() {
            Ok(number) if (0.0..=scale).contains(&number) => Ok(Self(number / scale)),
            _ => Err(D::Error::custom(format!(
                "`{text}` is no share: write 0.5 or 50%"
            ))),
        }
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(&String::deserialize(deserializer)?)
}

/// A duration in which something can happen.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let duration = duration(deserializer)?;
    if duration.is_zero() {
        return Err(D::Error::custom("it is 0: nothing is due in no time"));
    }
    Ok(duration)
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Longest time in a scenario: a week.
const MAX: Duration = Duration::from_secs(7 * 86_400);

fn parsed<E: Error>(text: &str) -> Result<Duration, E> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX => Ok(duration),
        Ok(_) => Err(E::custom(format!("`{text}` is longer than a week"))),
        Err(_) => Err(E::custom(format!(
            "`{text}` is no time: write 500ms, 30s, 5m or 1h"
        ))),
    }
}
