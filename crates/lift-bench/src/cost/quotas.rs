//! A load's peaks and AWS's quotas come in; how near each is goes out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    assumed::Assumed,
    inputs::{Counts, Prices, Quota, Raise},
    kind::{Kind, to_f64},
    load::{Load, Users},
    usage::Usage,
};

/// Above this share a quota is near.
const NEAR: f64 = 0.8;
/// Seconds over which Lambda's growth is limited.
const RAMP_SECONDS: f64 = 10.0;
/// Batches of one shard that run at a time: `ParallelizationFactor` of the template.
const BATCHES: f64 = 4.0;
/// Bytes of an event besides the message.
const EVENT_BYTES: f64 = 2_048.0;

/// How near a quota is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Below 80 % of it.
    Ok,
    /// From 80 % to all of it.
    Near,
    /// Past it.
    Over,
}

/// One quota, and how much of it is used at the peak.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// Which.
    pub quota: Quota,
    /// What it limits.
    pub says: String,
    /// How much there may be.
    pub limit: f64,
    /// How much there is.
    pub peak: f64,
    /// The part of the limit that is used.
    pub share: f64,
    /// How near that is.
    pub verdict: Verdict,
    /// Where there are several: the busiest, or the largest.
    pub of: Option<String>,
    /// Whether it can be raised.
    pub raise: Raise,
}

/// The peaks of a load at its own rates.
#[derive(Debug, Clone)]
pub(super) struct Peaks {
    connects: f64,
    stage: f64,
    requests: f64,
    concurrency: f64,
    /// The function that grows most, and by how many at a time.
    ramp: (String, f64),
    writes: BTreeMap<String, f64>,
    reads: BTreeMap<String, f64>,
    tasks: f64,
    open_seconds: f64,
    idle_seconds: f64,
    largest: (String, f64),
    user_share: f64,
    users: Users,
    tenant_share: f64,
    dispatch_ms: f64,
    on_dynamodb: bool,
}

impl Peaks {
    pub(super) fn of(load: &Load, counts: &Counts, assumed: &Assumed) -> Self {
        let slices = Usage::of_slices(load, counts, assumed);
        let most = |of: fn(&Usage) -> f64| slices.iter().map(of).fold(0.0, f64::max);
        let busy = |usage: &Usage| usage.busy_ms.values().sum::<f64>() / 1_000.0;
        let sizes = load.flows.iter().map(|flow| {
            let reply = flow.sort.reply_bytes.unwrap_or_default();
            (flow.sort.name.clone(), to_f64(flow.sort.bytes).max(reply))
        });
        let none = (String::new(), 0.0);
        Self {
            connects: most(|usage| usage.connects),
            stage: most(|usage| usage.requests),
            requests: most(|usage| usage.requests + usage.post_calls),
            concurrency: most(busy),
            ramp: ramp(&slices, load.slice_seconds),
            writes: by_name(&slices, |usage| &usage.writes),
            reads: by_name(&slices, |usage| &usage.reads),
            tasks: most(|usage| usage.tasks),
            open_seconds: load.longest_open_seconds,
            idle_seconds: load.longest_idle_seconds,
            largest: sizes.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(none),
            user_share: load.user_share,
            users: load.users,
            tenant_share: load.tenant_share,
            dispatch_ms: assumed.dispatch_ms,
            on_dynamodb: load.flows.iter().any(|flow| flow.sort.kind != Kind::Plain),
        }
    }

    /// Each quota with so many times the load.
    pub(super) fn checks(
        &self,
        prices: &Prices,
        limits: &BTreeMap<Quota, f64>,
        times: f64,
    ) -> Vec<Check> {
        let quotas = Quota::ALL.iter().copied();
        let checks = quotas.filter_map(|quota| {
            let (peak, of) = self.peak(quota, times)?;
            let known = prices.quota(quota);
            let computed = match quota {
                Quota::Stream => BATCHES * 1_000.0 / self.dispatch_ms.max(1.0),
                _ => known.limit,
            };
            let limit = limits.get(&quota).copied().unwrap_or(computed);
            let share = peak / limit;
            Some(Check {
                quota,
                says: known.says.clone(),
                limit,
                peak,
                share,
                verdict: verdict(share),
                of,
                raise: known.raise.clone(),
            })
        });
        checks.collect()
    }

