//! In: Lambda's `Invoke` over HTTP, and events that are queued. Out: the responses, tries and records.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use lift_dev::lambda::{Refused, Settings};
use lift_dev::plan::{Asynchronous, Destination};
use serde_json::{Value, json};

use super::{Run, SOON, function};

const ECHO: &str = "
import json, os
def handler(event, context):
    if event == 'fail':
        open('tries', 'a').write(context.aws_request_id + '\\n')
        raise ValueError('no')
    return [event, context.client_context is not None]
";

fn run() -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let mut one = function(directory.path(), "one", "app.py", ECHO);
    one.asynchronous = Asynchronous {
        on_failure: Some(Destination {
            arn: "arn:aws:sqs:eu-central-1:123456789012:failed".to_owned(),
        }),
        ..Asynchronous::default()
    };
    one.qualifiers = vec!["1".to_owned(), "live".to_owned()];
    let mut none = function(directory.path(), "none", "app.py", ECHO);
    none.concurrency_max = Some(0);
    let mut settings = Settings::default();
    settings.failures = directory.path().join("failures");
    settings.speed = NonZeroU32::new(600).expect("it is not 0");
    Run::new(directory, vec![one, none], settings)
}

async fn post(
    run: &Run,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Option<Response<Full<Bytes>>> {
    let mut request = Request::post(format!("http://localhost{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    run.functions.handle(request).await
}

/// Status, `X-Amz-Function-Error` and `x-amzn-ErrorType` as words, and the body.
async fn parts(response: Response<Full<Bytes>>) -> (String, Value) {
    use http_body_util::BodyExt as _;
    let text = |name: &str| {
        let value = response.headers().get(name);
        value.map_or("-", |value| value.to_str().expect("text"))
    };
    assert_ne!(text("x-amzn-RequestId"), "-");
    let status = response.status().as_u16();
    let executed = text("X-Amz-Executed-Version");
    assert_eq!(executed == "$LATEST", status == 200, "{executed}");
    let (failed, refused) = (text("X-Amz-Function-Error"), text("x-amzn-ErrorType"));
    let words = format!("{status} {failed} {refused}");
    let body = response.into_body().collect().await.expect("a body");
    let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    (words, body)
}

type Headers<'a> = &'a [(&'a str, &'a str)];

const EVENT: Headers<'_> = &[("X-Amz-Invocation-Type", "Event")];
const DRY: Headers<'_> = &[("X-Amz-Invocation-Type", "DryRun")];
const CONTEXT: Headers<'_> = &[("X-Amz-Client-Context", "eyJjdXN0b20iOnt9fQ==")];

#[tokio::test(flavor = "multi_thread")]
async fn invoke_answers_as_lambda_does() {
    let run = run();
    let large = format!("\"{}\"", "x".repeat(6 * 1024 * 1024));
    let arn = "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Aone%3Alive";
    let absent = "404 - ResourceNotFoundException";
    let cases: [(&str, Headers<'_>, &str, &str, Value); 17] = [
        ("one:1", &[], "7", "200 - -", json!([7, false])),
        ("one:none", &[], "7", absent, json!(null)),
        (
            "one?Qualifier=%24LATEST",
            &[],
            "7",
            "200 - -",
            json!([7, false]),
        ),
        ("one?Qualifier=none", &[], "7", absent, json!(null)),
        ("one:2", &[], "7", absent, json!(null)),
        ("none:live", &[], "7", absent, json!(null)),
        ("one", &[], "7", "200 - -", json!([7, false])),
        ("one:$LATEST", &[], "7", "200 - -", json!([7, false])),
        (arn, CONTEXT, "7", "200 - -", json!([7, true])),
        ("one", &[], "", "200 - -", json!([{}, false])),
        (
            "one",
            &[],
            "\"fail\"",
            "200 Unhandled -",
            json!("ValueError"),
        ),
        (
            "two",
            &[],
            "7",
            "404 - ResourceNotFoundException",
            json!(null),
        ),
        (
            "none",
            &[],
            "7",
            "429 - TooManyRequestsException",
            json!(null),
        ),
        (
            "one",
            &[],
            &large,
            "413 - RequestTooLargeException",
            json!(null),
        ),
        (
            "one",
            EVENT,
            &large,
            "413 - RequestTooLargeException",
            json!(null),
        ),
        ("one", DRY, "7", "204 - -", json!(null)),
        (
            "one",
            &[],
            "{",
            "400 - InvalidRequestContentException",
            json!(null),
        ),
    ];
    for (name, headers, body, expected, answer) in cases {
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let path = format!("/2015-03-31/functions/{name}/invocations?{query}");
        let response = post(&run, &path, headers, body.to_owned()).await;
        let (words, mut body) = parts(response.unwrap()).await;
        if let Some(object) = body.as_object_mut() {
            body = object.remove("errorType").unwrap_or_default();
        }
        assert_eq!((words.as_str(), body), (expected, answer), "{name}");
    }
    assert!(post(&run, "/2015-03-31/functions", &[], "").await.is_none());
    run.functions.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_ten_seconds() {
    let run = run();
    let request = Request::post("http://localhost/2015-03-31/functions/one/invocations");
    let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let request = request.body(StreamBody::new(never)).expect("a request");
    let begun = tokio::time::Instant::now();
    let answering = tokio::time::timeout(SOON, run.functions.handle(request));
    let response = answering.await.expect("an answer").expect("it is one");
    assert_eq!(response.status(), 408);
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(11)).contains(&took),
        "{took:?}"
    );
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_tried_three_times_and_recorded() {
    let run = run();
    let path = "/2015-03-31/functions/one/invocations";
    let response = post(&run, path, EVENT, "\"fail\"").await.unwrap();
    assert_eq!(parts(response).await.0, "202 - -");
    let file = run.directory.path().join("failures/failed.jsonl");
    let written = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let record = tokio::time::timeout(SOON, written).await.unwrap();
    let mut record: Value = serde_json::from_str(&record).unwrap();
    let request_id = record["requestContext"]["requestId"]
        .as_str()
        .unwrap()
        .to_owned();
    let tries = std::fs::read_to_string(run.directory.path().join("one/tries")).unwrap();
    assert_eq!(tries, format!("{request_id}\n").repeat(3));
    record["timestamp"] = json!("now");
    record["responsePayload"]["stackTrace"] = json!([]);
    let expected = json!({
        "version": "1.0",
        "timestamp": "now",
        "requestContext": {
            "requestId": request_id,
            "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:one:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": "fail",
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": { "errorMessage": "no", "errorType": "ValueError", "stackTrace": [] },
    });
    assert_eq!(record, expected);
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_events_is_bounded() {
    let run = run();
    let call = || Run::call("none", &json!(1));
    for _ in 0..1_000 {
        run.functions.enqueue(call()).unwrap();
    }
    let function = "none".to_owned();
    assert_eq!(
        run.functions.enqueue(call()),
        Err(Refused::Full { function })
    );
    run.functions.shut_down().await;
    assert_eq!(run.functions.enqueue(call()), Err(Refused::ShuttingDown));
}
