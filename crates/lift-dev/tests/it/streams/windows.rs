//! Tumbling windows: their state, their end, and what is too much.

use std::time::Duration;

use lift_dev::plan;
use lift_dev::streams::Faults;
use lift_dev::streams::mapping::ShardState;
use serde_json::{Value, json};

use super::world::{Answer, World, failed, mapping, ok, record, stream};

/// Ten seconds each; `function` gets event and number of the call.
fn check(name: &str, at: &[u64], function: fn(&Value, usize) -> Answer, wanted: &[Value]) {
    let mapping = plan::Mapping {
        tumbling_window: Some(Duration::from_secs(10)),
        retries_max: Some(0),
        ..mapping()
    };
    let records = (1..)
        .zip(at)
        .map(|(number, at)| record(number, 1, Duration::from_secs(*at)));
    let open = stream("shard", None, ShardState::Open, records.collect());
    let mut world = World::new(&mapping, 1, Faults::default(), vec![open]);
    let mut nth = 0;
    let calls = world.run(Duration::from_secs(60), |call| {
        nth += 1;
        function(&call.event, nth)
    });
    let seen: Vec<Value> = calls
        .iter()
        .map(|call| {
            let event = &call.event;
            assert_eq!(
                (&event["shardId"], &event["eventSourceARN"]),
                (&json!("shard"), &json!("arn:stream"))
            );
            let state = &event["state"];
            let state = if state.to_string().len() > 100 {
                &json!("long")
            } else {
                state
            };
            json!([
                event["Records"].as_array().unwrap().len(),
                event["window"]["start"]
                    .as_str()
                    .unwrap()
                    .get(17..)
                    .unwrap(),
                state,
                event["isFinalInvokeForWindow"],
                event["isWindowTerminatedEarly"],
            ])
        })
        .collect();
    assert_eq!(seen, wanted, "{name}");
}

fn counting(event: &Value, _: usize) -> Answer {
    let before = event["state"]["count"].as_u64().unwrap_or_default();
    let count = before + event["Records"].as_array().unwrap().len() as u64;
    ok(&json!({ "state": { "count": count } }).to_string())
}

#[test]
fn state_goes_through_a_window_and_ends_with_it() {
    check(
        "two windows",
        &[1, 4, 12],
        counting,
        &[
            json!([1, "00Z", {}, false, false]),
            json!([1, "00Z", { "count": 1 }, false, false]),
            json!([0, "00Z", { "count": 2 }, true, false]),
            json!([1, "10Z", {}, false, false]),
            json!([0, "10Z", { "count": 1 }, true, false]),
        ],
    );
    check(
        "a state over 1 MB ends the window early, with the state before",
        &[1, 4, 6],
        |event, nth| match nth {
            2 => ok(&json!({ "state": { "fill": "x".repeat(1024 * 1024) } }).to_string()),
            _ => counting(event, nth),
        },
        &[
            json!([1, "00Z", {}, false, false]),
            json!([1, "00Z", { "count": 1 }, false, false]),
            json!([0, "00Z", { "count": 1 }, true, true]),
            json!([1, "00Z", {}, false, false]),
            json!([0, "00Z", { "count": 1 }, true, false]),
        ],
    );
    check(
        "what fails changes no state",
        &[1, 4],
        |event, nth| {
            if nth == 2 {
                failed()
            } else {
                counting(event, nth)
            }
        },
        &[
            json!([1, "00Z", {}, false, false]),
            json!([1, "00Z", { "count": 1 }, false, false]),
            json!([0, "00Z", { "count": 1 }, true, false]),
        ],
    );
}
