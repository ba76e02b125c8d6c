//! What was typed for `lift cost` comes in, as typed fields.

use std::path::PathBuf;

use clap::Args as Group;
use lift_bench::cost::Quota;

pub(super) const COST_EXAMPLES: &str = "\
Examples:
  lift cost load.yaml
  lift cost load.yaml --once --assume task_ms=4000
  lift cost load.yaml --capacity --budget 500
  lift cost load.yaml --max-usd 200 --check-quotas --json | jq .bill.usd

The scenario's phases, one after the other, are taken to be run again and again for all hours of a month;
with --once they are run once. Nothing is connected to and nothing is sent.

The calls that an event makes are counted by a test of Streamer (docs/aws-costs.md). How long an
invocation takes, and what else nobody measured, is assumed: docs/load-cost.md lists every assumption.";

/// `lift cost`.
#[derive(Debug, Group)]
pub struct CostArgs {
    /// A scenario, as `lift load` runs it.
    pub scenario: PathBuf,
    /// What is billed, and how.
    #[command(flatten)]
    pub billed: Billed,
    /// An action of your own whose request runs as a task; repeatable. Others count as answered at once.
    #[arg(long = "task", value_name = "ACTION")]
    pub tasks: Vec<String>,
    /// Replace an assumption, like `task_ms=4000`; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub assume: Vec<(String, f64)>,
    /// A quota that is not the default one, like `connects=2000`; repeatable.
    #[arg(long = "quota", value_name = "NAME=VALUE", value_parser = quota)]
    pub quotas: Vec<(Quota, f64)>,
    /// Say how many times the scenario's rates the quotas hold, and the budget.
    #[arg(long)]
    pub capacity: bool,
    /// US dollars that --capacity may spend in the billed time.
    #[arg(long, value_name = "USD", value_parser = positive, requires = "capacity")]
    pub budget: Option<f64>,
    /// What may be found.
    #[command(flatten)]
    pub allowed: Allowed,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Print the bill as figures for `lift report compare --now-figures`.
    #[arg(long, conflicts_with = "json")]
    pub figures: bool,
}

/// What `lift cost` bills, and how.
#[derive(Debug, Group)]
pub struct Billed {
    /// Hours for which the scenario is run again and again.
    #[arg(long, value_name = "HOURS", value_parser = positive, default_value = "730", conflicts_with = "once")]
    pub hours_per_month: f64,
    /// The bill of one run.
    #[arg(long)]
    pub once: bool,
    /// Take off what is free each month.
    #[arg(long)]
    pub free_tier: bool,
    /// Prices and quotas of another region or day: a file like crates/lift-bench/prices/us-east-1.json.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
}

/// What `lift cost` may find without a failure.
#[derive(Debug, Group)]
pub struct Allowed {
    /// Exit with 3 if it costs more.
    #[arg(long, value_name = "USD", value_parser = positive)]
    pub max_usd: Option<f64>,
    /// Exit with 3 if a quota is exceeded.
    #[arg(long)]
    pub check_quotas: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        Ok(_) => Err("it is not above 0".to_owned()),
        Err(_) => Err("it is no number".to_owned()),
    }
}

fn assignment(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("it is not like NAME=VALUE")?;
    match value.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((name.trim().to_owned(), value)),
        Ok(_) | Err(_) => Err(format!("`{value}` is no number of 0 or more")),
    }
}

fn quota(text: &str) -> Result<(Quota, f64), String> {
    let (name, value) = assignment(text)?;
    let names = || {
        let all = Quota::ALL.iter().map(|quota| quota.name());
        all.collect::<Vec<_>>().join(", ")
    };
    let quota = Quota::named(&name)
        .ok_or_else(|| format!("there is no quota `{name}`; there are {}", names()))?;
    match value > 0.0 {
        true => Ok((quota, value)),
        false => Err("a quota is above 0".to_owned()),
    }
}
