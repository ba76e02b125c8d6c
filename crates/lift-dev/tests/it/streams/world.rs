//! In: shards with records, and a function. Out: what a mapping's rules did with them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use lift_dev::plan::{self, Bisect, PartialFailures, Start};
use lift_dev::streams::failure::{Condition, Failure};
use lift_dev::streams::mapping::{Action, From, Input, Mapping, Shard, ShardState};
use lift_dev::streams::record::Record;
use lift_dev::streams::rules::Rules;
use lift_dev::streams::{Faults, InvokeFailed};
use lift_gateway::Timestamp;
use serde_json::Value;

/// When every world begins.
pub(crate) const BEGIN: u64 = 1_800_000_000_000;

pub(crate) type Answer = Result<Bytes, InvokeFailed>;

pub(crate) fn failed() -> Answer {
    Err(InvokeFailed::Function {
        error: "boom".to_owned(),
    })
}

pub(crate) fn ok(answer: &str) -> Answer {
    Ok(Bytes::copy_from_slice(answer.as_bytes()))
}

/// Batches of ten of one shard from its start.
pub(crate) fn mapping() -> plan::Mapping {
    plan::Mapping {
        logical_id: "Mapping".to_owned(),
        table: "table".to_owned(),
        function: "function".to_owned(),
        batch_size: 10,
        batch_window: Duration::ZERO,
        start: Start::TrimHorizon,
        parallelization: 1,
        bisect: Bisect::Off,
        partial: PartialFailures::Ignored,
        retries_max: Some(0),
        record_age_max: None,
        tumbling_window: None,
        filters: Vec::new(),
        on_failure: None,
    }
}

/// Record `number` of an item, written this long after the beginning.
pub(crate) fn record(number: u64, key: u64, after: Duration) -> Record {
    Record {
        sequence: number.to_string(),
        key,
        arrived: Timestamp::from_epoch_ms(BEGIN) + after,
        json: format!("{{\"n\":{number},\"k\":{key}}}").into(),
    }
}

pub(crate) fn numbers(event: &Value) -> Vec<u64> {
    let records = event["Records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["n"].as_u64().unwrap())
        .collect()
}

/// A call of the function.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) after: Duration,
    pub(crate) shard: String,
    pub(crate) lane: usize,
    pub(crate) event: Value,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) shard: Shard,
    pub(crate) records: Vec<Record>,
}

pub(crate) fn stream(
    id: &str,
    parent: Option<&str>,
    state: ShardState,
    records: Vec<Record>,
) -> Stream {
    Stream {
        shard: Shard {
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            state,
        },
        records,
    }
}

fn place(records: &[Record], number: &str) -> usize {
    let mut sequences = records.iter().map(|record| &record.sequence);
    sequences.position(|sequence| sequence == number).unwrap()
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) streams: Vec<Stream>,
    rules: Mapping,
    /// Calls that are not answered.
    pub(crate) running: VecDeque<Call>,
    /// Reads and listings, done at the next step.
    waiting: VecDeque<Action>,
    pub(crate) given_up: Vec<Failure>,
    /// The places of the last mapping that had some.
    kept: BTreeMap<String, From>,
}

impl World {
    pub(crate) fn new(
        mapping: &plan::Mapping,
        speed: u32,
        faults: Faults,
        streams: Vec<Stream>,
    ) -> Self {
        let rules = Rules::new(mapping, NonZeroU32::new(speed).unwrap()).unwrap();
        let mut world = Self {
            now: Timestamp::from_epoch_ms(BEGIN),
            streams,
            rules: Mapping::new(rules, "arn:stream", faults),
            running: VecDeque::new(),
            waiting: VecDeque::new(),
            given_up: Vec::new(),
            kept: BTreeMap::new(),
        };
        world.feed(Input::Tick);
        world
    }

    pub(crate) fn after(&self) -> Duration {
        self.now.since(Timestamp::from_epoch_ms(BEGIN))
    }

