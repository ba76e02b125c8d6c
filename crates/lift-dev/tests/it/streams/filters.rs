//! Filter patterns: what passes, and what is no pattern.

use lift_dev::streams::filter::Filters;
use serde_json::{Value, json};

fn record() -> Value {
    json!({
        "eventName": "INSERT",
        "dynamodb": {
            "Keys": { "pk": { "S": "user#1" } },
            "NewImage": {
                "age": { "N": "21" },
                "empty": { "S": "" },
                "gone": { "NULL": true },
                "tags": { "SS": ["red", "Blue"] },
                "list": { "L": [{ "S": "a" }, { "S": "b" }] },
            },
            "SizeBytes": 42,
        },
    })
}

#[test]
fn patterns_match_as_eventbridge_does() {
    let cases = [
        (json!({ "eventName": ["INSERT", "MODIFY"] }), true),
        (json!({ "eventName": ["REMOVE"] }), false),
        (json!({ "eventName": ["insert"] }), false),
        (
            json!({ "eventName": [{ "equals-ignore-case": "insert" }] }),
            true,
        ),
        (json!({ "eventName": [{ "anything-but": "REMOVE" }] }), true),
        (
            json!({ "eventName": [{ "anything-but": ["INSERT", "REMOVE"] }] }),
            false,
        ),
        (
            json!({ "eventName": [{ "anything-but": { "prefix": "IN" } }] }),
            false,
        ),
        (json!({ "nowhere": [{ "anything-but": "x" }] }), false),
        (
            json!({ "dynamodb": { "Keys": { "pk": { "S": [{ "prefix": "user#" }] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "Keys": { "pk": { "S": [{ "suffix": "#2" }] } } } }),
            false,
        ),
        (
            json!({ "dynamodb": { "SizeBytes": [{ "numeric": [">", 40, "<=", 42] }] } }),
            true,
        ),
        (json!({ "dynamodb": { "SizeBytes": [42.0] } }), true),
        (json!({ "dynamodb": { "SizeBytes": ["42"] } }), false),
        (
            json!({ "dynamodb": { "NewImage": { "age": { "N": [{ "numeric": [">", 18] }] } } } }),
            false,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "age": { "N": ["21"] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "age": { "N": [{ "exists": true }] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "age": [{ "exists": true }] } } }),
            false,
        ),
        (
            json!({ "dynamodb": { "OldImage": { "age": { "N": [{ "exists": false }] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "empty": { "S": [""] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "gone": { "NULL": [true] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "tags": { "SS": ["red"] } } } }),
            true,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "tags": { "SS": ["blue"] } } } }),
            false,
        ),
        (
            json!({ "dynamodb": { "NewImage": { "list": { "L": { "S": ["b"] } } } } }),
            true,
        ),
        (
            json!({ "eventName": ["INSERT"], "dynamodb": { "SizeBytes": [1] } }),
            false,
        ),
        (
            json!({ "$or": [{ "eventName": ["REMOVE"] }, { "dynamodb": { "SizeBytes": [42] } }] }),
            true,
        ),
        (
            json!({ "eventName": ["REMOVE"], "$or": [{ "eventName": ["INSERT"] }, { "eventName": ["x"] }] }),
            false,
        ),
        (
            json!({ "dynamodb": { "$or": [{ "SizeBytes": [1] }, { "Keys": { "pk": { "S": ["user#1"] } } }] } }),
            true,
        ),
    ];
    let record = record().to_string();
    for (pattern, passes) in cases {
        let filters = Filters::new(std::slice::from_ref(&pattern)).unwrap();
        assert_eq!(filters.pass(&record), passes, "{pattern}");
    }
    let one_of_two = [
        json!({ "eventName": ["REMOVE"] }),
        json!({ "eventName": ["INSERT"] }),
    ];
    assert!(Filters::new(&one_of_two).unwrap().pass(&record));
    assert!(Filters::default().pass(&record));
}

#[test]
fn what_is_no_pattern_is_named_with_its_place() {
    let cases = [
        (json!("x"), "filter pattern 2: `` must be an object"),
        (
            json!({ "eventName": "INSERT" }),
            "filter pattern 2: `eventName` is `\"INSERT\"`, and must be a list or an object",
        ),
        (
            json!({ "dynamodb": { "Keys": {} } }),
            "filter pattern 2: `dynamodb.Keys` must not be empty",
        ),
        (
            json!({ "a": [] }),
            "filter pattern 2: `a` must not be an empty list",
        ),
        (
            json!({ "a": { "b": [{ "prefixx": "x" }] } }),
            "filter pattern 2: `a.b` has the operator `prefixx`, which is not known",
        ),
        (
            json!({ "a": [{ "prefix": 1 }] }),
            "filter pattern 2: `a` has `prefix` of `1`, which is no text",
        ),
        (
            json!({ "a": [{ "exists": "yes" }] }),
            "filter pattern 2: `a` has `exists` of `\"yes\"`, which is neither true nor false",
        ),
        (
            json!({ "a": [{ "numeric": [">"] }] }),
            "filter pattern 2: `a` has `numeric` of `[\">\"]`, which is not like [\">\", 0, \"<=\", 5]",
        ),
        (
            json!({ "a": [["x"]] }),
            "filter pattern 2: `a` has `[\"x\"]`, a list in a list",
        ),
        (
            json!({ "$or": [{ "a": ["x"] }] }),
            "filter pattern 2: `$or` needs at least two patterns",
        ),
    ];
    for (pattern, wanted) in cases {
        let patterns = [json!({ "a": ["x"] }), pattern];
        assert_eq!(Filters::new(&patterns).unwrap_err().to_string(), wanted);
    }
}
