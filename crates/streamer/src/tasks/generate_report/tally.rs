//! Requests come in one by one; their counts by day and action go out, within a bound.

use std::collections::BTreeMap;

use lift::task::record::State;
use lift::task::store::Activity;
use serde::{Deserialize, Serialize};

use super::day::Day;
use super::histogram::Histogram;

/// What some requests came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) retrying: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) durations: Histogram,
    /// By code.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Group {
    fn count(&mut self, request: &Activity) {
        *match request.state {
            State::Queued => &mut self.queued,
            State::Running => &mut self.running,
            State::Retrying => &mut self.retrying,
            State::Completed => &mut self.completed,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
        } += 1;
        if let Some(ended_at) = request.ended_at {
            let took = ended_at.since(request.accepted.at).as_millis();
            self.durations.add(u64::try_from(took).unwrap_or(u64::MAX));
        }
        if let Some(code) = request.failed {
            *self.errors.entry(code.as_str().to_owned()).or_default() += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.queued += other.queued;
        self.running += other.running;
        self.retrying += other.retrying;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.durations.merge(&other.durations);
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }

    /// Those that have not ended.
    pub(super) const fn open(&self) -> u64 {
        self.queued + self.running + self.retrying
    }

    pub(super) const fn requests(&self) -> u64 {
        self.open() + self.completed + self.failed + self.cancelled
    }
}

/// Groups by day and action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Day, String, Group)>", into = "Vec<(Day, String, Group)>")]
pub(super) struct Tally {
    pub(super) groups: BTreeMap<(Day, String), Group>,
}

/// There would be more groups than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Tally {
    pub(super) fn count(&mut self, request: &Activity, groups_max: usize) -> Result<(), Full> {
        let key = (Day::of(request.accepted.at), request.action.clone());
        if self.groups.len() >= groups_max && !self.groups.contains_key(&key) {
            return Err(Full);
        }
        self.groups.entry(key).or_default().count(request);
        Ok(())
    }

    pub(super) fn total(&self) -> Group {
        let mut total = Group::default();
        self.groups.values().for_each(|group| total.merge(group));
        total
    }

    pub(super) fn by_day(&self) -> BTreeMap<Day, Group> {
        let mut days: BTreeMap<Day, Group> = BTreeMap::new();
        for ((day, _), group) in &self.groups {
            days.entry(*day).or_default().merge(group);
        }
        days
    }

    pub(super) fn by_action(&self) -> BTreeMap<&str, Group> {
        let mut actions: BTreeMap<&str, Group> = BTreeMap::new();
        for ((_, action), group) in &self.groups {
            actions.entry(action).or_default().merge(group);
        }
        actions
    }
}

impl From<Vec<(Day, String, Group)>> for Tally {
    fn from(groups: Vec<(Day, String, Group)>) -> Self {
        let keyed = groups
            .into_iter()
            .map(|(day, action, group)| ((day, action), group));
        Self {
            groups: keyed.collect(),
        }
    }
}

impl From<Tally> for Vec<(Day, String, Group)> {
    fn from(tally: Tally) -> Self {
        let groups = tally.groups.into_iter();
        groups
            .map(|((day, action), group)| (day, action, group))
            .collect()
    }
}
