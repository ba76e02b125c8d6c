//! A scenario, prices and counts come in; a bill, a quota check and what a budget holds go out. Nothing is run.
//!
//! ```
//! use lift_bench::{cost::{Estimate, Terms}, scenario::Scenario};
//!
//! let scenario = Scenario::parse(
//!     "{ name: n, behaviours: { talker: { messages: [{ action: echo, payload: hi }] } },
//!        phases: [{ name: p, duration: 10s, connections_per_second: 1, messages_per_second: 5 }] }",
//! )
//! .unwrap();
//! let terms = Terms::default();
//! let estimate = Estimate::of(&scenario, &terms);
//! assert!(estimate.bill().usd > 0.0);
//! ```

mod assumed;
mod bill;
mod capacity;
mod inputs;
mod kind;
mod life;
mod load;
mod quotas;
mod sizes;
mod timeline;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    assumed::{Assumed, Assumption},
    bill::{Bill, FreeTier, Line, MONTH_HOURS, Period},
    capacity::{Budget, Capacity, Stop},
    inputs::{Counted, Counts, Limit, Price, Priced, Prices, Quota, Raise, Tier},
    kind::{Kind, Moment, Sort},
    load::{Flow, Load, Users},
    quotas::{Check, Verdict},
    usage::Usage,
};
use self::{bill::Billing, quotas::Peaks};
use crate::scenario::Scenario;

/// What an estimate is made under.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What a bill is for.
    pub period: Period,
    /// Whether free tiers count.
    pub free_tier: FreeTier,
    /// Actions of an app, besides Streamer's, that run as tasks.
    pub tasks: BTreeSet<String>,
    /// What is assumed.
    pub assumed: Assumed,
    /// Prices and quotas.
    pub prices: Prices,
    /// Quotas that were raised, or lowered.
    pub quotas: BTreeMap<Quota, f64>,
    /// Calls of each event.
    pub counts: Counts,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            period: Period::Month(MONTH_HOURS),
            free_tier: FreeTier::Off,
            tasks: BTreeSet::new(),
            assumed: Assumed::default(),
            prices: Prices::built_in(),
            quotas: BTreeMap::new(),
            counts: Counts::built_in(),
        }
    }
}

/// What a scenario uses, ready to be priced.
#[derive(Debug)]
pub struct Estimate<'a> {
    terms: &'a Terms,
    load: Load,
    /// Of one run.
    run: Usage,
    peaks: Peaks,
}

impl<'a> Estimate<'a> {
    /// Looks through a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario, terms: &'a Terms) -> Self {
        let load = Load::of(scenario, &terms.assumed, &terms.tasks);
        Self {
            terms,
            run: Usage::of_run(&load, &terms.counts, &terms.assumed),
            peaks: Peaks::of(&load, &terms.counts, &terms.assumed),
            load,
        }
    }

    /// What happens in a run.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Runs in the time that is billed.
    #[must_use]
    pub fn runs(&self) -> f64 {
        match self.terms.period {
            Period::Once => 1.0,
            Period::Month(hours) => hours * 3_600.0 / self.load.run_seconds.max(0.001),
        }
    }

    /// What the time costs.
    #[must_use]
    pub fn bill(&self) -> Bill {
        self.bill_of(1.0)
    }

    /// What it costs with so many times the rates.
    #[must_use]
    pub fn bill_of(&self, times: f64) -> Bill {
        let hours = match self.terms.period {
            Period::Once => self.load.run_seconds / 3_600.0,
            Period::Month(hours) => hours,
        };
        let billing = Billing {
            prices: &self.terms.prices,
            counts: &self.terms.counts,
            assumed: &self.terms.assumed,
            free_tier: self.terms.free_tier,
            hours,
            metrics: self.metrics(),
            sweeps: self
                .load
                .flows
                .iter()
                .any(|flow| flow.sort.kind != Kind::Plain),
        };
        billing.bill(&self.run.times(self.runs() * times))
    }

    /// Each quota at the fullest moment.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        self.checks_of(1.0)
    }

    fn checks_of(&self, times: f64) -> Vec<Check> {
        let terms = self.terms;
        self.peaks.checks(&terms.prices, &terms.quotas, times)
    }

    /// How many times the rates a budget for the billed time, and the quotas, hold.
    #[must_use]
    pub fn capacity(&self, budget_usd: Option<f64>) -> Capacity {
        Capacity::of(
            budget_usd,
            |times| self.bill_of(times),
            |times| self.checks_of(times),
        )
    }

    /// Series of metrics where all goes well, by `docs/telemetry.md`: of messages by outcome and action, of tasks alike,
    /// and each function's first event.
    fn metrics(&self) -> f64 {
        let names = |of: fn(Kind) -> bool| {
            let sorts = self.load.flows.iter().map(|flow| &flow.sort);
            let sorts = sorts.filter(|sort| of(sort.kind) && sort.moment == Moment::Message);
            sorts
                .map(|sort| sort.name.as_str())
                .collect::<BTreeSet<_>>()
                .len()
        };
        let series = |actions: usize| match actions {
            0 => 0,
            _ => 3 + 2 * actions,
        };
        let counted = names(|kind| matches!(kind, Kind::Counted(_)));
        let functions = match counted {
            0 => 0,
            _ => self.terms.counts.memory_mb.len(),
        };
        let all = series(counted) + series(names(Kind::is_task)) + functions;
        u32::try_from(all).map_or(f64::MAX, f64::from)
    }
}
