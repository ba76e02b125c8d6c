//! The README's function, word for word, behind `lift dev`: `lift ws` talks to it.

use std::{fs, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::running::{Running, within};

/// The first block of the README in a language.
fn block(language: &str) -> String {
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

async fn running(home: &Path, code: &str, template: &str) -> Running {
    let file = home.join("template.yaml");
    fs::write(&file, template).unwrap();
    fs::write(home.join("app.py"), code).unwrap();
    Running::start(&file, &[]).await
}

fn ws(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
    command
        .args(["ws", url])
        .args(args)
        .env_remove("LIFT_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Exit status, stdout and stderr of one run with nothing on stdin.
async fn ran(url: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let output = ws(url, args).stdin(Stdio::null()).output();
    let output = within("the end of `lift ws`", output).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_function_as_it_is_and_its_answer_is_printed_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let running = running(home.path(), &block("python"), &block("yaml")).await;
    let message = r#"{"action":"post","text":"hello"}"#;
    let answer = format!("you said {message}");
    let args = ["--quiet", "--send", message, "--expect", &answer];
    let (exit, stdout, stderr) = ran(&running.urls[0], &args).await;
    assert_eq!((stdout, stderr), (format!("{answer}\n"), String::new()));
    assert_eq!(exit, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_has_the_old_codes_answer_and_then_the_new() {
    let home = tempfile::tempdir().unwrap();
    let code = block("python");
    let mut running = running(home.path(), &code, &block("yaml")).await;
    let mut child = ws(&running.urls[0], &["--quiet"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"hello\n").await.unwrap();
    let line = within("an answer", lines.next_line()).await.unwrap();
    assert_eq!(line.as_deref(), Some("you said hello"));
    fs::write(home.path().join("app.py"), code.replace("said", "shouted")).unwrap();
    let replaced = |line: &serde_json::Value| {
        let text = line["text"].as_str().unwrap_or_default();
        text.contains("replaced")
    };
    running.line(replaced).await;
    stdin.write_all(b"hello\n").await.unwrap();
    let line = within("an answer", lines.next_line()).await.unwrap();
    assert_eq!(line.as_deref(), Some("you shouted hello"));
    drop(stdin);
    let ended = within("the end of `lift ws`", child.wait()).await.unwrap();
    assert!(ended.success(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_function_that_fails_is_called_once_and_the_help_names_it() {
    let home = tempfile::tempdir().unwrap();
    let route = "      Routes:\n        $connect:\n          FunctionArn: !GetAtt Echo.Arn\n";
    let template = block("yaml").replace("      Routes:\n", route);
    // Beside the code, so that a call is no edit of it.
    let calls = tempfile::NamedTempFile::new().unwrap();
    let path = calls.path().display();
    let code = format!(
        "def handler(event, context):\n    open('{path}', 'a').write('called;')\n    raise Exception('no')\n"
    );
    let running = running(home.path(), &code, &template).await;
    let (exit, stdout, stderr) = ran(&running.urls[0], &["--send", "hello"]).await;
    let help =
        "  help: the function behind `$connect` failed: its logs say why (`lift dev` prints them)";
    assert!(stderr.contains("answered with status 502"), "{stderr}");
    assert!(stderr.ends_with(&format!("{help}\n")), "{stderr}");
    assert_eq!((exit, &*stdout), (Some(5), ""));
    assert_eq!(fs::read_to_string(calls.path()).unwrap(), "called;");
}
