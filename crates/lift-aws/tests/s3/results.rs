//! In: results that are too large for a message. Out: whether their URLs give them to anyone, for as long as they should.

use std::convert::Infallible;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use lift::app::{App, Backends, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::outbound::Outbound;
use lift::outbound::memory::MemoryPosts;
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::announce::Results as _;
use lift::task::handle::Task;
use lift::task::memory::MemoryTasks;
use lift::task::record::Key;
use lift_aws::event::by_id;
use lift_aws::host::{Function, Invocation, Processor};
use lift_aws::s3::Bucket;
use lift_aws_client::client::Client;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::Instant;

use crate::moto::{self, BUCKET, S3, foreign};

/// What a tenant's id may have beside letters and digits, and some that has nothing of it.
const TENANTS: [&str; 3] = ["acme", "a|b:c@d+e=f", "auth0|123.4_5-6"];
const CONNECTION: &str = "W9In0cvXIAMCFvw=";

fn bucket(s3: &S3) -> Bucket {
    Bucket::new(&moto::aws("us-east-1"), BUCKET, Some(&s3.endpoint)).unwrap()
}

/// A plain `GET`, as any HTTP client makes it.
async fn fetched(client: &Client, url: &str) -> (StatusCode, Bytes) {
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let (head, body) = client.stream(request).await.unwrap().into_parts();
    (head.status, body.collect().await.unwrap().to_bytes())
}

/// An app whose action answers with so many bytes.
fn app(bucket: Bucket, posts: MemoryPosts) -> Runtime {
    let repeat = async |n: Json, _task: Task| {
        let text = "x".repeat(n.get().parse().unwrap());
        Ok::<_, Infallible>(Json::of(&text).unwrap())
    };
    App::new().task("repeat", repeat).bind(Backends {
        tasks: Arc::new(MemoryTasks::default()),
        connections: Connections::new(MemoryRegistry::default()),
        connection_age_max: Duration::MAX,
        rates: Arc::new(MemoryRates::default()),
        load: Load::default(),
        outbound: Outbound::new(posts),
        results: Arc::new(bucket),
        clock: Clock::system(),
    })
}

fn message(tenant: &str, body: &Value) -> String {
    json!({
        "requestContext": {
            "routeKey": "$default",
            "authorizer": {
                "principalId": "ada",
                "tenant": tenant,
                "user": "ada",
                "permissions": "[\"*\"]",
                "expiresAtMs": "33333333333333",
            },
            "messageId": "W9I-IeqhoAMCFvw=",
            "eventType": "MESSAGE",
            "extendedRequestId": "W9I-IFlqoAMFjZQ=",
            "requestTime": "21/Nov/2025:20:39:31 +0000",
            "messageDirection": "IN",
            "stage": "prod",
            "connectedAt": 1_763_757_569_117_u64,
            "requestTimeEpoch": 1_763_757_571_118_u64,
            "identity": { "sourceIp": "127.0.0.1" },
            "requestId": "W9I-IFlqoAMFjZQ=",
            "domainName": "localhost",
            "connectionId": CONNECTION,
            "apiId": "local",
        },
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test]
async fn a_result_that_no_message_holds_is_told_by_a_url_that_gives_it() {
    let Some(s3) = moto::start().await else {
        return;
    };
    let client = moto::aws("us-east-1");
    for tenant in TENANTS {
        let posts = MemoryPosts::default();
        let connection = ConnectionId::new(CONNECTION);
        posts.open(connection.clone());
        let runtime = app(bucket(&s3), posts.clone());
        let invocation = Invocation {
            until: Instant::now() + Duration::from_secs(60),
            trace: None,
        };
        let gateway = Function::Gateway(runtime.clone(), Arc::new(by_id));
        let asked = json!({"id": "1", "action": "repeat", "payload": 200_000});
        let event = message(tenant, &asked);
        let answer = gateway.invoke(event.as_bytes(), &invocation).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let acknowledged: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(acknowledged["type"], "acknowledgment", "{acknowledged}");

        let work = json!({"tenant": tenant, "user": "ada", "id": acknowledged["request_id"]});
        let processor = Function::Processor(Processor::new(runtime));
        let work = work.to_string();
        let ran = processor.invoke(work.as_bytes(), &invocation);
        assert_eq!(ran.await.unwrap(), "null");
        let told = posts.take(&connection);
        let told: Value = serde_json::from_slice(told.last().unwrap()).unwrap();
        assert_eq!(
            (&told["type"], &told["result"]),
            (&json!("complete"), &Value::Null)
        );
        let url = told["result_url"].as_str().unwrap();
        let (status, result) = fetched(&client, url).await;
        assert_eq!(status, StatusCode::OK, "{url}");
        assert!(result == json!("x".repeat(200_000)).to_string(), "{url}");
    }
}

#[tokio::test]
async fn botocore_signs_the_url_of_a_result_the_same() {
    let Some(s3) = moto::start().await else {
        return;
    };
    let kept = bucket(&s3);
    let aws = moto::aws("eu-west-1");
    let now = Timestamp::from_millis(aws.clock().now_ms());
    let mut urls = Vec::new();
    for endpoint in [
        None,
        Some("http://127.0.0.1:9000"),
        Some("https://s3.example:9000/"),
    ] {
        let bucket = Bucket::new(&aws, BUCKET, endpoint).unwrap();
        for tenant in TENANTS {
            let key = Key {
                owner: Owner::new(tenant, "ada").unwrap(),
                id: RequestId::from_parts(now, 1),
            };
            let name = kept.keep(&key, "1".into()).await.unwrap();
            urls.push(bucket.url(&key, &name, now + Duration::from_secs(3600)));
        }
    }
    let mut signing = Command::new(foreign(".venv/bin/python"))
        .arg(foreign("presigned.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = signing.stdin.take().unwrap();
    input.write_all(urls.join("\n").as_bytes()).await.unwrap();
    drop(input);
    let signed = signing.wait_with_output().await.unwrap();
    let theirs = String::from_utf8(signed.stdout).unwrap();
    let ours = urls
        .iter()
        .map(|url| url.split_once("&X-Amz-Signature=").unwrap().1);
    assert_eq!(
        ours.collect::<Vec<_>>(),
        theirs.lines().collect::<Vec<_>>(),
        "{urls:#?}"
    );
}
