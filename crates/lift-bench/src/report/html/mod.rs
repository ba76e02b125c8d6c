//! A report comes in, one page goes out that needs nothing but a browser: no script, no network.
//!
//! The template escapes whatever it is given, but for the style sheet, which is this crate's own.

mod plot;
mod plots;
mod scale;

use minijinja::{Environment, Value, value::Serde};
use serde::Serialize;

use self::plot::Figure;
use super::{
    Report,
    figure::harmless,
    summary::{self, Card, Table},
};

/// What both pages look like.
pub(crate) const STYLE: &str = include_str!("style.css");
const PAGE: &str = include_str!("report.html");

/// What the template knows.
#[derive(Debug, Serialize)]
struct Page {
    style: &'static str,
    word: &'static str,
    headline: String,
    name: String,
    about: String,
    reasons: Vec<String>,
    circumstances: Vec<String>,
    cards: Vec<Card>,
    thresholds: Vec<Table>,
    tables: Vec<Table>,
    plots: Vec<Figure>,
}

pub(super) fn written(report: &Report) -> String {
    let (thresholds, tables) = summary::tables(report)
        .into_iter()
        .partition(|table| table.title == "thresholds");
    let reasons = report.verdict.reasons.iter();
    let values = Page {
        style: STYLE,
        word: report.verdict.outcome.word(),
        headline: summary::headline(report),
        name: harmless(&report.name),
        about: harmless(&report.about),
        reasons: reasons.map(|reason| harmless(reason)).collect(),
        circumstances: summary::circumstances(report),
        cards: summary::cards(report),
        thresholds,
        tables,
        plots: plots::all(report),
    };
    rendered("report.html", PAGE, &values)
}

/// A template of this crate, filled in; what is filled in is escaped, since its name ends with `.html`.
pub(crate) fn rendered(name: &str, source: &str, values: &impl Serialize) -> String {
    let values = Value::from(Serde(values));
    let page = Environment::new().render_named_str(name, source, values);
    let mut page = page.expect("the template is this crate's own, and tests render it");
    page.push('\n');
    page
}
