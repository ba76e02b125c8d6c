//! How CSV and NDJSON are read and written.

use serde_json::{Value, json};

use crate::place::{Place, request, said};

async fn check(input: (&str, &str), operations: Value, output: (&str, &str)) {
    for chunk_bytes in [1, 3, 7, 1 << 20] {
        let place = Place::new().with(|options| options.chunk_bytes = chunk_bytes);
        place.put(input.0, input.1);
        let got = match place
            .run(request(input.0, operations.clone(), output.0))
            .await
        {
            Ok(outcome) => {
                let text = place.get(output.0).unwrap();
                assert_eq!(outcome.bytes, text.len() as u64);
                text
            }
            Err(failure) => said(&failure),
        };
        assert_eq!(got, output.1, "input {input:?} in chunks of {chunk_bytes}");
    }
}

#[tokio::test]
async fn csv_quoting_survives() {
    let cases = [
        ("a,b\n\"x,y\",\"q\"\"q\"\n", "a,b\n\"x,y\",\"q\"\"q\"\n"),
        ("a,b\r\n1,2\r\n3,4", "a,b\n1,2\n3,4\n"),
        ("\u{feff}a,b\n1,2\n", "a,b\n1,2\n"),
        ("a,b\n\n1,2\n\r\n\n3,4\n\n", "a,b\n1,2\n3,4\n"),
        ("a,b\n\"line\nbreak\",\"\"\n", "a,b\n\"line\nbreak\",\n"),
        ("a\n\"\"\nx\n", "a\n\"\"\nx\n"),
        ("a,b\n5\" pipe,x\n", "a,b\n\"5\"\" pipe\",x\n"),
        ("\"a,1\",b\n,\n", "\"a,1\",b\n,\n"),
        ("a,b\n é , ü \n", "a,b\n é , ü \n"),
        ("a,b\n1,\"2\"", "a,b\n1,2\n"),
        ("a,b\n1,\"2\"\r", "a,b\n1,2\n"),
        ("a,b\n1,\"\"\"\"\n", "a,b\n1,\"\"\"\"\n"),
        ("a,b\n", "a,b\n"),
        ("a,b", "a,b\n"),
        ("a,b\n1,x\ry\n", "a,b\n1,\"x\ry\"\n"),
        ("a,b\n1,\u{feff}\n", "a,b\n1,\u{feff}\n"),
    ];
    for (input, output) in cases {
        check(("in.csv", input), json!([]), ("out.csv", output)).await;
    }
}

#[tokio::test]
async fn broken_csv_is_named_with_its_line() {
    let cases = [
        (
            "",
            "input -: line 1: a CSV starts with a header, and this is empty",
        ),
        (
            "\n\n",
            "input -: line 1: a CSV starts with a header, and this is empty",
        ),
        ("a,a\n", "input -: line 1: the header names `a` twice"),
        (
            "a,b\n1,2\n1\n",
            "input -: line 3: has 1 fields where the header has 2",
        ),
        (
            "a,b\n\"x\n\ny\",2\n1,2,3\n",
            "input -: line 5: has 3 fields where the header has 2",
        ),
        (
            "a,b\n1,\"2\n",
            "input -: line 2: opens a quote that never closes",
        ),
        (
            "a,b\n1,\"2\"x\n",
            "input -: line 2: has text after a closing quote",
        ),
    ];
    for (input, output) in cases {
        check(("in.csv", input), json!([]), ("out.csv", output)).await;
    }
    let place = Place::new();
    for bytes in [&b"a,b\n1,\xff\n"[..], b"a,b\n\xc3,\xa9\n"] {
        place.put("in.csv", bytes);
        let failure = place
            .run(request("in.csv", json!([]), "out.csv"))
            .await
            .unwrap_err();
        assert_eq!(said(&failure), "input -: line 2: is not UTF-8");
    }
}

#[tokio::test]
async fn ndjson_keeps_types_numbers_and_what_is_missing() {
    let rows = "{\"a\":1.50,\"b\":\"x\\u00e9\\n\",\"c\":null}\n{\"b\":[1, {\"z\":2}],\"d\":true}\n\r\n{ }\n";
    let kept = "{\"a\":1.50,\"b\":\"xé\\n\",\"c\":null}\n{\"b\":[1, {\"z\":2}],\"d\":true}\n{}\n";
    check(("in.ndjson", rows), json!([]), ("out.jsonl", kept)).await;
    check(
        ("in.jsonl", rows),
        json!([{ "op": "select", "columns": ["d", "a"] }]),
        (
            "out.ndjson",
            "{\"d\":null,\"a\":1.50}\n{\"d\":true,\"a\":null}\n{\"d\":null,\"a\":null}\n",
        ),
    )
    .await;
    check(
        ("in.ndjson", rows),
        json!([{ "op": "select", "columns": ["b", "d"] }]),
        (
            "out.csv",
            "b,d\n\"xé\n\",\n\"[1, {\"\"z\"\":2}]\",true\n,\n",
        ),
    )
    .await;
    check(
        (
            "in.ndjson",
            "{\"k\":1}\n{\"k\":\"1\"}\n{\"k\":1.0}\n{\"k\":null}\n{\"x\":1}\n{\"k\":1}\n",
        ),
        json!([{ "op": "aggregate", "by": ["k"], "measures": [{ "fn": "count", "as": "n" }] }]),
        (
            "out.ndjson",
            "{\"k\":1,\"n\":2}\n{\"k\":\"1\",\"n\":1}\n{\"k\":1.0,\"n\":1}\n{\"k\":null,\"n\":2}\n",
        ),
    )
    .await;
}

