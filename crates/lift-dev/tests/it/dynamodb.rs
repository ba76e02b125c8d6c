//! The plan's tables on a real DynamoDB Local, and what is said where there is none.

use std::path::Path;

use lift_aws_client::sigv4::Credentials;
use lift_dev::dynamodb::Client;
use lift_dev::dynamodb::local::{Local, find, how_to_get};
use lift_dev::dynamodb::tables::{Made, make, stream_arn};
use lift_dev::plan::Table;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::dynamodb_local::start;

fn table(name: &str, hash: &str, view: Option<&str>) -> Table {
    let mut create = json!({
        "KeySchema": [
            { "AttributeName": hash, "KeyType": "HASH" },
            { "AttributeName": "sk", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": hash, "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "N" },
        ],
        "BillingMode": "PAY_PER_REQUEST",
    });
    if let Some(view) = view {
        create["StreamSpecification"] = json!({ "StreamViewType": view });
    }
    Table {
        logical_id: "Connections".to_owned(),
        name: name.to_owned(),
        create,
        ttl_attribute: Some("expires".to_owned()),
    }
}

#[tokio::test]
async fn tables_of_the_plan_are_made_once_and_others_are_not_touched() {
    let Some(local) = start().await else {
        return;
    };
    let client = local.client("eu-west-1").unwrap();
    let wanted = table("connections", "pk", None);
    assert_eq!(make(&client, &wanted).await.unwrap(), Made::New);
    assert_eq!(make(&client, &wanted).await.unwrap(), Made::There);
    assert_eq!(stream_arn(&client, "connections").await.unwrap(), None);

    let named = json!({ "TableName": "connections" });
    let ttl = client
        .call("DynamoDB_20120810.DescribeTimeToLive", &named)
        .await;
    let ttl: Value = serde_json::from_slice(&ttl.unwrap()).unwrap();
    let set = json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": "expires" });
    assert_eq!(ttl["TimeToLiveDescription"], set);

    let streamed = table("connections", "pk", Some("NEW_IMAGE"));
    assert_eq!(make(&client, &streamed).await.unwrap(), Made::There);
    let arn = stream_arn(&client, "connections").await.unwrap().unwrap();
    assert!(arn.contains("table/connections/stream/"), "{arn}");

    let different = [
        (
            table("connections", "id", None),
            "keys `HASH pk S, RANGE sk N` instead of `HASH id S, RANGE sk N`",
        ),
        (
            table("connections", "pk", Some("KEYS_ONLY")),
            "stream view `NEW_IMAGE` instead of `KEYS_ONLY`",
        ),
    ];
    for (other, difference) in different {
        let error = make(&client, &other).await.unwrap_err().to_string();
        assert!(error.contains(difference), "{error}");
    }

    // Whatever keys and region a function has, it sees the same tables.
    let credentials = Credentials {
        access_key: "AKIDOTHER".to_owned(),
        secret_key: "other".to_owned(),
        session_token: Some("token".to_owned()),
    };
    let other = Client::new(local.endpoint(), "us-east-1", credentials).unwrap();
    assert_eq!(make(&other, &streamed).await.unwrap(), Made::There);
    let missing = stream_arn(&other, "nowhere").await.unwrap_err();
    assert!(missing.is("ResourceNotFoundException"), "{missing}");

    let endpoint = local.endpoint().to_owned();
    local.stop().await.unwrap();
    let authority = endpoint.strip_prefix("http://").unwrap();
    assert!(
        std::net::TcpStream::connect(authority).is_err(),
        "{endpoint} still answers"
    );
}

/// A DynamoDB of one connection a request, with these answers; what it was sent comes out.
async fn endpoint(
    answers: Vec<(u16, &'static str)>,
) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"a\":1}") {
                assert!(
                    socket.read_buf(&mut request).await.unwrap() > 0,
                    "it breaks off"
                );
            }
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    (url, serving)
}

#[tokio::test]
async fn passing_failures_are_tried_again_signed_and_others_are_not() {
    let throttled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#;
    let refused = r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no"}"#;
    let cases: [(Vec<(u16, &str)>, Result<&str, &str>); 3] = [
        (vec![(500, ""), (400, throttled), (200, "{}")], Ok("{}")),
        (vec![(400, refused)], Err("X.Y: ValidationException: no")),
        (vec![(400, throttled); 6], Err("X.Y: ThrottlingException: ")),
    ];
    for (answers, wanted) in cases {
        let tries = answers.len();
        let (url, serving) = endpoint(answers).await;
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "secret".to_owned(),
            session_token: None,
        };
        let client = Client::new(&url, "eu-west-1", credentials).unwrap();
        let answer = client.call("X.Y", &json!({ "a": 1 })).await;
        let answer = answer.map(|body| String::from_utf8(body.to_vec()).unwrap());
        let answer = answer.map_err(|error| error.to_string());
        assert_eq!(answer, wanted.map(str::to_owned).map_err(str::to_owned));
        let requests = serving.await.unwrap();
        assert_eq!(requests.len(), tries);
        for request in requests {
            assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\nx-amz-target: X.Y\r\n"), "{request}");
            let scope = "/eu-west-1/dynamodb/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, ";
            assert!(request.contains(scope), "{request}");
        }
    }
    for wrong in ["localhost:8000", "ftp://localhost", "/x"] {
        let credentials = Credentials {
            access_key: String::new(),
            secret_key: String::new(),
            session_token: None,
        };
        assert!(
            Client::new(wrong, "eu-west-1", credentials).is_err(),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn jars_that_are_none_end_with_the_command_that_shows_why() {
    if std::process::Command::new("java")
        .arg("-version")
        .output()
        .is_err()
    {
        println!("skipped: a start that fails (`java` is not installed)");
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    let error = Local::start(empty.path()).await.unwrap_err().to_string();
    assert!(
        error.contains("ended with exit status: 1; to see why: \"java\" "),
        "{error}"
    );
}

#[test]
fn who_has_no_dynamodb_local_is_told_how_to_get_it() {
    let empty = tempfile::tempdir().unwrap();
    let error = find(None, empty.path()).unwrap_err().to_string();
    let directory = empty.path().join("lift/dynamodb-local");
    assert!(error.contains(&how_to_get(&directory)), "{error}");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dynamodb-local/pom.xml");
    let pom = std::fs::read_to_string(pom).unwrap();
    let version = |text: &str| {
        let (_, rest) = text.split_once("DynamoDBLocal</artifactId>").unwrap();
        rest.trim().split("</version>").next().unwrap().to_owned()
    };
    assert_eq!(
        version(&error),
        version(&pom),
        "CI runs what users are told to get"
    );
}
