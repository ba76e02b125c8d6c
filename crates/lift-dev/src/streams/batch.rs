//! In: records in order. Out: the batch they make, and its Lambda event.

use std::time::Duration;

use bytes::Bytes;
use lift_gateway::Timestamp;

use super::failure::Responded;
use super::record::Record;

/// Records that are invoked together, and what happened to them so far.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Attempts that count, after the first.
    pub(super) retries: u32,
    /// Failures of any kind, which the next wait grows by.
    pub(super) failures: u32,
    pub(super) invokes: u32,
    pub(super) responded: Responded,
    pub(super) turn: Turn,
}

/// What a batch is to a tumbling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There are none.
    Plain,
    /// Some of its records.
    Window,
    /// Its end; there are no records.
    Final,
}

/// A tumbling window that is open.
#[derive(Debug)]
pub(super) struct Window {
    /// The number of its first record: without its state it is begun again there.
    pub(super) first: String,
    start: Timestamp,
    pub(super) end: Timestamp,
    /// What the function returned last: JSON.
    pub(super) state: Box<str>,
    /// The state grew over its limit.
    pub(super) ends_early: bool,
}

impl Window {
    /// The window that a record is in: windows lie end to end from the epoch on.
    pub(super) fn of(record: &Record, length: Duration) -> Self {
        let moment = record.arrived;
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        let start = moment.epoch_ms() - moment.epoch_ms() % length_ms;
        Self {
            first: record.sequence.clone(),
            start: Timestamp::from_epoch_ms(start),
            end: Timestamp::from_epoch_ms(start) + length,
            state: "{}".into(),
            ends_early: false,
        }
    }
}

impl Batch {
    /// Lambda's limit of 6 MB for an event, less what is around the records.
    pub(super) const BYTES_MAX: usize = 6 * 1024 * 1024 - 1024;

    pub(super) fn new(turn: Turn) -> Self {
        Self {
            records: Vec::new(),
            retries: 0,
            failures: 0,
            invokes: 0,
            responded: Responded::Never,
            turn,
        }
    }

    /// The end of a window.
    pub(super) fn last() -> Self {
        Self::new(Turn::Final)
    }

    /// Other records with the same past.
    pub(super) fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..*self }
    }

    /// The leading records that are too old.
    pub(super) fn take_older_than(&mut self, age: Duration, now: Timestamp) -> Vec<Record> {
        let old = self
            .records
            .iter()
            .take_while(|record| now.since(record.arrived) > age);
        let old = old.count();
        self.records.drain(..old).collect()
    }

    /// What the function gets.
    pub(super) fn event(&self, window: Option<&Window>, shard: &str, arn: &str) -> Bytes {
        let records = self
            .records
            .iter()
            .map(|record| record.json.len() + 1)
            .sum::<usize>();
        let mut event = String::with_capacity(records + 512);
        event.push_str("{\"Records\":[");
        for (at, record) in self.records.iter().enumerate() {
            if at > 0 {
                event.push(',');
            }
            event.push_str(&record.json);
        }
        event.push(']');
        if let Some(window) = window {
            let (start, end) = (iso8601(window.start), iso8601(window.end));
            let last = self.turn == Turn::Final;
            let early = last && window.ends_early;
            event.push_str(&format!(
                ",\"window\":{{\"start\":\"{start}\",\"end\":\"{end}\"}},\"state\":{},\"shardId\":\"{shard}\",\"eventSourceARN\":\"{arn}\",\"isFinalInvokeForWindow\":{last},\"isWindowTerminatedEarly\":{early}",
                window.state
            ));
        }
        event.push('}');
        event.into()
    }
}

/// As Lambda writes windows: without milliseconds where there are none.
fn iso8601(at: Timestamp) -> String {
    lift_apigw::time::iso8601(at.epoch_ms()).replace(".000Z", "Z")
}
