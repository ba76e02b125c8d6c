//! Each operation by tables: what comes out of a small input.

use serde_json::{Value, json};

use crate::place::{Place, request, said};

const ORDERS: &str =
    "id,who,n,price\n1,ann,3,9.50\n2,bob,10,0.10\n3,ann,,0.20\n4,Zoe,-2,1e2\n2,bob,7,x\n";

async fn check(input: &str, operations: Value, expected: &str) {
    let place = Place::new();
    place.put("in.csv", input);
    let got = match place
        .run(request("in.csv", operations.clone(), "out.csv"))
        .await
    {
        Ok(_) => place.get("out.csv").unwrap(),
        Err(failure) => said(&failure),
    };
    assert_eq!(got, expected, "operations {operations}");
}

async fn ids(operations: Value, expected: &str) {
    let mut all = operations.as_array().unwrap().clone();
    all.push(json!({ "op": "select", "columns": ["id", "n"] }));
    let place = Place::new();
    place.put("in.csv", ORDERS);
    place
        .run(request("in.csv", all.into(), "out.csv"))
        .await
        .unwrap();
    let out = place.get("out.csv").unwrap();
    let ids: Vec<_> = out
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(ids.join(" "), expected, "operations {operations}");
}

#[tokio::test]
async fn filter_compares_numbers_by_value_and_the_rest_by_text() {
    for (column, is, value, expected) in [
        ("n", "eq", json!("10.0"), "2"),
        ("n", "eq", json!(3), "1"),
        ("n", "ne", json!(3), "2 3 4 2"),
        ("n", "lt", json!(7), "1 4"),
        ("n", "le", json!(7), "1 4 2"),
        ("n", "gt", json!("3"), "2 2"),
        ("n", "ge", json!(3), "1 2 2"),
        ("n", "eq", json!(null), "3"),
        ("n", "ne", json!(null), "1 2 4 2"),
        ("n", "eq", json!(""), "3"),
        ("n", "in", json!([3, null, "7.00"]), "1 3 2"),
        ("n", "in", json!([]), ""),
        ("who", "contains", json!("nn"), "1 3"),
        ("who", "contains", json!(""), "1 2 3 4 2"),
        ("n", "contains", json!(""), "1 2 4 2"),
        ("who", "lt", json!("b"), "1 3 4"),
        ("who", "eq", json!("Ann"), ""),
        ("price", "eq", json!(100), "4"),
        ("price", "gt", json!(5), "1 4 2"),
        (
            "price",
            "lt",
            json!("0.2000000000000000000000000000000000001"),
            "2 3",
        ),
    ] {
        ids(
            json!([{ "op": "filter", "column": column, "is": is, "value": value }]),
            expected,
        )
        .await;
    }
}

#[tokio::test]
async fn select_orders_columns_and_drops_the_others() {
    check(
        "a,b,c\n1,2,3\n",
        json!([{ "op": "select", "columns": ["c", "a"] }]),
        "c,a\n3,1\n",
    )
    .await;
    check(
        "a,b\n",
        json!([{ "op": "select", "columns": ["b"] }]),
        "b\n",
    )
    .await;
}

#[tokio::test]
async fn deduplicate_keeps_the_first_row_of_a_key() {
    ids(json!([{ "op": "deduplicate", "by": ["id"] }]), "1 2 3 4").await;
    ids(json!([{ "op": "deduplicate", "by": ["who"] }]), "1 2 4").await;
    ids(
        json!([{ "op": "deduplicate", "by": ["id", "n"] }]),
        "1 2 3 4 2",
    )
    .await;
    let tricky = "a,b\nx,yz\nxy,z\n1,\n1.0,\n1,\n";
    check(
        tricky,
        json!([{ "op": "deduplicate", "by": ["a", "b"] }]),
        "a,b\nx,yz\nxy,z\n1,\n1.0,\n",
    )
    .await;
}

#[tokio::test]
async fn top_orders_numbers_below_text_absent_last_and_ties_as_they_came() {
    for (n, by, order, expected) in [
        (1, "n", "desc", "2"),
        (9, "n", "desc", "2 2 1 4 3"),
        (9, "n", "asc", "4 1 2 2 3"),
        (9, "who", "asc", "4 1 3 2 2"),
        (3, "who", "desc", "2 2 1"),
        (9, "price", "asc", "2 3 1 4 2"),
        (2, "price", "desc", "2 4"),
    ] {
        ids(
            json!([{ "op": "top", "n": n, "by": by, "order": order }]),
            expected,
        )
        .await;
    }
}

