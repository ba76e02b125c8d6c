//! Random inputs, operations and interruptions: every way of running gives what the reference computes.

use std::sync::Mutex;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use streamer::generate::generate_csv;
use streamer::tasks::claim::Ended;
use streamer::tasks::process_data::Outcome;

use crate::place::{Caller, Place, job, request};
use crate::reference::Reference;

const TEXTS: [&str; 18] = [
    "",
    "a",
    "b",
    "B",
    "a,b",
    "q\"q",
    "line\nbreak",
    "é",
    "10",
    "9",
    "9.0",
    "1e1",
    "-3",
    "+007",
    ".5",
    "true",
    "null",
    " 9",
];
const NUMBERS: [&str; 12] = [
    "",
    "1",
    "2.50",
    "-0.1",
    "0.2",
    "100",
    "1e2",
    "0.000000000001",
    "-7",
    "3.333",
    "+4",
    "00.30",
];
const COLUMNS: [&str; 4] = ["t", "u", "n", "m"];

/// One operation as numbers, so that shrinking makes it simpler whatever stands before it.
type Raw = (u8, u8, u8, u8);

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<[u8; 4]>,
    operations: Vec<Raw>,
    input: &'static str,
    output: &'static str,
    pace: (u64, u32, usize),
    stops: Vec<(u8, bool)>,
}

fn cases() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(any::<[u8; 4]>(), 0..40),
        prop::collection::vec(any::<Raw>(), 0..6),
        prop::sample::select(vec!["in.csv", "in.ndjson"]),
        prop::sample::select(vec!["out.csv", "out.ndjson"]),
        (1_u64..9, 1_u32..200, 1_usize..200),
        prop::collection::vec((1_u8..6, any::<bool>()), 0..5),
    )
        .prop_map(|(rows, operations, input, output, pace, stops)| Case {
            rows,
            operations,
            input,
            output,
            pace,
            stops,
        })
}

fn pick<T>(from: &[T], number: u8) -> &T {
    &from[usize::from(number) % from.len()]
}

/// A row's cells; in NDJSON some are numbers, null or missing.
fn input(case: &Case) -> String {
    let cell = |row: &[u8; 4], column: usize| {
        let texts: &[&str] = if column < 2 { &TEXTS } else { &NUMBERS };
        *pick(texts, row[column])
    };
    if case.input == "in.csv" {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(COLUMNS).unwrap();
        for row in &case.rows {
            writer
                .write_record((0..4).map(|column| cell(row, column)))
                .unwrap();
        }
        return String::from_utf8(writer.into_inner().unwrap()).unwrap();
    }
    let mut text = String::new();
    for (index, row) in case.rows.iter().enumerate() {
        let mut entries = Vec::new();
        for (column, name) in COLUMNS.iter().enumerate() {
            let value = cell(row, column);
            let is_json = serde_json::from_str::<serde_json::Number>(value).is_ok();
            match row[column] / 64 {
                // The first row has every key, so that a CSV header can hold them all.
                0 if index > 0 => {}
                1 => entries.push(format!("\"{name}\":null")),
                2 if is_json => entries.push(format!("\"{name}\":{value}")),
                _ => entries.push(format!("\"{name}\":{}", json!(value))),
            }
        }
        text.push_str(&format!("{{{}}}\n", entries.join(",")));
    }
    text
}

/// Operations that fit the columns they meet; the flag says that a column holds numbers alone.
fn operations(raw: &[Raw]) -> Value {
    let mut columns: Vec<(String, bool)> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), at >= 2))
        .collect();
    let mut made = Vec::new();
    for (step, &(op, a, b, c)) in raw.iter().enumerate() {
        let (name, numeric) = pick(&columns, a).clone();
        let other = pick(&columns, b).0.clone();
        let by: Vec<_> = if name == other {
            vec![name.clone()]
        } else {
            vec![name.clone(), other.clone()]
        };
        made.push(match op % 5 {
            0 => {
                let is = *pick(&["eq", "ne", "lt", "le", "gt", "ge", "contains", "in"], b);
                let value = match is {
                    "in" => json!([pick(&TEXTS, c), pick(&NUMBERS, c), null, 9]),
                    "contains" => json!(pick(&TEXTS, c)),
                    "eq" | "ne" if c > 220 => {
                        [json!(null), json!(true)][usize::from(c) % 2].clone()
                    }
                    _ if c % 3 == 0 => json!(f64::from(c) / 8.0),
                    _ => json!(pick(&TEXTS, c)),
                };
                json!({ "op": "filter", "column": name, "is": is, "value": value })
            }
            1 => {
                columns.retain(|(column, _)| by.contains(column));
                columns.sort_by_key(|(column, _)| by.iter().position(|name| name == column));
                json!({ "op": "select", "columns": by })
            }
            2 => json!({ "op": "deduplicate", "by": by }),
            3 => {
                let order = if c % 2 == 0 { "asc" } else { "desc" };
                json!({ "op": "top", "n": 1 + b % 20, "by": name, "order": order })
            }
            _ => {
                let by = if c % 7 == 0 { Vec::new() } else { by };
                let functions: &[&str] = if numeric {
                    &["count", "sum", "mean", "min", "max"]
                } else {
                    &["count", "min", "max"]
                };
                let function = *pick(functions, c);
                let measure = format!("{function}{step}");
                let kept = columns
                    .iter()
                    .filter(|(column, _)| by.contains(column))
                    .cloned();
                let mut next: Vec<_> = kept.collect();
                next.sort_by_key(|(column, _)| by.iter().position(|name| name == column));
                next.push((measure.clone(), numeric || function == "count"));
                next.push((format!("rows{step}"), true));
                columns = next;
                json!({ "op": "aggregate", "by": by, "measures": [
                    { "fn": function, "column": name, "as": measure },
                    { "fn": "count", "as": format!("rows{step}") },
                ] })
            }
        });
    }
    made.into()
}

