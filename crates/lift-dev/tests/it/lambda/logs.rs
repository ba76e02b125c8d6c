//! In: functions that log, print and fail. Out: whether their lines are those of Lambda's runtimes.

use lift_dev::lambda::Settings;
use lift_dev::plan::Logging;
use serde_json::{Value, json};

use super::{Run, function, one};

const LOGGING: &str = r#"
import logging
logging.getLogger("quiet").info("lost")
def handler(event, context):
    logger = logging.getLogger()
    if event == "info":
        logger.setLevel(logging.INFO)
    logger.info("told %s", context.aws_request_id, extra={"order": 7})
    logging.getLogger("inner").warning("heeded")
    return context.aws_request_id
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_python_logs_is_in_lambdas_format() {
    let mut run = one("app.py", LOGGING);
    let first = run.invoke("one", json!("default")).await.unwrap();
    let second = run.invoke("one", json!("info")).await.unwrap();
    for (id, level, text) in [
        (&first, "WARNING", "heeded".to_owned()),
        (
            &second,
            "INFO",
            format!("told {}", second.as_str().unwrap()),
        ),
        (&second, "WARNING", "heeded".to_owned()),
    ] {
        // The root's level is WARNING until the function sets it: `told` is not said at first.
        let line = run.line("\t").await;
        let parts: Vec<_> = line.split('\t').collect();
        let [found, time, request, message] = parts.as_slice() else {
            panic!("{line:?}");
        };
        let level = format!("[{level}]");
        let id = id.as_str().unwrap();
        assert_eq!((*found, *request, *message), (&*level, id, &*text));
        let pattern: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(pattern, "0000-00-00T00:00:00.000Z");
    }
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_logs_is_json_where_the_function_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut one = function(directory.path(), "one", "app.py", LOGGING);
    one.logging = Logging::Json("INFO".to_owned());
    let mut run = Run::new(directory, vec![one], Settings::default());
    let id = run.invoke("one", json!("default")).await.unwrap();
    // At the level of the configuration, also before the handler runs.
    for (level, logger, text) in [
        ("INFO", "quiet", "lost"),
        ("INFO", "root", &*format!("told {}", id.as_str().unwrap())),
        ("WARNING", "inner", "heeded"),
    ] {
        let line = run.line("{").await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["level"], &line["logger"]),
            (&json!(level), &json!(logger))
        );
        assert_eq!(line["message"], text);
        if logger == "root" {
            assert_eq!((&line["requestId"], &line["order"]), (&id, &json!(7)));
        }
    }
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_pythons_decimal_are_json_numbers() {
    let run = one(
        "app.py",
        r#"
from decimal import Decimal
def handler(event, context):
    return {"price": Decimal("12.3400000000000000001"), "list": [Decimal(3), Decimal("1E+2"), "x", 0.5],
            "text": "é"}
"#,
    );
    let call = Run::call("one", &json!({}));
    let answer = run.functions.invoke(call).await.unwrap();
    let expected = r#"{"price": 12.3400000000000000001, "list": [3, 1E+2, "x", 0.5], "text": "é"}"#;
    assert_eq!(std::str::from_utf8(&answer).unwrap(), expected);
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_not_glued_to_a_later_invocations() {
    let cases = [
        (
            "app.py",
            "
import sys
def handler(event, context):
    sys.stdout.write(event)
    sys.stdout.flush()
",
        ),
        (
            "index.js",
            "exports.handler = async (event) => { process.stdout.write(event); };",
        ),
    ];
    for (file, text) in cases {
        let mut run = one(file, text);
        for event in ["first", "second"] {
            run.invoke("one", json!(event)).await.unwrap();
            assert_eq!(run.line(event).await, event, "{file}");
        }
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_error_is_one_line_as_lambda_writes_it() {
    let mut run = one(
        "index.js",
        "exports.handler = async () => { throw Object.assign(new TypeError('no tea'), { code: 'E1' }); };",
    );
    run.invoke("one", json!({})).await.unwrap_err();
    let line = run.line("no tea").await;
    let (head, body) = line.split_once('{').unwrap();
    assert_eq!(head, "ERROR\tInvoke Error\t");
    let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    assert_eq!(
        (text("errorType"), text("errorMessage"), text("code")),
        ("TypeError", "no tea", "E1")
    );
    assert_eq!(body["trace"], Value::Null, "{line}");
    let stack = body["stack"].as_array().unwrap();
    assert_eq!(stack[0], "TypeError: no tea");
    assert!(stack.len() > 1, "{line}");
    assert!(!line.contains("bootstrap.mjs"), "{line}");
    run.functions.shut_down().await;
}
