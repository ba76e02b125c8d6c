//! What is said of a scenario comes in; lines for people, the total first, go out.

use std::fmt::Write;

use lift_bench::cost::{Capacity, Check, FreeTier, Kind, Line, Period, Raise, Stop, Verdict};

use super::{Event, Report};

/// All of it.
pub(super) fn report(report: &Report<'_>) -> String {
    let mut text = String::new();
    let currency = report.currency;
    let period = match report.period {
        Period::Once => "for one run".to_owned(),
        Period::Month(hours) => format!("a month, if it runs all {} h of it", number(hours)),
    };
    let free = match report.free_tier {
        FreeTier::Off => "off",
        FreeTier::On => "on",
    };
    let mut put = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    put(format!(
        "{} {currency} {period}: {}",
        money(report.bill.usd, report.bill.usd),
        report.scenario
    ));
    put(format!(
        "{} of {} s; {}, prices of {}, free tiers {free}",
        match report.period {
            Period::Once => "1 run".to_owned(),
            Period::Month(_) => format!("{} runs", number(report.runs)),
        },
        number(report.run_seconds),
        report.region,
        report.prices_date
    ));
    put(format!(
        "\n{:>12}  {:<24} {:>18}",
        currency, "line", "quantity"
    ));
    for line in report.bill.lines.iter().filter(|line| line.quantity > 0.0) {
        put(bill_line(line, report.bill.usd));
    }
    put(format!("\n{:>12}  {:>8}  event", "times a run", "bytes"));
    for event in &report.events {
        put(event_line(event));
    }
    put(format!("\n{:<8} {:>14} {:>14}  quota", "", "peak", "limit"));
    for check in &report.quotas {
        put(quota_line(check));
    }
    if let Some(capacity) = &report.capacity {
        put(String::new());
        for line in capacity_lines(capacity, currency) {
            put(line);
        }
    }
    put(String::new());
    for note in report.notes {
        put(format!("Note: {note}."));
    }
    put(format!("Not included: {}.", report.not_included.join("; ")));
    put("Assumed: docs/load-cost.md lists it, `--json` with the values used; --assume NAME=VALUE replaces one.".to_owned());
    text
}

fn bill_line(line: &Line, bill: f64) -> String {
    let inputs = line.inputs.iter();
    let inputs: Vec<_> = inputs
        .map(|(name, n)| format!("{name} {}", number(*n)))
        .collect();
    let mut formula = match line.inputs.as_slice() {
        // It is counted, and nothing is worked out.
        [(name, _)] if *name == line.formula => String::new(),
        _ => format!(" = {} ({})", line.formula, inputs.join(", ")),
    };
    if line.free > 0.0 {
        formula = format!("{formula}, {} of them free", number(line.free));
    }
    format!(
        "{:>12}  {:<24} {:>18} {}{formula} [{}]",
        money(line.usd, bill),
        line.says,
        number(line.quantity),
        line.unit,
        line.mark
    )
}

fn event_line(event: &Event<'_>) -> String {
    let sort = event.sort;
    let priced = match sort.kind {
        Kind::Counted(name) if name == sort.name => String::new(),
        Kind::Counted(name) => format!(", priced as `{name}`"),
        Kind::Ping => ", answered by API Gateway alone".to_owned(),
        _ => ", one invocation".to_owned(),
    };
    let name = format!("{} of `{}`{priced}", sort.name, sort.behaviour);
    let bytes = match sort.bytes {
        0 => String::new(),
        bytes => bytes.to_string(),
    };
    format!("{:>12}  {bytes:>8}  {name}", number(event.times))
}

/// A quota and how far beyond it the load is.
pub(super) fn over(check: &Check) -> String {
    format!(
        "{}: {} of {}",
        check.quota.name(),
        number(check.peak),
        number(check.limit)
    )
}

fn quota_line(check: &Check) -> String {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Near => "near",
        Verdict::Over => "OVER",
    };
    let mut line = format!(
        "{verdict:<8} {:>14} {:>14}  {}: {}",
        number(check.peak),
        number(check.limit),
        check.quota.name(),
        check.says
    );
    if let Some(of) = check.of.as_ref().filter(|of| !of.is_empty()) {
        write!(line, " ({of})").unwrap_or_default();
    }
    if check.verdict != Verdict::Ok {
        line.push_str(&match &check.raise {
            Raise::No => "; cannot be raised".to_owned(),
            Raise::Ask(what) => format!("; ask in advance: {what}"),
            Raise::Set(what) => format!("; set {what}"),
        });
    }
    line
}

fn capacity_lines(capacity: &Capacity, currency: &str) -> Vec<String> {
    let by = match &capacity.stopped_by {
        Stop::Budget(line) => format!("the budget stops it, of which most goes to {line}"),
        Stop::Quota(quota) => format!("the quota `{}` stops it", quota.name()),
        Stop::Nothing => "nothing that is known here stops it".to_owned(),
    };
    let mut lines = vec![format!(
        "{} times these rates fit: {by}",
        number(capacity.times)
    )];
    if let Some(budget) = &capacity.budget {
        lines.push(match budget.times > 0.0 {
            true => format!(
                "{:>12} times  a budget of {} {currency}, with a bill of {}",
                number(budget.times),
                money(budget.usd, budget.usd),
                money(budget.bill_usd, budget.usd)
            ),
            false => format!(
                "none  a budget of {} {currency}: without any load it costs {}",
                money(budget.usd, budget.usd),
                money(budget.bill_usd, budget.usd)
            ),
        });
    }
    let finite = capacity
        .quotas
        .iter()
        .filter(|(_, times)| times.is_finite());
    for (quota, times) in finite {
        lines.push(format!(
            "{:>12} times  quota {}",
            number(*times),
            quota.name()
        ));
    }
    for quota in &capacity.over_at_any {
        lines.push(format!(
            "{:>12}        quota {} at any rate",
            "over",
            quota.name()
        ));
    }
    lines
}

/// An amount to the cent, or to a hundredth of one where the whole `bill` is less than a dollar.
pub(super) fn money(usd: f64, bill: f64) -> String {
    let digits = if bill < 1.0 { 4 } else { 2 };
    grouped(&format!("{usd:.digits$}"))
}

/// A number as people read it: whole where it is large, with three digits else.
fn number(n: f64) -> String {
    // A sum of nothing is -0.
    let n = n + 0.0;
    match n {
        _ if !n.is_finite() => "no end".to_owned(),
        _ if n >= 1_000.0 || n.fract() == 0.0 => grouped(&format!("{n:.0}")),
        _ if n >= 1.0 => format!("{n:.2}"),
        _ => format!("{n:.4}"),
    }
}

/// Commas between thousands.
fn grouped(text: &str) -> String {
    let (whole, rest) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let length = whole.len();
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (length - n) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}
