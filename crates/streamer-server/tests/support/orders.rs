//! Orders to process, and what must come of them, computed by nothing of the service's own.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use serde_json::{Value, json};

/// Writes a generated input.
pub(crate) fn write(path: &Path, rows: u64, seed: u64) {
    let file = BufWriter::new(File::create(path).unwrap());
    streamer::generate::generate_csv(rows, seed, file).unwrap();
}

/// The request that [`expected`] computes.
pub(crate) fn payload(input: &str, output: &str) -> Value {
    json!({
        "input": input,
        "operations": [
            {"op": "filter", "column": "quantity", "is": "ge", "value": 2},
            {"op": "deduplicate", "by": ["order_id"]},
            {"op": "select", "columns": ["order_id", "country", "quantity"]},
        ],
        "output": {"name": output},
    })
}

/// The records that the output must have, its header first.
pub(crate) fn expected(input: &Path) -> Vec<Vec<String>> {
    let (mut seen, mut rows) = (HashSet::new(), read(input).into_iter());
    let columns = |row: &Vec<String>| vec![row[0].clone(), row[2].clone(), row[4].clone()];
    let header = rows.next().unwrap();
    let kept =
        rows.filter(|row| row[4].parse::<u32>().unwrap() >= 2 && seen.insert(row[0].clone()));
    let kept: Vec<_> = kept.map(|row| columns(&row)).collect();
    [vec![columns(&header)], kept].concat()
}

pub(crate) fn read(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(path)
        .unwrap();
    let records = reader.records().map(|record| record.unwrap());
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

/// Compares an output with what it must be; names the first row that differs.
pub(crate) fn check(input: &Path, output: &Path) {
    let (expected, found) = (expected(input), read(output));
    for (row, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected, found, "row {row} of {}", output.display());
    }
    assert_eq!(expected.len(), found.len(), "rows of {}", output.display());
}