    fn peak(&self, quota: Quota, times: f64) -> Option<(f64, Option<String>)> {
        let alone = |peak: f64| Some((peak, None));
        let largest = || Some(self.largest.0.clone());
        match quota {
            Quota::Connects => alone(self.connects * times),
            Quota::Stage => alone(self.stage * times),
            Quota::Requests => alone(self.requests * times),
            Quota::Concurrency => alone(self.concurrency * times),
            Quota::ConcurrencyRamp => Some((self.ramp.1 * times, Some(self.ramp.0.clone()))),
            Quota::KeyWrites => self.busiest(&self.writes, times),
            Quota::KeyReads => self.busiest(&self.reads, times),
            Quota::TableWrites => {
                let most = self.writes.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
                Some((most.1 * times, Some(most.0.clone())))
            }
            Quota::Stream => self.on_dynamodb.then_some((self.tasks * times, None)),
            Quota::OpenSeconds => alone(self.open_seconds),
            Quota::IdleSeconds => alone(self.idle_seconds),
            Quota::MessageBytes | Quota::FrameBytes => Some((self.largest.1, largest())),
            // Each quote within the message's text may become two bytes.
            Quota::EventBytes => Some((self.largest.1 * 2.0 + EVENT_BYTES, largest())),
        }
    }

    /// The partition key that most units are of, as `docs/dynamodb-layout.md` has the keys.
    fn busiest(&self, units: &BTreeMap<String, f64>, times: f64) -> Option<(f64, Option<String>)> {
        let of_user = match self.users {
            Users::Each => self.user_share / times.max(1.0),
            Users::Shared => self.user_share,
        };
        let keys = units.iter().filter_map(|(of, units)| {
            let (share, key) = match of.as_str() {
                "RequestsTable" => (of_user, "the busiest user"),
                "RequestsTable/index/due" => (1.0 / 16.0, "one of 16 shards"),
                "RequestsTable/index/activity" | "ConnectionsTable/index/tenant" => (
                    self.tenant_share / 4.0,
                    "one of the busiest tenant's 4 shards",
                ),
                "ConnectionsTable/index/user" | "RatesTable" => (of_user, "the busiest user"),
                "CollectionsTable" => (self.tenant_share, "the busiest tenant's one collection"),
                // A key for each connection or request.
                _ => return None,
            };
            Some((units * times * share, Some(format!("{of}, {key}"))))
        });
        keys.max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

fn verdict(share: f64) -> Verdict {
    match share {
        _ if share > 1.0 => Verdict::Over,
        _ if share >= NEAR => Verdict::Near,
        _ => Verdict::Ok,
    }
}

/// The most of each name in any slice.
fn by_name(
    slices: &[Usage],
    of: impl Fn(&Usage) -> &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let mut most = BTreeMap::<String, f64>::new();
    for (name, n) in slices.iter().flat_map(of) {
        let slot = most.entry(name.clone()).or_default();
        *slot = slot.max(*n);
    }
    most
}

/// The function whose invocations at a time grow most within ten seconds.
fn ramp(slices: &[Usage], slice_seconds: f64) -> (String, f64) {
    let names = by_name(slices, |usage| &usage.busy_ms);
    let mut most = (String::new(), 0.0);
    for name in names.into_keys() {
        let busy = slices.iter().map(|usage| {
            let ms = usage.busy_ms.get(&name).copied().unwrap_or_default();
            ms / 1_000.0
        });
        let busy: Vec<f64> = busy.collect();
        let window = (1_u32..=10).find(|n| f64::from(*n) * slice_seconds >= RAMP_SECONDS);
        let window = usize::try_from(window.unwrap_or(10)).unwrap_or(10);
        for (n, now) in busy.iter().enumerate() {
            // Before the run there is nothing.
            let before = busy.get(n.saturating_sub(window)..n).unwrap_or_default();
            let least = before.iter().copied().fold(f64::INFINITY, f64::min);
            let least = match n < window {
                true => 0.0,
                false => least,
            };
            if now - least > most.1 {
                most = (name.clone(), now - least);
            }
        }
    }
    most
}
