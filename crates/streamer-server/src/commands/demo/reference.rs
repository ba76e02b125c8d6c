//! The result that the demonstration expects, computed with another CSV reader and nothing of the
//! service's own: a file goes in, the first row that differs comes out, or how many there are.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use csv::{ReaderBuilder, StringRecord};

const ORDER_ID: usize = 0;
const QUANTITY: usize = 4;
const SELECTED: usize = 5;

/// Checks that `output` is `input` with `quantity` of at least 2, each `order_id` once, and the
/// first five columns.
pub(super) fn check(input: &Path, output: &Path) -> anyhow::Result<u64> {
    let mut expected = rows(input)?;
    let mut found = rows(output)?;
    let (mut seen, mut count) = (HashSet::new(), 0);
    let (mut row, mut other) = (StringRecord::new(), StringRecord::new());
    ensure!(
        expected.read_record(&mut row)? && found.read_record(&mut other)?,
        "no header"
    );
    ensure!(
        row.iter().take(SELECTED).eq(other.iter()),
        "the header is {other:?}"
    );
    while expected.read_record(&mut row)? {
        let quantity: u64 = row.get(QUANTITY).context("no quantity")?.parse()?;
        let order = row.get(ORDER_ID).context("no order id")?;
        if quantity < 2 || !seen.insert(order.to_owned()) {
            continue;
        }
        count += 1;
        ensure!(
            found.read_record(&mut other)?,
            "row {count} of the result is missing: {row:?}"
        );
        ensure!(
            row.iter().take(SELECTED).eq(other.iter()),
            "row {count} of the result is {other:?}, expected {row:?}"
        );
    }
    ensure!(
        !found.read_record(&mut other)?,
        "the result has a row too many: {other:?}"
    );
    Ok(count)
}

fn rows(path: &Path) -> anyhow::Result<csv::Reader<File>> {
    let file = File::open(path).with_context(|| format!("no `{}`", path.display()))?;
    Ok(ReaderBuilder::new().has_headers(false).from_reader(file))
}
