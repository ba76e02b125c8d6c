//! A budget and quotas come in; how many times the scenario fits goes out.

use serde::Serialize;

use super::{
    bill::Bill,
    inputs::Quota,
    quotas::{Check, Verdict},
};

/// Largest multiple that is looked for.
const TIMES_MAX: f64 = 1e9;
/// Halvings of the interval in which a multiple is: its error is below a millionth.
const HALVINGS: u32 = 80;

/// How many times the scenario's rates fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Capacity {
    /// The largest multiple of all rates that the budget and every quota hold.
    pub times: f64,
    /// What stops it there.
    pub stopped_by: Stop,
    /// The budget's own, where there is one.
    pub budget: Option<Budget>,
    /// Each quota's own.
    pub quotas: Vec<(Quota, f64)>,
    /// Quotas that are over however small the load is: a size or a time.
    pub over_at_any: Vec<Quota>,
}

/// What a budget holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Budget {
    /// What may be spent.
    pub usd: f64,
    /// The largest multiple; nothing where what costs the same at any load is above the budget.
    pub times: f64,
    /// The bill there.
    pub bill_usd: f64,
    /// Its largest line.
    pub largest_line: String,
}

/// What keeps a load from growing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The budget; its largest line.
    Budget(String),
    /// A quota.
    Quota(Quota),
    /// Nothing below a billion times.
    Nothing,
}

/// The largest multiple of which this holds, which holds of every smaller one.
fn largest(holds: impl Fn(f64) -> bool) -> f64 {
    if holds(TIMES_MAX) {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, TIMES_MAX);
    for _ in 0..HALVINGS {
        let middle = match low > 0.0 {
            true if high / low > 4.0 => (low * high).sqrt(),
            _ => f64::midpoint(low, high),
        };
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

impl Capacity {
    pub(super) fn of(
        budget_usd: Option<f64>,
        bill: impl Fn(f64) -> Bill,
        checks: impl Fn(f64) -> Vec<Check>,
    ) -> Self {
        let budget = budget_usd.map(|usd| {
            let times = largest(|times| bill(times).usd <= usd);
            let there = bill(if times.is_finite() { times } else { 1.0 });
            let most = there.lines.iter().max_by(|a, b| a.usd.total_cmp(&b.usd));
            Budget {
                usd,
                times,
                bill_usd: there.usd,
                largest_line: most.map_or_else(String::new, |line| line.says.to_owned()),
            }
        });
        let over = |times: f64, quota: Quota| {
            let all = checks(times);
            all.iter()
                .any(|check| check.quota == quota && check.verdict == Verdict::Over)
        };
        let mut quotas = Vec::new();
        let mut over_at_any = Vec::new();
        for check in checks(1.0) {
            match largest(|times| !over(times, check.quota)) {
                times if times <= 0.0 => over_at_any.push(check.quota),
                times => quotas.push((check.quota, times)),
            }
        }
        quotas.sort_by(|a, b| a.1.total_cmp(&b.1));
        let by_quota = quotas
            .first()
            .map(|(quota, times)| (Stop::Quota(*quota), *times));
        let by_budget = budget
            .as_ref()
            .map(|it| (Stop::Budget(it.largest_line.clone()), it.times));
        let stops = by_budget.into_iter().chain(by_quota);
        let (stopped_by, times) = stops
            .filter(|(_, times)| times.is_finite())
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((Stop::Nothing, TIMES_MAX));
        Self {
            times,
            stopped_by,
            budget,
            quotas,
            over_at_any,
        }
    }
}
