//! A report comes in, what a pull request shows of it goes out.

use super::Report;
use super::summary::{self, Table};

pub(super) fn written(report: &Report) -> String {
    let mut text = format!("**{}**\n", escaped(&summary::headline(report)));
    for reason in &report.verdict.reasons {
        text.push_str(&format!("\n- {}", escaped(reason)));
    }
    if !report.verdict.reasons.is_empty() {
        text.push('\n');
    }
    for table in [summary::thresholds(report), summary::latencies(report)] {
        if !table.rows.is_empty() {
            text.push('\n');
            text.push_str(&rows(&table));
        }
    }
    let circumstances = summary::circumstances(report).join(" · ");
    format!("{text}\n<sub>{}</sub>\n", escaped(&circumstances))
}

fn rows(table: &Table) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<_> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let sides = |column: usize| {
        let side = if column < table.numbers {
            "---"
        } else {
            "---:"
        };
        side.to_owned()
    };
    let mut text = line(&mut table.columns.iter().map(|name| escaped(name)));
    text.push_str(&line(&mut (0..table.columns.len()).map(sides)));
    for row in &table.rows {
        text.push_str(&line(&mut row.iter().map(|cell| escaped(cell))));
    }
    text
}

/// Text that is no markup, no mention of a person and no end of a cell.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
