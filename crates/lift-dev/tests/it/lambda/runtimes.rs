//! In: functions for the runtimes of Lambda. Out: whether each starts and answers, or says what is missing.

use lift_dev::feed::{Entry, Feed};
use lift_dev::lambda::{Failure, Functions, Settings};
use lift_dev::plan::Plan;
use serde_json::{Value, json};

use super::{Run, function, one, raw};

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_each_runtime_answer() {
    let cases = [
        (
            "app.py",
            r#"
import os
def handler(event, context):
    left = context.get_remaining_time_in_millis()
    return [event, context.function_name, os.environ["COLOUR"], 9000 < left <= 10000]
"#,
        ),
        (
            "index.js",
            "exports.handler = async (event, context) => [event, context.functionName,
                process.env.COLOUR, context.getRemainingTimeInMillis() > 9000];",
        ),
        (
            "index.mjs",
            "export const handler = async (event, context) => [event, context.functionName,
                process.env.COLOUR, context.getRemainingTimeInMillis() > 9000];",
        ),
        (
            "callback.cjs",
            "exports.handler = (event, context, done) => { setTimeout(() => done(null, [event,
                context.functionName, process.env.COLOUR, true]), 5); };",
        ),
    ];
    for (file, text) in cases {
        let run = one(file, text);
        for number in 0..3 {
            let answer = run.invoke("one", json!({ "n": number })).await;
            let expected = json!([{ "n": number }, "one", "blue", true]);
            assert_eq!(answer, Ok(expected), "{file}");
        }
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_function_are_what_lambda_reports() {
    let python = r#"
class Odd(Exception): pass
def handler(event, context):
    raise Odd("no " + event)
"#;
    let node = "class Odd extends Error { constructor(text) { super(text); this.name = 'Odd'; } }
        exports.handler = async (event) => { throw new Odd('no ' + event); };";
    for (file, text, trace) in [
        ("app.py", python, "stackTrace"),
        ("index.js", node, "trace"),
    ] {
        let run = one(file, text);
        for _ in 0..2 {
            let failure = run.invoke("one", json!("tea")).await.unwrap_err();
            let Failure::FunctionError {
                error_type,
                message,
                payload,
            } = failure
            else {
                panic!("{failure:?}");
            };
            assert_eq!((error_type.as_str(), message.as_str()), ("Odd", "no tea"));
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            assert!(payload[trace].is_array(), "{payload}");
        }
        assert_eq!(run.count("one"), 1, "{file}: the environment lives on");
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_outside_of_a_node_handlers_call_are_reported_and_end_the_process() {
    let run = one(
        "index.js",
        "exports.handler = (event, context, done) => {
            if (event === 'throw') setTimeout(() => { throw new RangeError('late'); }, 1);
            else if (event === 'reject') Promise.reject(new Error('lost'));
            else if (event === 'callback') done(new TypeError('told'));
            else if (event === 'nothing') return;
            else { context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); done(null, event); }
        };",
    );
    let cases = [
        ("fine", Ok(json!("fine"))),
        ("throw", Err(("RangeError", "late"))),
        ("nothing", Ok(json!(null))),
        (
            "reject",
            Err(("Runtime.UnhandledPromiseRejection", "Error: lost")),
        ),
        ("callback", Err(("TypeError", "told"))),
    ];
    for (event, expected) in cases {
        let answer = run.invoke("one", json!(event)).await;
        let answer = answer.as_ref().map_err(|failure| match failure {
            Failure::FunctionError {
                error_type,
                message,
                ..
            } => (error_type.as_str(), message.as_str()),
            other => panic!("{event}: {other:?}"),
        });
        assert_eq!(answer, expected.as_ref().map_err(|error| *error), "{event}");
    }
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_is_tried_twice_and_reported() {
    let cases = [
        (
            "app.py",
            "import nothing_like_it",
            "Runtime.ImportModuleError",
        ),
        ("app.py", "def handler(:", "Runtime.UserCodeSyntaxError"),
        ("app.py", "1 / 0", "ZeroDivisionError"),
        ("app.py", "x = 1", "Runtime.HandlerNotFound"),
        (
            "index.mjs",
            "export const x = 1;",
            "Runtime.HandlerNotFound",
        ),
        (
            "index.mjs",
            "import 'nothing-like-it';",
            "Runtime.ImportModuleError",
        ),
        ("bootstrap", "#!/bin/sh\nexit 3", "Runtime.ExitError"),
        (
            "bootstrap",
            "#!/no/such/program",
            "Runtime.InvalidEntrypoint",
        ),
    ];
    for (file, text, expected) in cases {
        let run = one(file, &format!("{text}\n"));
        let failure = run.invoke("one", json!({})).await.unwrap_err();
        assert!(
            matches!(failure, Failure::InitFailed { .. }),
            "{file}: {failure:?}"
        );
        assert_eq!(failure.error_type(), expected, "{text}");
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn awslambdaric_runs_where_it_is_installed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = root.join("../../tests/foreign/.venv");
    let site = std::fs::read_dir(venv.join("lib"))
        .into_iter()
        .flatten()
        .flatten();
    let mut sites = site.map(|python| python.path().join("site-packages/awslambdaric"));
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: awslambdaric (SKIP_FOREIGN=1)");
        return;
    }
    assert!(
        sites.any(|path| path.exists()),
        "awslambdaric is missing in tests/foreign; `cargo x ci` installs it"
    );
    let directory = tempfile::tempdir().unwrap();
    let text = "
import sys
def handler(event, context):
    return [event, 'awslambdaric' in sys.modules, context.aws_request_id != '']
";
    let one = function(directory.path(), "one", "app.py", text);
    std::os::unix::fs::symlink(venv.canonicalize().unwrap(), one.code.join(".venv")).unwrap();
    let run = Run::new(directory, vec![one], Settings::default());
    let answer = run.invoke("one", json!("ping")).await;
    assert_eq!(answer, Ok(json!(["ping", true, true])));
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_without_the_official_client_is_told_once() {
    let mut run = one("app.py", "def handler(event, context): return 1\n");
    for _ in 0..3 {
        run.invoke("one", json!({})).await.unwrap();
    }
    let notice =
        |entry: &Entry| matches!(entry, Entry::Notice { text } if text.contains("awslambdaric"));
    run.entry(notice).await;
    run.functions.shut_down().await;
    let mut more = 0;
    while let Ok(happened) = run.feed.try_recv() {
        more += usize::from(notice(&happened.entry));
    }
    assert_eq!(more, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_see_lambdas_variables_and_not_the_developers() {
    let run = one(
        "bootstrap",
        &raw("
id, event, response = next()
answer(id, [dict(os.environ), os.getcwd(), dict(response.headers)])
next()
"),
    );
    let answer = run.invoke("one", json!({})).await.unwrap();
    let (variables, headers) = (&answer[0], &answer[2]);
    let code = run.directory.path().join("one");
    let expected = [
        ("AWS_LAMBDA_FUNCTION_NAME", "one"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/one"),
        ("AWS_LAMBDA_LOG_FORMAT", "Text"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_SESSION_TOKEN", "lift/one"),
        ("_HANDLER", "bootstrap.handler"),
        ("LAMBDA_TASK_ROOT", code.to_str().unwrap()),
        ("TZ", ":UTC"),
        ("COLOUR", "blue"),
    ];
    for (name, value) in expected {
        assert_eq!(variables[name], value, "{name}");
    }
    for absent in [
        "CARGO_MANIFEST_DIR",
        "AWS_EXECUTION_ENV",
        "_X_AMZN_TRACE_ID",
    ] {
        assert_eq!(variables[absent], Value::Null, "{absent}");
    }
    assert_eq!(answer[1], code.canonicalize().unwrap().to_str().unwrap());
    let deadline: i64 = headers["lambda-runtime-deadline-ms"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    assert!(
        (now..now + 10_000).contains(&deadline),
        "{deadline} at {now}"
    );
    let trace = headers["lambda-runtime-trace-id"].as_str().unwrap();
    assert!(
        trace.starts_with("Root=1-") && trace.ends_with(";Sampled=0"),
        "{trace}"
    );
    assert_eq!(headers["lambda-runtime-cognito-identity"], Value::Null);
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_and_a_command_run_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("code.zip");
    let write = |answer: &str| {
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file("bootstrap", options).unwrap();
        let text = raw(&format!(
            "while True:\n    id, event, _ = next()\n    answer(id, '{answer}')\n"
        ));
        std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
        zip.finish().unwrap();
    };
    write("first");
    let mut zipped = function(directory.path(), "zipped", "unused", "");
    zipped.code = path.clone();
    let mut command = function(
        directory.path(),
        "command",
        "main.py",
        &raw("
id, event, _ = next()
answer(id, sys.argv[1:])
next()
"),
    );
    let words = ["python3", "main.py", "a b"];
    command.command = Some(words.map(ToOwned::to_owned).to_vec());
    let run = Run::new(directory, vec![zipped, command], Settings::default());
    assert_eq!(run.invoke("zipped", json!(1)).await, Ok(json!("first")));
    assert_eq!(run.invoke("command", json!(1)).await, Ok(json!(["a b"])));
    write("second");
    assert_eq!(run.invoke("zipped", json!(1)).await, Ok(json!("first")));
    run.functions.replace("zipped").await.unwrap();
    assert_eq!(run.invoke("zipped", json!(1)).await, Ok(json!("second")));
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let named = |file: &str, change: &dyn Fn(&mut lift_dev::plan::Function)| {
        let mut function = function(directory.path(), "one", file, "");
        change(&mut function);
        let plan = Plan {
            functions: vec![function],
            ..Plan::default()
        };
        let (feed, _entries) = Feed::new();
        Functions::new(&plan, Settings::default(), feed)
            .unwrap_err()
            .to_string()
    };
    let code = directory.path().join("one").display().to_string();
    let cases = [
        (
            named("app.py", &|function| function.handler = "ap.handler".to_owned()),
            format!("function `one`: handler `ap.handler` needs `{code}/ap.py`; there is `app.py`"),
        ),
        (
            named("main.go", &|_| {}),
            format!("function `one`: `{code}` has no executable `bootstrap`"),
        ),
        (
            named("app.py", &|function| function.runtime = "pyton3.12".to_owned()),
            "function `one`: runtime `pyton3.12` cannot be run here; there is `python3.12`; give it a command or a `bootstrap`".to_owned(),
        ),
        (
            named("app.py", &|function| function.code = "/no/such".into()),
            "function `one`: there is no `/no/such`".to_owned(),
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}
