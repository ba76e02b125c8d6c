//! In: functions that behave and functions that do not. Out: whether they run as on Lambda, and hurt no other.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use lift_dev::feed::{Entry, Feed};
use lift_dev::lambda::{Call, Failure, Functions, Settings};
use lift_dev::plan::{Asynchronous, Function, Plan};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

/// Time in which what is waited for must come.
const SOON: Duration = Duration::from_secs(20);

/// Functions of a plan, with where their files and what they report are.
struct Run {
    functions: Functions,
    feed: Receiver<Entry>,
    _directory: TempDir,
}

/// A function from one file: `NAME.py` is Python's, `NAME.mjs` Node's, anything else a `bootstrap`.
fn function(directory: &Path, name: &str, file: &str, text: &str) -> Function {
    let code = directory.join(name);
    fs::create_dir_all(&code).unwrap();
    fs::write(code.join(file), text).unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(code.join(file), mode).unwrap();
    let (module, ending) = file.split_once('.').unwrap_or((file, ""));
    Function {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        runtime: match ending {
            "py" => "python3.12",
            "js" | "mjs" | "cjs" => "nodejs20.x",
            _ => "provided.al2023",
        }
        .to_owned(),
        handler: format!("{module}.handler"),
        code,
        command: None,
        build: None,
        watch: Vec::new(),
        memory_mb: 128,
        timeout: Duration::from_secs(10),
        environment: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        concurrency_max: None,
        asynchronous: Asynchronous::default(),
        statements: Vec::new(),
    }
}

impl Run {
    fn new(directory: TempDir, functions: Vec<Function>, settings: Settings) -> Self {
        let plan = Plan {
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            functions,
            ..Plan::default()
        };
        let (feed, entries) = Feed::new();
        Self {
            functions: Functions::new(&plan, settings, feed).unwrap(),
            feed: entries,
            _directory: directory,
        }
    }

    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, Failure> {
        let call = Call {
            function: function.to_owned(),
            payload: Bytes::from(payload.to_string()),
            cause: "test".to_owned(),
            request_id: None,
            trace: None,
            deadline: Some(SOON),
        };
        let answer = self.functions.invoke(call).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }
}

fn one(file: &str, text: &str) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let function = function(directory.path(), "one", file, text);
    Run::new(directory, vec![function], Settings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_function_answers() {
    let run = one(
        "app.py",
        r#"
import os
print("starts")
def handler(event, context):
    return {
        "event": event,
        "name": context.function_name,
        "colour": os.environ["COLOUR"],
        "left": 9000 < context.get_remaining_time_in_millis() <= 10000,
        "arn": context.invoked_function_arn,
    }
"#,
    );
    let answer = run.invoke("one", json!({"a": 1})).await;
    let expected = json!({
        "event": {"a": 1},
        "name": "one",
        "colour": "blue",
        "left": true,
        "arn": "arn:aws:lambda:eu-central-1:123456789012:function:one",
    });
    assert_eq!(answer, Ok(expected));
    run.functions.shut_down().await;
}
