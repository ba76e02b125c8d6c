//! A comparison comes in; Markdown, JSON or a page goes out.

use serde::Serialize;

use super::{Comparison, Group, Noise, Row, Spread, Verdict};
use crate::report::{STYLE, escaped, harmless, percent, rendered, short};

const PAGE: &str = include_str!("comparison.html");
const COLUMNS: [&str; 5] = ["metric", "baseline", "now", "change", "verdict"];

/// What a comparison can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table for a pull request.
    Markdown,
    /// The comparison itself.
    Json,
    /// One page which needs nothing but a browser.
    Html,
}

impl Comparison {
    /// The comparison in this form; each ends with a line's end.
    #[must_use]
    pub fn written(&self, form: Form) -> String {
        match form {
            Form::Markdown => markdown(self),
            Form::Json => {
                let text = serde_json::to_string(self).expect("strings and numbers alone are JSON");
                format!("{text}\n")
            }
            Form::Html => page(self),
        }
    }

    fn title(&self) -> String {
        let names = self.scenarios.iter().map(|name| harmless(name));
        let names = match names.collect::<Vec<_>>() {
            none if none.is_empty() => "figures".to_owned(),
            names => names.join(" / "),
        };
        let (unknown, known): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| is_unknown(row));
        let count = |verdict| known.iter().filter(|row| row.verdict == verdict).count();
        let mut title = format!(
            "{names}: {} better, {} worse, {} noise",
            count(Verdict::Better),
            count(Verdict::Worse),
            count(Verdict::Noise)
        );
        if !unknown.is_empty() {
            title.push_str(&format!(", {} that may be noise or not", unknown.len()));
        }
        title
    }
}

fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("**{}**\n", escaped(&comparison.title()));
    for warning in &comparison.warnings {
        text.push_str(&format!("\n- Warning: {}", escaped(warning)));
    }
    if !comparison.warnings.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("\n| {} |\n", COLUMNS.join(" | ")));
    text.push_str("| --- | ---: | ---: | ---: | --- |\n");
    let mut group = None;
    for row in &comparison.rows {
        if group.replace(row.group) != Some(row.group) {
            text.push_str(&format!("| **{}** | | | | |\n", row.group.name()));
        }
        let cells = cells(row).map(|cell| escaped(&cell));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let names = |labels: &[String]| escaped(&labels.join(", "));
    text.push_str(&format!("\n<sub>{}", escaped(&comparison.rule)));
    if !comparison.baseline.is_empty() {
        let (baseline, now) = (names(&comparison.baseline), names(&comparison.now));
        text.push_str(&format!(" Baseline: {baseline}. Now: {now}."));
    }
    text.push_str("</sub>\n");
    if !comparison.sources.is_empty() {
        let sources = escaped(&comparison.sources.join("; "));
        text.push_str(&format!("\n<sub>Figures: {sources}.</sub>\n"));
    }
    text
}

/// What the template knows.
#[derive(Debug, Serialize)]
struct Page<'a> {
    style: &'static str,
    title: String,
    columns: [&'static str; 5],
    comparison: &'a Comparison,
    groups: Vec<Rows>,
}

#[derive(Debug, Serialize)]
struct Rows {
    name: &'static str,
    rows: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    verdict: Verdict,
    cells: [String; 5],
}

fn page(comparison: &Comparison) -> String {
    let groups = [Group::Performance, Group::Code, Group::Cost];
    let groups = groups.into_iter().map(|group| {
        let rows = comparison.rows.iter().filter(|row| row.group == group);
        let rows = rows.map(|row| Shown {
            verdict: row.verdict,
            cells: cells(row).map(|cell| harmless(&cell)),
        });
        Rows {
            name: group.name(),
            rows: rows.collect(),
        }
    });
    let page = Page {
        style: STYLE,
        title: comparison.title(),
        columns: COLUMNS,
        comparison,
        groups: groups.filter(|group| !group.rows.is_empty()).collect(),
    };
    rendered("comparison.html", PAGE, &page)
}

fn cells(row: &Row) -> [String; 5] {
    let unit = match row.unit.as_str() {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    [
        format!("{}{unit}", row.metric),
        side(row.baseline, &row.unit),
        side(row.now, &row.unit),
        change(row),
        verdict(row),
    ]
}

fn side(spread: Option<Spread>, unit: &str) -> String {
    let Some(spread) = spread else {
        return "not measured".to_owned();
    };
    let shown = |value: f64| amount(value, unit);
    if spread.least.total_cmp(&spread.most).is_eq() {
        return shown(spread.middle);
    }
    format!(
        "{} ({}–{})",
        shown(spread.middle),
        shown(spread.least),
        shown(spread.most)
    )
}

fn amount(value: f64, unit: &str) -> String {
    match unit {
        "%" if (0.0..=100.0).contains(&value) => percent(value),
        // A whole number needs no point.
        _ if value.fract().abs() < f64::EPSILON && value.abs() < 100.0 => format!("{value:.0}"),
        // As a bill has it.
        _ if unit.starts_with("USD") && value.abs() < 1.0 => format!("{value:.4}"),
        // Three digits: with fewer, repeats look alike that are not.
        _ if value.abs() < 10.0 => format!("{value:.2}"),
        _ => short(value),
    }
}

fn change(row: &Row) -> String {
    let Some((baseline, now)) = row.baseline.zip(row.now) else {
        return "–".to_owned();
    };
    let signed = |value: f64| {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{}", short(value)).replace('-', "−")
    };
    match row.change {
        Some(change) if row.unit == "%" => format!("{} points", signed(change)),
        Some(change) => format!("{} %", signed(change)),
        // Of nothing there is no percent.
        None => signed(now.middle - baseline.middle),
    }
}

fn verdict(row: &Row) -> String {
    let verdict = match row.verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Changed => "changed",
        Verdict::Same => "same",
        Verdict::Noise => "noise",
        Verdict::NotMeasured => "not measured",
    };
    if is_unknown(row) {
        format!("{verdict}, noise unknown")
    } else {
        verdict.to_owned()
    }
}

/// It moved, and nothing says how much it does by itself.
fn is_unknown(row: &Row) -> bool {
    let moved = matches!(
        row.verdict,
        Verdict::Better | Verdict::Worse | Verdict::Changed
    );
    moved && row.noise == Noise::Unknown
}