#[tokio::test]
async fn aggregate_sums_exactly_and_leaves_absent_values_out() {
    let measures = json!([
        { "fn": "count", "as": "rows" },
        { "fn": "count", "column": "n", "as": "with_n" },
        { "fn": "sum", "column": "n", "as": "sum" },
        { "fn": "min", "column": "n", "as": "min" },
        { "fn": "max", "column": "n", "as": "max" },
        { "fn": "mean", "column": "n", "as": "mean" },
    ]);
    check(
        "k,n\nb,0.1\na,0.2\nb,0.2\nb,\na,1.50\na,-0.70\nc,\n",
        json!([{ "op": "aggregate", "by": ["k"], "measures": measures }]),
        "k,rows,with_n,sum,min,max,mean\n\
         b,3,2,0.3,0.1,0.2,0.15\n\
         a,3,3,1,-0.70,1.50,0.333333333333\n\
         c,1,0,0,,,\n",
    )
    .await;
    check(
        "k,n\n",
        json!([{ "op": "aggregate", "by": [], "measures": measures }]),
        "rows,with_n,sum,min,max,mean\n0,0,0,,,\n",
    )
    .await;
    check(
        "k\nb\na\nb\n",
        json!([{ "op": "aggregate", "by": ["k"], "measures": [] }]),
        "k\nb\na\n",
    )
    .await;
}

#[tokio::test]
async fn means_round_halves_to_even_at_twelve_places() {
    let mean = json!([{ "op": "aggregate", "by": [], "measures": [
        { "fn": "mean", "column": "n", "as": "m" }, { "fn": "max", "column": "n", "as": "max" } ]}]);
    for (values, expected) in [
        ("1\n1\n0", "0.666666666667,1"),
        ("-1\n-1\n0", "-0.666666666667,0"),
        ("0.000000000001\n0", "0,0.000000000001"),
        ("0.000000000003\n0", "0.000000000002,0.000000000003"),
        ("+007\n7", "7,7"),
        ("-0\n0.0", "0,-0"),
        (
            "1e3\nabc",
            "input /payload/operations/0/measures/0/column: line 3: `abc` in column `n` is not a number",
        ),
        (
            "1e400\n1",
            "limit /payload/operations/0/measures/0/column: the limit `sum_digits_max` of 38 was passed",
        ),
        (
            "0.0000000000000000001\n1",
            "limit /payload/operations/0/measures/0/column: the limit `sum_places_max` of 18 was passed",
        ),
    ] {
        let expected = if expected.contains(": ") {
            expected.to_owned()
        } else {
            format!("m,max\n{expected}\n")
        };
        check(&format!("n\n{values}\n"), mean.clone(), &expected).await;
    }
}

#[tokio::test]
async fn operations_apply_in_order_and_in_any_mix() {
    check(ORDERS, json!([]), ORDERS).await;
    check(
        ORDERS,
        json!([
            { "op": "deduplicate", "by": ["id"] },
            { "op": "aggregate", "by": ["who"], "measures": [{ "fn": "count", "as": "orders" }] },
            { "op": "filter", "column": "orders", "is": "ge", "value": 1 },
            { "op": "top", "n": 2, "by": "orders", "order": "desc" },
            { "op": "select", "columns": ["orders", "who"] },
            { "op": "aggregate", "by": [], "measures": [{ "fn": "sum", "column": "orders", "as": "total" }] },
        ]),
        "total\n3\n",
    )
    .await;
}