    fn feed(&mut self, input: Input) {
        for action in self.rules.step(self.now, input) {
            match action {
                Action::Invoke { shard, lane, event } => self.running.push_back(Call {
                    after: self.after(),
                    shard,
                    lane,
                    event: serde_json::from_slice(&event).unwrap(),
                }),
                Action::GiveUp(failure) => self.given_up.push(failure),
                Action::Dealt { .. } => {}
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Does one read or listing, or lets time pass to the next thing to do, which is `false` where
    /// that would be after `until`.
    pub(crate) fn pass(&mut self, until: Duration) -> bool {
        let Some(action) = self.waiting.pop_front() else {
            let wake = self.rules.wake();
            let end = Timestamp::from_epoch_ms(BEGIN) + until;
            let Some(at) = wake.filter(|at| *at <= end) else {
                return false;
            };
            self.now = self.now.max(at);
            self.feed(Input::Tick);
            return true;
        };
        let input = match action {
            Action::List => Input::Listed(
                self.streams
                    .iter()
                    .map(|stream| stream.shard.clone())
                    .collect(),
            ),
            Action::Open { shard, from } => {
                let records = &self.stream(&shard).records;
                let written = records.iter().filter(|record| record.arrived <= self.now);
                let at = match from {
                    From::TrimHorizon => 0,
                    From::Latest => written.count(),
                    From::At(number) => place(records, &number),
                    From::After(number) => place(records, &number) + 1,
                };
                Input::Opened {
                    shard,
                    iterator: at.to_string(),
                }
            }
            Action::Read { shard, iterator } => {
                let from: usize = iterator.parse().unwrap();
                let stream = self.stream(&shard);
                let page = stream.records.iter().skip(from).take(1000);
                let page: Vec<_> = page
                    .take_while(|record| record.arrived <= self.now)
                    .cloned()
                    .collect();
                let to = from + page.len();
                let over = to == stream.records.len() && stream.shard.state == ShardState::Closed;
                Input::Read {
                    shard,
                    records: page,
                    next: (!over).then(|| to.to_string()),
                }
            }
            Action::Invoke { .. } | Action::Dealt { .. } | Action::GiveUp(_) => unreachable!(),
        };
        self.feed(input);
        true
    }

    /// The process is killed and started again: what ran is gone, and the places are what was kept.
    pub(crate) fn restart(&mut self, mapping: &plan::Mapping, faults: Faults) {
        let rules = Rules::new(mapping, NonZeroU32::MIN).unwrap();
        let places = self.rules.places();
        if !places.is_empty() {
            self.kept = places;
        }
        self.rules = Mapping::new(rules, "arn:stream", faults).resume(self.kept.clone());
        self.running.clear();
        self.waiting.clear();
        self.feed(Input::Tick);
    }

    pub(crate) fn answer(&mut self, call: &Call, result: Answer) {
        self.feed(Input::Answered {
            shard: call.shard.clone(),
            lane: call.lane,
            result,
        });
    }

    fn stream(&self, id: &str) -> &Stream {
        self.streams
            .iter()
            .find(|stream| stream.shard.id == id)
            .unwrap()
    }

    /// Runs until `until`; the function answers at once. All calls, in order.
    pub(crate) fn run(
        &mut self,
        until: Duration,
        mut function: impl FnMut(&Call) -> Answer,
    ) -> Vec<Call> {
        let mut calls = Vec::new();
        loop {
            if let Some(call) = self.running.pop_front() {
                let result = function(&call);
                self.answer(&call, result);
                calls.push(call);
            } else if !self.pass(until) {
                return calls;
            }
        }
    }

    /// What was given up: why, how often it was tried, first and last number.
    pub(crate) fn failures(&self) -> Vec<(Condition, u32, String, String)> {
        let place = |of: &Option<(String, Timestamp)>| of.clone().unwrap().0;
        let told = self.given_up.iter().map(|failure| {
            let (first, last) = (place(&failure.first), place(&failure.last));
            (failure.condition, failure.invokes, first, last)
        });
        told.collect()
    }
}
