//! The part of a metric's name that says what is measured comes in, the thing itself goes out.

use super::{Better, Unit};
use crate::report::{Latency, count, float, latency};

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// One of [`latency::ALL`].
    Latency(&'static str, Statistic),
    /// One of [`count::ALL`].
    Count(&'static str),
    /// Of the connections that were begun, those that opened and were not dropped.
    Reliability,
    /// Of the messages that were due, those that were answered.
    AnsweredShare,
    /// Whatever went wrong with connections and messages.
    Errors,
    /// Error messages of this code.
    Error(String),
    /// Ends of connections with this close code.
    Closes(u16),
    /// Handshakes with this status.
    Handshakes(u16),
    /// Messages that were sent in a second.
    SentRate,
}

/// What of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Count,
    Min,
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

const RELIABILITY: &str = "connections.reliability";
const ANSWERED_SHARE: &str = "messages.answered_share";
const ERRORS: &str = "errors";
const SENT_RATE: &str = "rate.sent";

/// Counts of which more is no worse.
const ASKED: [&str; 10] = [
    count::CONNECTIONS,
    count::CUT,
    count::KILLED,
    count::DUE,
    count::PROGRESS,
    count::OPENED,
    count::RECONNECTED,
    count::SENT,
    count::ACKNOWLEDGED,
    count::ENDED,
];

impl Base {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            RELIABILITY => return Some(Self::Reliability),
            ANSWERED_SHARE => return Some(Self::AnsweredShare),
            ERRORS => return Some(Self::Errors),
            SENT_RATE => return Some(Self::SentRate),
            _ => {}
        }
        if let Some(count) = count::ALL.into_iter().find(|count| *count == name) {
            return Some(Self::Count(count));
        }
        let code = |code: &str| code.parse().ok();
        match name.split_once('.') {
            Some(("errors", code)) if plain(code) => return Some(Self::Error(code.to_owned())),
            Some(("closes", number)) => return code(number).map(Self::Closes),
            Some(("handshakes", number)) => return code(number).map(Self::Handshakes),
            _ => {}
        }
        let (base, statistic) = name.rsplit_once('.')?;
        let base = latency::ALL.into_iter().find(|latency| *latency == base)?;
        let statistic = Statistic::ALL.into_iter().find(|s| s.name() == statistic)?;
        Some(Self::Latency(base, statistic))
    }

    /// Every name, codes apart.
    pub(super) fn names() -> Vec<String> {
        let latencies = latency::ALL.into_iter().flat_map(|base| {
            let statistics = Statistic::ALL.into_iter();
            statistics.map(move |statistic| format!("{base}.{}", statistic.name()))
        });
        let derived = [RELIABILITY, ANSWERED_SHARE, ERRORS, SENT_RATE];
        let counts = count::ALL.into_iter().chain(derived).map(str::to_owned);
        latencies.chain(counts).collect()
    }

    /// The name, and what comes after the part of a run that it is of.
    pub(super) fn halves(&self) -> (String, Option<&'static str>) {
        let name = match self {
            Self::Latency(name, statistic) => {
                return ((*name).to_owned(), Some(statistic.name()));
            }
            Self::Count(name) => *name,
            Self::Reliability => RELIABILITY,
            Self::AnsweredShare => ANSWERED_SHARE,
            Self::Errors => ERRORS,
            Self::SentRate => SENT_RATE,
            Self::Error(code) => return (format!("errors.{code}"), None),
            Self::Closes(code) => return (format!("closes.{code}"), None),
            Self::Handshakes(status) => return (format!("handshakes.{status}"), None),
        };
        (name.to_owned(), None)
    }

    pub(super) fn unit(&self) -> Unit {
        match self {
            Self::Latency(_, Statistic::Count) => Unit::Number,
            Self::Latency(..) => Unit::Time,
            Self::Reliability | Self::AnsweredShare => Unit::Percent,
            Self::Count(_)
            | Self::Errors
            | Self::Error(_)
            | Self::Closes(_)
            | Self::Handshakes(_)
            | Self::SentRate => Unit::Number,
        }
    }

    pub(super) fn better(&self) -> Better {
        match self {
            Self::Latency(_, Statistic::Count) | Self::Handshakes(101) => Better::Neither,
            Self::Count(count::ANSWERED)
            | Self::Reliability
            | Self::AnsweredShare
            | Self::SentRate => Better::Higher,
            Self::Count(name) if ASKED.contains(name) => Better::Neither,
            Self::Latency(..)
            | Self::Count(_)
            | Self::Errors
            | Self::Error(_)
            | Self::Closes(_)
            | Self::Handshakes(_) => Better::Lower,
        }
    }
}

impl Statistic {
    const ALL: [Self; 9] = [
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P999,
        Self::Min,
        Self::Mean,
        Self::Max,
        Self::Count,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Min => "min",
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }

    pub(super) fn of(self, latency: Option<&Latency>) -> Option<f64> {
        let measured = latency.filter(|latency| latency.count > 0);
        let us = match self {
            Self::Count => latency.map_or(0, |latency| latency.count),
            Self::Min => measured?.min_us,
            Self::Mean => measured?.mean_us,
            Self::P50 => measured?.p50_us,
            Self::P90 => measured?.p90_us,
            Self::P95 => measured?.p95_us,
            Self::P99 => measured?.p99_us,
            Self::P999 => measured?.p999_us,
            Self::Max => measured?.max_us,
        };
        Some(float(us))
    }
}

/// Whether it looks like the code of an error.
fn plain(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
