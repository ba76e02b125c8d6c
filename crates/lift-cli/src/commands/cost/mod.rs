//! A scenario's file comes in; what it would cost on AWS, and which quota it would meet, goes out.

mod text;

use std::path::Path;

use lift_bench::{
    comparison::{FIGURES, Figure, Figures, Group},
    cost::{
        Assumed, Assumption, Bill, Capacity, Check, Estimate, FreeTier, Period, Prices, Sort,
        Terms, Verdict,
    },
    scenario::Scenario,
};
use serde::Serialize;

use crate::{
    args::{Allowed, CostArgs},
    failure::{Exit, Failure},
    output::print,
};

/// The JSON form's name and version.
const FORMAT: &str = "lift-cost/1";

/// All that is said of a scenario.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: &'static str,
    scenario: &'a str,
    period: Period,
    /// Length of one run.
    run_seconds: f64,
    /// How many of them the bill is for.
    runs: f64,
    free_tier: FreeTier,
    region: &'a str,
    currency: &'a str,
    prices_date: &'a str,
    bill: Bill,
    quotas: Vec<Check>,
    capacity: Option<Capacity>,
    events: Vec<Event<'a>>,
    open_peak: f64,
    assumed: Vec<Assumption>,
    notes: &'a [String],
    not_included: &'static [&'static str],
}

/// One sort of event, and how often a run has it.
#[derive(Debug, Serialize)]
struct Event<'a> {
    #[serde(flatten)]
    sort: &'a Sort,
    times: f64,
}

/// What a deployment pays besides.
const NOT_INCLUDED: [&str; 7] = [
    "taxes, support and discounts",
    "cold starts",
    "calls that are refused, throttled or made again",
    "encryption keys of the tables, and their point-in-time copies",
    "detailed metrics of API Gateway, alarms, dashboards and queries of logs",
    "messages of SQS",
    "API Gateway's own metering of connects, pings and error frames, which no source states",
];

pub(crate) fn run(args: &CostArgs) -> Result<(), Failure> {
    let text = read(&args.scenario, "the scenario")?;
    let scenario = Scenario::parse(&text).map_err(|problem| {
        let what = format!(
            "the scenario in `{}` cannot be used",
            args.scenario.display()
        );
        let help = "docs/load-cost.md has one that can";
        Failure::new(Exit::Usage, what, problem.to_string(), help)
    })?;
    let terms = terms(args)?;
    let estimate = Estimate::of(&scenario, &terms);
    let load = estimate.load();
    let events = load.flows.iter().map(|flow| Event {
        sort: &flow.sort,
        times: flow.total(),
    });
    let report = Report {
        format: FORMAT,
        scenario: &scenario.name,
        period: terms.period,
        run_seconds: load.run_seconds,
        runs: estimate.runs(),
        free_tier: terms.free_tier,
        region: &terms.prices.region,
        currency: &terms.prices.currency,
        prices_date: &terms.prices.date,
        bill: estimate.bill(),
        quotas: estimate.checks(),
        capacity: args.capacity.then(|| estimate.capacity(args.budget)),
        events: events.collect(),
        open_peak: load.open_peak,
        assumed: terms.assumed.list(),
        notes: &load.notes,
        not_included: &NOT_INCLUDED,
    };
    let shown = match (args.json, args.figures) {
        (true, _) => serde_json::to_string(&report).map(|json| json + "\n"),
        (false, true) => serde_json::to_string_pretty(&figures(&report)).map(|json| json + "\n"),
        (false, false) => Ok(text::report(&report)),
    };
    print(&shown.map_err(|error| {
        let help = "report this as a bug";
        Failure::new(
            Exit::Failed,
            "the bill cannot be written",
            error.to_string(),
            help,
        )
    })?)?;
    verdict(&args.allowed, &report)
}

/// The bill beside that of another version.
fn figures(report: &Report<'_>) -> Figures {
    let unit = match report.period {
        Period::Once => format!("{} a run", report.currency),
        Period::Month(_) => format!("{} a month", report.currency),
    };
    let figure = |says: &str, usd: f64| Figure {
        name: format!("{}: {says}", report.scenario),
        value: Some(usd),
        unit: unit.clone(),
        lower_is_better: true,
        group: Group::Cost,
        source: format!("lift cost, prices of {}", report.region),
        date: report.prices_date.to_owned(),
    };
    let lines = report.bill.lines.iter();
    let lines = lines.map(|line| figure(line.says, line.usd));
    Figures {
        format: FIGURES.to_owned(),
        figures: [figure("all", report.bill.usd)]
            .into_iter()
            .chain(lines)
            .collect(),
    }
}

fn read(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let what = format!("{what} in `{}` cannot be read", path.display());
        Failure::file(Exit::Usage, what, &error, "check the name")
    })
}

fn terms(args: &CostArgs) -> Result<Terms, Failure> {
    let mut assumed = Assumed::default();
    for (name, value) in &args.assume {
        assumed.set(name, *value).map_err(|names| {
            let what = format!("`{name}` is no assumption");
            let cause = format!("there are {}", names.join(", "));
            Failure::new(
                Exit::Usage,
                what,
                cause,
                "docs/load-cost.md says what each is",
            )
        })?;
    }
    let prices = match &args.billed.prices {
        None => Prices::built_in(),
        Some(path) => Prices::parse(&read(path, "the prices")?).map_err(|cause| {
            let what = format!("the prices in `{}` cannot be used", path.display());
            let help = "crates/lift-bench/prices/us-east-1.json is a file that can";
            Failure::new(Exit::Usage, what, cause, help)
        })?,
    };
    Ok(Terms {
        period: match args.billed.once {
            true => Period::Once,
            false => Period::Month(args.billed.hours_per_month),
        },
        free_tier: match args.billed.free_tier {
            true => FreeTier::On,
            false => FreeTier::Off,
        },
        tasks: args.tasks.iter().cloned().collect(),
        assumed,
        prices,
        quotas: args.quotas.iter().copied().collect(),
        ..Terms::default()
    })
}

/// Whether what was allowed is kept.
fn verdict(allowed: &Allowed, report: &Report<'_>) -> Result<(), Failure> {
    let usd = report.bill.usd;
    if let Some(max) = allowed.max_usd.filter(|max| usd > *max) {
        let what = format!("it costs {} {}", text::money(usd, max), report.currency);
        let cause = format!("--max-usd allows {}", text::money(max, max));
        let help = "the largest lines say where it goes; --capacity --budget says what fits";
        return Err(Failure::new(Exit::Unmet, what, cause, help));
    }
    let over = report
        .quotas
        .iter()
        .filter(|check| check.verdict == Verdict::Over);
    let over: Vec<_> = over.map(text::over).collect();
    if allowed.check_quotas && !over.is_empty() {
        let what = "a quota is exceeded";
        let help =
            "ask for what can be raised before the load comes, then give it as --quota NAME=VALUE";
        return Err(Failure::new(Exit::Unmet, what, over.join(", "), help));
    }
    Ok(())
}
