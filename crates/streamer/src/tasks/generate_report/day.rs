//! A date's text or a moment comes in; a day in UTC goes out, and back.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use lift::clock::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_MILLIS: u64 = 24 * 3600 * 1000;

/// Days since 1970-01-01, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Day(u32);

impl Day {
    /// None for a text other than `2026-11-01`, and for a day before 1970.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        if date.to_string() != text {
            return None;
        }
        let start = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let millis = u64::try_from(start.as_millisecond()).ok()?;
        u32::try_from(millis / DAY_MILLIS).ok().map(Self)
    }

    /// The day of a moment.
    pub(super) fn of(moment: Timestamp) -> Self {
        Self(u32::try_from(moment.as_millis() / DAY_MILLIS).unwrap_or(u32::MAX))
    }

    /// Its first moment.
    pub(super) fn start(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.0) * DAY_MILLIS)
    }

    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many days there are from this one to `last`, both of them counted.
    pub(super) fn days_to(self, last: Self) -> u32 {
        last.0.saturating_sub(self.0).saturating_add(1)
    }

    /// This day and those after it up to `last`.
    pub(super) fn up_to(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}