#[tokio::test]
async fn csv_becomes_ndjson_with_texts_as_strings_and_measures_as_numbers() {
    check(
        ("in.csv", "a,b\n1,x\n,\"q\"\"\"\n"),
        json!([]),
        (
            "out.ndjson",
            "{\"a\":\"1\",\"b\":\"x\"}\n{\"a\":\"\",\"b\":\"q\\\"\"}\n",
        ),
    )
    .await;
    let measures = json!([{ "fn": "sum", "column": "n", "as": "s" }, { "fn": "max", "column": "n", "as": "m" }, { "fn": "min", "column": "t", "as": "t" }]);
    check(
        ("in.csv", "k,n,t\n1,+.5,b\n1,007,a\n"),
        json!([{ "op": "aggregate", "by": ["k"], "measures": measures }]),
        (
            "out.ndjson",
            "{\"k\":\"1\",\"s\":7.5,\"m\":7,\"t\":\"a\"}\n",
        ),
    )
    .await;
}

#[tokio::test]
async fn broken_ndjson_is_named_with_its_line() {
    let cases = [
        (
            "{\"a\":1}\n[1]\n",
            "input -: line 2: is not one JSON object (byte 0)",
        ),
        (
            "{\"a\":1}\n{\"a\":}\n",
            "input -: line 2: is not one JSON object (byte 6)",
        ),
        (
            "{\"a\":1} {\"a\":2}\n",
            "input -: line 1: is not one JSON object (byte 9)",
        ),
        (
            "{\"a\":1,\"a\":2}\n",
            "input -: line 1: has the key `a` twice",
        ),
        (
            "{\"a\":\"\\ud800\"}\n",
            "input -: line 1: has a string that is not Unicode at key `a`",
        ),
    ];
    for (input, output) in cases {
        check(("in.ndjson", input), json!([]), ("out.ndjson", output)).await;
    }
    check(
        ("in.ndjson", "{\"a\":1}\n{\"a\":1,\"b\":2}\n"),
        json!([]),
        ("out.csv", "input -: line 2: brings column `b` after the CSV header was written; select the columns first"),
    )
    .await;
    check(
        ("in.ndjson", "{\"a\":1}\n{\"a\":2}\n"),
        json!([{ "op": "filter", "column": "b", "is": "eq", "value": 1 }]),
        (
            "out.csv",
            "invalid /payload/operations/0/column: no row has a key `b`",
        ),
    )
    .await;
    check(
        ("in.ndjson", ""),
        json!([{ "op": "deduplicate", "by": ["b"] }]),
        ("out.csv", ""),
    )
    .await;
}

#[tokio::test]
async fn the_outcome_counts_and_previews() {
    let place = Place::new();
    let rows: String = (0..250).map(|n| format!("{n}\n")).collect();
    place.put("in.csv", format!("n\n{rows}"));
    let outcome = place
        .run(request("in.csv", json!([]), "out.csv"))
        .await
        .unwrap();
    let said = serde_json::to_value(&outcome).unwrap();
    assert_eq!(
        (said["rows_in"].as_u64(), said["rows_out"].as_u64()),
        (Some(250), Some(250))
    );
    assert_eq!(
        (said["output"].as_str(), said["bytes"].as_u64()),
        (Some("out.csv"), Some(892))
    );
    assert_eq!(said["preview"].as_array().unwrap().len(), 100);
    assert_eq!(said["preview"][99], json!({ "n": "99" }));

    place.put(
        "wide.csv",
        format!("t\n{}\n{}\n", "x".repeat(60_000), "y".repeat(60_000)),
    );
    let outcome = place.engine();
    let job = crate::place::job("r2", 1, request("wide.csv", json!([]), "wide.ndjson"));
    let ended = outcome
        .run(&job, None, &mut crate::place::Caller::default())
        .await
        .unwrap();
    let streamer::tasks::claim::Ended::Finished(outcome) = ended else {
        panic!("stopped")
    };
    assert_eq!((outcome.rows_out, outcome.preview.len()), (2, 1));
}
