//! Ctrl-C while a function works. Out: what is said, and how soon everything ends.

use std::time::{Duration, Instant};

use crate::running::{Running, Shown, project, within};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = { function = "work", two_way = true }
[function.work]
runtime = "python3.12"
handler = "app.handler"
code = "code"
timeout_s = 900
"#;

/// Works once its process is in the file `at-work`: for long, or with `until` until there is the file `go`.
const CODE: &str = "
import os, time
def handler(event, context):
    with open('new', 'w') as file:
        file.write(str(os.getpid()))
    os.rename('new', 'at-work')
    if event['body'] == 'sleep':
        time.sleep(900)
    while not os.path.exists('go'):
        time.sleep(0.01)
    return {'statusCode': 200, 'body': 'done'}
";

fn home() -> tempfile::TempDir {
    project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)])
}

/// The process of the function, once it has begun its work.
async fn at_work(home: &tempfile::TempDir) -> u32 {
    let file = home.path().join("code/at-work");
    let begun = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(process) => return process.parse().unwrap(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    within("the function", begun).await
}

const WAITS: &str = "stopping, when 1 invocation has ended; a second Ctrl-C ends it at once";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ctrl_c_says_what_it_waits_for() {
    let home = home();
    let mut running = Running::start(&home.path().join("lift.toml"), &[]).await;
    let mut client = running.client("").await;
    client.send("until").await;
    at_work(&home).await;
    running.interrupt();
    running.line(|line| line["text"] == WAITS).await;
    std::fs::write(home.path().join("code/go"), "").unwrap();
    assert_eq!(client.next().await, "done");
    assert_eq!(running.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_it_at_once() {
    let home = home();
    let mut running = Running::start(&home.path().join("lift.toml"), &[]).await;
    let mut client = running.client("").await;
    client.send("sleep").await;
    let process = at_work(&home).await;
    running.interrupt();
    running.line(|line| line["text"] == WAITS).await;
    let begun = Instant::now();
    running.interrupt();
    assert_eq!(running.ended().await.code(), Some(130));
    let took = begun.elapsed();
    // What is asked of a machine that others use, too; the first one alone waits ten seconds or more.
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let process = format!("/proc/{process}/cmdline");
    let gone = async {
        while std::fs::read(&process).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the end of the function", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_wants_quiet_is_told_what_ctrl_c_waits_for() {
    let home = home();
    let mut shown = Shown::start(&home, &["--quiet"]);
    let mut client = shown.client().await;
    client.send("until").await;
    at_work(&home).await;
    shown.interrupt();
    assert_eq!(shown.line().await, WAITS);
    std::fs::write(home.path().join("code/go"), "").unwrap();
    assert_eq!(client.next().await, "done");
}
