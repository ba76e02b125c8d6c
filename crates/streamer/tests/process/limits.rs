//! Every limit by its name.

use serde_json::{Value, json};
use streamer::tasks::process_data::Options;

use crate::place::{Place, request, said};

async fn check(change: fn(&mut Options), input: (&str, &str), operations: Value, expected: &str) {
    let place = Place::new().with(change);
    place.put(input.0, input.1);
    let got = place.run(request(input.0, operations, "out.ndjson")).await;
    let got = got.map(|_| "done".to_owned()).unwrap_or_else(|failure| {
        assert!(!failure.is_retryable());
        said(&failure)
    });
    assert_eq!(got, expected);
}

const KEYS: (&str, &str) = ("in.csv", "k\na\nb\nc\nd\n");

#[tokio::test]
async fn an_operator_that_holds_too_much_ends_the_request_and_is_named() {
    let measure = json!({ "fn": "max", "column": "k", "as": "m" });
    let deduplicate = json!([{ "op": "deduplicate", "by": ["k"] }]);
    let aggregate = json!([{ "op": "aggregate", "by": ["k"], "measures": [measure] }]);
    let top = json!([{ "op": "top", "n": 4, "by": "k" }]);
    let keys = "limit /payload/operations/0: the limit `keys_max` of 3 was passed";
    let bytes = "limit /payload/operations/0: the limit `state_bytes_max` of 40 was passed";
    let n = "invalid /payload/operations/0/n: is not in 1–3 (`keys_max`)";

    check(|o| o.keys_max = 4, KEYS, deduplicate.clone(), "done").await;
    check(|o| o.keys_max = 3, KEYS, deduplicate.clone(), keys).await;
    check(|o| o.keys_max = 3, KEYS, aggregate.clone(), keys).await;
    check(|o| o.keys_max = 3, KEYS, top.clone(), n).await;
    for operations in [deduplicate, aggregate, top] {
        check(|o| o.state_bytes_max = 40, KEYS, operations, bytes).await;
    }
}

#[tokio::test]
async fn rows_columns_and_operations_have_limits() {
    let long = "limit -: the limit `row_bytes_max` of 9 was passed";
    let wide = "limit -: the limit `columns_max` of 2 was passed";
    let many = "invalid /payload/operations: at most 2 operations";
    let filter = json!({ "op": "filter", "column": "k", "is": "ne", "value": 1 });
    let filters = json!([filter, filter, filter]);
    let cases: [(fn(&mut Options), _, _, _); 6] = [
        (
            |o| o.row_bytes_max = 9,
            ("in.csv", "k\n12345678\n"),
            json!([]),
            "done",
        ),
        (
            |o| o.row_bytes_max = 9,
            ("in.csv", "k\n123456789\n"),
            json!([]),
            long,
        ),
        (
            |o| (o.row_bytes_max, o.chunk_bytes) = (9, 1),
            ("in.csv", "k\n\"123456789012"),
            json!([]),
            long,
        ),
        (
            |o| o.columns_max = 2,
            ("in.csv", "a,b,c\n"),
            json!([]),
            wide,
        ),
        (
            |o| o.columns_max = 2,
            ("in.ndjson", "{\"a\":1,\"b\":1}\n{\"c\":1}\n"),
            json!([]),
            wide,
        ),
        (|o| o.operations_max = 2, KEYS, filters, many),
    ];
    for (change, input, operations, expected) in cases {
        check(change, input, operations, expected).await;
    }
}

#[tokio::test]
async fn a_failure_tells_details_that_are_safe_to_show() {
    let place = Place::new().with(|options| options.keys_max = 1);
    place.put("in.csv", "k\na\nb\n");
    let operations = json!([{ "op": "deduplicate", "by": ["k"] }]);
    let failure = place
        .run(request("in.csv", operations, "out.csv"))
        .await
        .unwrap_err();
    let details = json!({ "limit": "keys_max", "max": 1, "pointer": "/payload/operations/0" });
    assert_eq!(failure.details(), details);
}
