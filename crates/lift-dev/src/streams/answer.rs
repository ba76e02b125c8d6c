//! In: what a function answered to a batch. Out: from which record on it failed, and the window's state.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::Record;
use crate::plan::PartialFailures;

/// What a function made of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is done.
    Done,
    /// Records from this index on are not; from 0, nothing is.
    FailedFrom(usize),
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default, rename = "batchItemFailures")]
    failures: Option<Vec<Failed<'a>>>,
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow, default, rename = "itemIdentifier")]
    identifier: Option<std::borrow::Cow<'a, str>>,
}

/// Of the items named, the one with the lowest sequence number counts; one that is empty or not of
/// the batch, and an answer that cannot be read, fail the whole batch (Lambda Developer Guide,
/// "Reporting batch item failures").
pub(super) fn verdict(reported: PartialFailures, answer: &[u8], batch: &[Record]) -> Verdict {
    if reported == PartialFailures::Ignored || answer.trim_ascii().is_empty() {
        return Verdict::Done;
    }
    let Ok(answer) = serde_json::from_slice::<Option<Answer<'_>>>(answer) else {
        return Verdict::FailedFrom(0);
    };
    let failures = answer
        .and_then(|answer| answer.failures)
        .unwrap_or_default();
    let at = |failed: &Failed<'_>| {
        let identifier = failed.identifier.as_deref()?;
        batch
            .iter()
            .position(|record| record.sequence == identifier)
    };
    match failures.iter().map(|failed| at(failed).unwrap_or(0)).min() {
        Some(first) => Verdict::FailedFrom(first),
        None => Verdict::Done,
    }
}

/// The `state` that a function returns for the rest of its window; `{}` where it returns none.
pub(super) fn state(answer: &[u8]) -> Box<str> {
    #[derive(Deserialize)]
    struct State<'a> {
        #[serde(borrow, default)]
        state: Option<&'a RawValue>,
    }
    let answer = serde_json::from_slice::<State<'_>>(answer).ok();
    let state = answer.and_then(|answer| answer.state);
    state.map_or("{}", RawValue::get).into()
}
