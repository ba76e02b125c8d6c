//! A report comes in, what a terminal shows of it goes out.

use super::Report;
use super::figure::harmless;
use super::summary::{self, Table};

pub(super) fn written(report: &Report) -> String {
    let mut text = format!("{}\n", summary::headline(report));
    for reason in &report.verdict.reasons {
        text.push_str(&format!("  {}\n", harmless(reason)));
    }
    for line in summary::circumstances(report) {
        text.push_str(&format!("  {line}\n"));
    }
    for table in summary::tables(report) {
        text.push_str(&format!("\n{}\n", table.title));
        text.push_str(&aligned(&table));
    }
    text
}

/// Columns as wide as their widest cell.
fn aligned(table: &Table) -> String {
    let lines = || std::iter::once(&table.columns).chain(&table.rows);
    let width = |column: usize| {
        let cells = lines().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let mut text = String::new();
    for line in lines() {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column < table.numbers {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text
}