async fn interrupted(place: &Place, request: Value, stops: &[(u8, bool)]) -> Outcome {
    let mut caller = Caller::default();
    for claim in 1.. {
        let stop = stops.get(claim - 1);
        (caller.checkpoints, caller.stop_at) = (0, stop.map(|(at, _)| usize::from(*at)));
        caller.loses_last = stop.is_some_and(|(_, loses)| *loses);
        let job = job("r1", claim as u64, request.clone());
        let ended = place
            .engine()
            .run(&job, caller.durable.clone(), &mut caller)
            .await;
        match ended.expect("the case has no failure") {
            Ended::Finished(outcome) => return outcome,
            Ended::Stopped => {}
        }
    }
    unreachable!("claims have no end")
}

fn check(case: &Case, reference: &Mutex<Reference>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let place = Place::new().with(|options| {
        (
            options.checkpoint_rows_max,
            options.chunk_bytes,
            options.part_bytes,
        ) = case.pace;
    });
    let operations = operations(&case.operations);
    place.put(case.input, input(case));
    // Without the key in any row there is nothing to agree on: that is an error with its own test.
    if case.rows.is_empty() && case.input == "in.ndjson" {
        return Ok(());
    }
    let expected = place.root().join(case.output);
    let said = reference
        .lock()
        .unwrap()
        .compute(&place.path(case.input), &operations, &expected);
    let request = request(case.input, operations.clone(), case.output);
    let outcome = runtime.block_on(interrupted(&place, request, &case.stops));
    let expected = std::fs::read_to_string(expected).unwrap();
    prop_assert_eq!(
        place.get(case.output).unwrap(),
        expected,
        "operations {}",
        operations
    );
    prop_assert_eq!(
        json!({ "rows_in": outcome.rows_in, "rows_out": outcome.rows_out }),
        said
    );
    Ok(())
}

#[test]
fn interrupted_runs_give_what_the_reference_computes() {
    let reference = Mutex::new(Reference::start());
    let config = ProptestConfig {
        cases: 250,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    if let Err(error) = runner.run(&cases(), |case| check(&case, &reference)) {
        panic!("{error}");
    }
}

#[tokio::test]
async fn generated_orders_give_what_the_reference_computes() {
    let place = Place::new().with(|options| {
        (
            options.checkpoint_rows_max,
            options.part_bytes,
            options.chunk_bytes,
        ) = (1_000, 20_000, 30_000);
    });
    let mut csv = Vec::new();
    generate_csv(5_000, 11, &mut csv).unwrap();
    place.put("orders.csv", csv);
    let mut reference = Reference::start();
    let revenue = json!([
        { "op": "deduplicate", "by": ["order_id"] },
        { "op": "filter", "column": "quantity", "is": "ge", "value": 3 },
        { "op": "aggregate", "by": ["country", "product"], "measures": [
            { "fn": "count", "column": "order_id", "as": "orders" },
            { "fn": "sum", "column": "unit_price", "as": "sum" },
            { "fn": "mean", "column": "unit_price", "as": "mean" },
            { "fn": "max", "column": "ordered_at", "as": "latest" } ] },
        { "op": "top", "n": 50, "by": "sum", "order": "desc" },
    ]);
    let plain = json!([{ "op": "deduplicate", "by": ["order_id"] }, { "op": "select", "columns": ["order_id", "customer"] }]);
    for (number, operations) in [revenue, plain].into_iter().enumerate() {
        let output = format!("out{number}.csv");
        let expected = place.root().join(&output);
        reference.compute(&place.path("orders.csv"), &operations, &expected);
        let request = request("orders.csv", operations, &output);
        interrupted(&place, request, &[(1, false), (1, true), (2, false)]).await;
        assert!(
            place.get(&output).unwrap() == std::fs::read_to_string(expected).unwrap(),
            "{output} differs"
        );
        place
            .engine()
            .abandon(&crate::place::id("r1"))
            .await
            .unwrap();
    }
}
