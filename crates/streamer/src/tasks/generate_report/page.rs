//! A tally comes in; one HTML page goes out that needs nothing else: no script, no other file.

use std::collections::BTreeMap;

use super::chart;
use super::day::Day;
use super::tally::{Group, Tally};
use super::text::{count, duration, escaped};

const STYLE: &str = include_str!("page.css");

/// The columns of every table, after those that name the row.
const COLUMNS: [&str; 9] = [
    "requests",
    "completed",
    "failed",
    "cancelled",
    "open",
    "mean",
    "p50",
    "p95",
    "max",
];

/// The page about `tenant`, from the day `first` to the day `last`.
pub(super) fn page(tenant: &str, first: Day, last: Day, tally: &Tally) -> String {
    let tenant = escaped(tenant);
    let total = tally.total();
    let by_day = tally.by_day();
    let days: Vec<(Day, Group)> = first
        .up_to(last)
        .map(|day| (day, by_day.get(&day).cloned().unwrap_or_default()))
        .collect();
    let legend = |of: &[(&str, &str)]| {
        let keys = of
            .iter()
            .map(|(class, name)| format!("<span><i class=\"{class}\"></i>{name}</span>"));
        format!("<p class=\"legend\">{}</p>\n", keys.collect::<String>())
    };
    let states = ["completed", "failed", "cancelled", "open"].map(|state| (state, state));
    [
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>Requests of {tenant}, {first} to {last}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>Requests of {tenant}</h1>\n<p class=\"range\">{first} to {last}, days in UTC, by the day of acceptance</p>\n"
        ),
        figures(&total),
        format!("<section>\n<h2>Requests per day</h2>\n{}", chart::requests(&days)),
        legend(&states),
        format!("</section>\n<section>\n<h2>Durations per day</h2>\n{}", chart::durations(&days)),
        legend(&[("p50", "median"), ("p95", "95th percentile")]),
        "<p class=\"note\">From acceptance to the end, of requests that ended. Percentiles are at most 3&#8239;% too high.</p>\n</section>\n".to_owned(),
        actions(tally),
        errors(&total.errors),
        each_day(tally),
        "</main>\n</body>\n</html>\n".to_owned(),
    ]
    .concat()
}

/// The sums at the top.
fn figures(total: &Group) -> String {
    let ended = total.requests() - total.open();
    let failed = match (total.failed * 1000 + ended / 2).checked_div(ended) {
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
        None => "–".to_owned(),
    };
    let figures = [
        ("requests", count(total.requests())),
        ("completed", count(total.completed)),
        ("failed", count(total.failed)),
        ("of those ended", failed),
        ("median", duration(total.durations.percentile(50))),
        ("95th percentile", duration(total.durations.percentile(95))),
    ];
    let figures =
        figures.map(|(name, figure)| format!("<div><dt>{name}</dt><dd>{figure}</dd></div>\n"));
    format!("<dl class=\"figures\">\n{}</dl>\n", figures.concat())
}

fn actions(tally: &Tally) -> String {
    let rows = tally.by_action();
    let rows = rows
        .iter()
        .map(|(action, group)| row(&[escaped(action)], group));
    table("By action", &["action"], &rows.collect::<String>())
}

fn errors(errors: &BTreeMap<String, u64>) -> String {
    if errors.is_empty() {
        return "<section>\n<h2>Errors</h2>\n<p>None.</p>\n</section>\n".to_owned();
    }
    let rows = errors.iter().map(|(code, times)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
            escaped(code),
            count(*times)
        )
    });
    format!(
        "<section>\n<h2>Errors</h2>\n<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">code</th>\
         <th scope=\"col\">requests</th></tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n</section>\n",
        rows.collect::<String>()
    )
}

fn each_day(tally: &Tally) -> String {
    let rows = tally
        .groups
        .iter()
        .map(|((day, action), group)| row(&[day.to_string(), escaped(action)], group));
    table(
        "By day and action",
        &["day", "action"],
        &rows.collect::<String>(),
    )
}

/// A row whose first cells name it.
fn row(names: &[String], group: &Group) -> String {
    let durations = &group.durations;
    let cells = [
        count(group.requests()),
        count(group.completed),
        count(group.failed),
        count(group.cancelled),
        count(group.open()),
        duration(durations.mean()),
        duration(durations.percentile(50)),
        duration(durations.percentile(95)),
        duration(durations.max()),
    ];
    let names = names
        .iter()
        .map(|name| format!("<th scope=\"row\">{name}</th>"));
    let cells = cells.iter().map(|cell| format!("<td>{cell}</td>"));
    format!("<tr>{}</tr>\n", names.chain(cells).collect::<String>())
}

fn table(title: &str, names: &[&str], rows: &str) -> String {
    let columns = names.iter().chain(&COLUMNS);
    let columns: String = columns
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .collect();
    format!(
        "<section>\n<h2>{title}</h2>\n<div class=\"wide\"><table>\n<thead><tr>{columns}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}
