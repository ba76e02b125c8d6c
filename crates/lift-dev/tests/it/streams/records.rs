//! Records of `GetRecords` as a Lambda event has them.

use std::time::Duration;

use lift_dev::streams::record::{Origin, Record};
use lift_gateway::Timestamp;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

fn record(keys: &Value, created: f64) -> Value {
    json!({
        "eventID": "e", "eventName": "REMOVE", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": "ddblocal",
        "dynamodb": {
            "ApproximateCreationDateTime": created, "Keys": keys,
            "OldImage": { "big": { "N": "12345678901234567890.1234567890" } },
            "SequenceNumber": "300", "SizeBytes": 26, "StreamViewType": "OLD_IMAGE",
        },
        "userIdentity": { "PrincipalId": "dynamodb.amazonaws.com", "Type": "Service" },
    })
}

fn parse(value: &Value, now: Timestamp) -> Record {
    let origin = Origin {
        region: "eu-west-1".to_owned(),
        arn: "arn:stream".to_owned(),
    };
    Record::parse(&to_raw_value(value).unwrap(), &origin, now).unwrap()
}

#[test]
fn a_record_has_lambdas_form_and_its_images_as_they_came() {
    let now = Timestamp::from_epoch_ms(1_795_644_920_000);
    let parsed = parse(
        &record(&json!({ "pk": { "S": "a" } }), 1_795_644_904.5),
        now,
    );
    let wanted = concat!(
        r#"{"eventID":"e","eventName":"REMOVE","eventVersion":"1.1","eventSource":"aws:dynamodb","#,
        r#""awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":1795644904,"#,
        r#""Keys":{"pk":{"S":"a"}},"OldImage":{"big":{"N":"12345678901234567890.1234567890"}},"#,
        r#""SequenceNumber":"300","SizeBytes":26,"StreamViewType":"OLD_IMAGE"},"#,
        r#""userIdentity":{"principalId":"dynamodb.amazonaws.com","type":"Service"},"#,
        r#""eventSourceARN":"arn:stream"}"#,
    );
    assert_eq!(&*parsed.json, wanted);
    assert_eq!(
        (parsed.sequence.as_str(), parsed.arrived.epoch_ms()),
        ("300", 1_795_644_904_500)
    );
}

#[test]
fn an_item_has_one_key_however_its_numbers_are_written() {
    let key = |keys: Value| parse(&record(&keys, 1.5), Timestamp::default()).key;
    let first = key(json!({ "pk": { "S": "a" }, "sk": { "N": "1.5" } }));
    assert_eq!(
        first,
        key(json!({ "sk": { "N": "1.50" }, "pk": { "S": "a" } }))
    );
    assert_ne!(
        first,
        key(json!({ "pk": { "S": "a" }, "sk": { "N": "1.6" } }))
    );
    assert_ne!(
        first,
        key(json!({ "pk": { "S": "a" }, "sk": { "S": "1.5" } }))
    );
}

#[test]
fn a_minute_of_dynamodb_local_is_when_the_record_was_read() {
    let minute = Timestamp::from_epoch_ms(1_795_644_900_000);
    let cases = [
        (1_795_644_900.0, 59_000, 59_000),
        (1_795_644_900.0, 61_000, 0),
        (1_795_644_901.0, 59_000, 1_000),
    ];
    for (created, read_ms, arrived_ms) in cases {
        let read = minute + Duration::from_millis(read_ms);
        let parsed = parse(&record(&json!({ "pk": { "S": "a" } }), created), read);
        assert_eq!(parsed.arrived, minute + Duration::from_millis(arrived_ms));
    }
}