#[tokio::test]
async fn a_mistake_in_an_operation_is_named_at_its_place() {
    let column = |step: &str, name: &str| {
        format!(
            "invalid /payload/operations/{step}: there is no column `{name}` here; there are `id`, `who`, `n`, `price`"
        )
    };
    let cases = [
        (json!({ "op": "filter", "column": "x", "is": "eq", "value": 1 }), column("1/column", "x")),
        (json!({ "op": "select", "columns": ["id", "x"] }), column("1/columns/1", "x")),
        (json!({ "op": "deduplicate", "by": ["x"] }), column("1/by/0", "x")),
        (json!({ "op": "top", "n": 1, "by": "x" }), column("1/by", "x")),
        (
            json!({ "op": "aggregate", "by": ["id"], "measures": [{ "fn": "sum", "column": "x", "as": "s" }] }),
            column("1/measures/0/column", "x"),
        ),
        (
            json!({ "op": "aggregate", "by": ["id"], "measures": [{ "fn": "sum", "as": "id" }] }),
            "invalid /payload/operations/1/measures/0/as: names column `id` again; \
             /payload/operations/1/measures/0/column: is required: only `count` goes without a column".to_owned(),
        ),
        (
            json!({ "op": "select", "columns": ["id", "id"] }),
            "invalid /payload/operations/1/columns/1: names column `id` again".to_owned(),
        ),
        (json!({ "op": "select", "columns": [] }), "invalid /payload/operations/1/columns: names no column".to_owned()),
        (
            json!({ "op": "top", "n": 0, "by": "id" }),
            "invalid /payload/operations/1/n: is not in 1–10000000 (`keys_max`)".to_owned(),
        ),
        (
            json!({ "op": "filter", "column": "id", "is": "in", "value": 1 }),
            "invalid /payload/operations/1/value: `in` compares with a list".to_owned(),
        ),
        (
            json!({ "op": "filter", "column": "id", "is": "eq", "value": [1] }),
            "invalid /payload/operations/1/value: a list is compared by `in` alone".to_owned(),
        ),
        (
            json!({ "op": "filter", "column": "id", "is": "lt", "value": null }),
            "invalid /payload/operations/1/value: null is compared by `eq`, `ne` and `in` alone".to_owned(),
        ),
        (
            json!({ "op": "filter", "column": "id", "is": "contains", "value": 1 }),
            "invalid /payload/operations/1/value: `contains` looks for a string".to_owned(),
        ),
    ];
    for (operation, expected) in cases {
        let place = Place::new();
        place.put("in.csv", ORDERS);
        let first = json!({ "op": "filter", "column": "id", "is": "ne", "value": 9 });
        let request = request("in.csv", json!([first, operation]), "out.csv");
        let checked = place
            .engine()
            .precheck(
                &crate::place::tenant(),
                &crate::place::typed(request.clone()),
            )
            .await;
        assert_eq!(
            checked.map_err(|f| said(&f)),
            Err(expected.clone()),
            "precheck of {operation}"
        );
        assert_eq!(
            place.run(request).await.map_err(|f| said(&f)).err(),
            Some(expected)
        );
        assert_eq!(place.get("out.csv"), None);
    }
}

#[test]
fn a_request_of_another_shape_is_refused() {
    for wrong in [
        r#"{"input":"a.csv","operations":[],"output":{"name":"b.csv"},"extra":1}"#,
        r#"{"input":"a.csv","operations":[],"output":{"name":"b.csv","mode":1}}"#,
        r#"{"input":"a.csv","output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"sort"}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"top","n":1,"by":"a","then":2}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"top","n":-1,"by":"a"}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"top","n":1,"n":2,"by":"a"}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"filter","column":"a","is":"eq"}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","operations":[{"op":"filter","column":"a","is":"eq","value":{}}],"output":{"name":"b.csv"}}"#,
        r#"{"input":"a.csv","input":"a.csv","operations":[],"output":{"name":"b.csv"}}"#,
    ] {
        let read = serde_json::from_str::<streamer::tasks::process_data::ProcessData>(wrong);
        assert!(read.is_err(), "accepted {wrong}");
    }
}

#[test]
fn a_number_of_a_filter_keeps_all_its_digits() {
    let text = r#"{"input":"a.csv","operations":[{"op":"filter","column":"a","is":"in","value":[12345678901234567890.123456789,"x",true,null]}],"output":{"name":"b.csv","overwrite":false}}"#;
    let request: streamer::tasks::process_data::ProcessData = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&request).unwrap(), text);
}

#[test]
fn the_schema_knows_every_field() {
    let schema = schemars::schema_for!(streamer::tasks::process_data::ProcessData);
    let text = serde_json::to_string(&schema).unwrap();
    for word in [
        "input",
        "operations",
        "overwrite",
        "filter",
        "deduplicate",
        "measures",
        "\"fn\"",
        "\"as\"",
        "desc",
    ] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    assert_eq!(schema.get("additionalProperties"), Some(&json!(false)));
}
