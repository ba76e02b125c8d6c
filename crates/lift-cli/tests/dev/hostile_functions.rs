//! Functions that misbehave, beside one that does not. Out: a line that names them, and no harm to the other.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::running::{Client, Running, project, within};

/// Runtimes of their own, each with a habit: `good` has none.
const CODE: &str = r#"
import http.client, json, os, sys, time
sys.stdout.reconfigure(line_buffering=True)
habit = sys.argv[1]

def call(method, path, body=None):
    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
    connection.request(method, '/2018-06-01/runtime/' + path, body)
    response = connection.getresponse()
    return response, response.read()

def answer(id, body):
    return call('POST', f'invocation/{id}/response', json.dumps({'statusCode': 200, 'body': body}))

if habit == 'dies':
    sys.exit(5)
while habit == 'idles':
    time.sleep(1)
while True:
    response, event = call('GET', 'invocation/next')
    id = response.headers['Lambda-Runtime-Aws-Request-Id']
    said = json.loads(event)['body']
    if said == 'well':
        answer(id, 'well')
    elif habit == 'exits':
        os._exit(7)
    elif habit == 'hangs':
        time.sleep(1000)
    elif habit == 'repeats':
        answer(id, 'first')
        answer(id, 'second')
    elif habit == 'swells':
        answer(id, 'x' * 7 * 1024 * 1024)
    elif habit == 'forks':
        child = os.fork()
        if child == 0:
            while True:
                time.sleep(1)
        answer(id, str(child))
    elif habit == 'floods':
        block = (b'x' * 99 + b'\n') * 10000
        for _ in range(200):
            os.write(1, block)
        os.write(2, b'y' * 8000000)
        answer(id, 'written')
    else:
        answer(id, said)
"#;

/// A message for the function that behaves, which says it again.
const GOOD: &str = r#"{"action":"good"}"#;

struct World {
    running: Running,
    client: Client,
    _home: tempfile::TempDir,
}

impl World {
    /// Two functions: one with this habit, and `good`.
    async fn start(habit: &str) -> Self {
        let template = format!(
            r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = {{ function = "{habit}", two_way = true }}
good = {{ function = "good", two_way = true }}
[function.{habit}]
command = ["python3", "app.py", "{habit}"]
code = "."
timeout_s = {timeout}
[function.good]
command = ["python3", "app.py", "good"]
code = "."
"#,
            timeout = match habit {
                "hangs" | "idles" => 1,
                _ => 60,
            },
        );
        let home = project(&[("lift.toml", &template), ("app.py", CODE)]);
        let running = Running::start(&home.path().join("lift.toml"), &[]).await;
        let mut client = running.client("").await;
        assert_eq!(said(&mut client, GOOD).await, GOOD);
        Self {
            running,
            client,
            _home: home,
        }
    }

    async fn end(mut self) {
        assert_eq!(said(&mut self.client, GOOD).await, GOOD);
        assert_eq!(self.running.stop().await.code(), Some(0));
    }
}

async fn said(client: &mut Client, text: &str) -> String {
    client.send(text).await;
    client.next().await
}

/// A function with this habit fails its invocation, each time with a line that names it and says this.
async fn fails(habit: &str, expected: &str) -> World {
    let mut world = World::start(habit).await;
    for _ in 0..2 {
        let error: Value = serde_json::from_str(&said(&mut world.client, "try").await).unwrap();
        assert_eq!(error["message"], "Internal server error");
        let problem = world.running.problem().await;
        let begins = format!("function `{habit}`: ");
        assert!(
            problem.starts_with(&begins) && problem.contains(expected),
            "{problem}"
        );
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_before_it_asks_for_an_event_is_named() {
    let expected = "Runtime exited with error: exit status 5";
    fails("dies", expected).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_under_an_invocation_is_named_and_starts_again() {
    let expected = "Runtime exited with error: exit status 7";
    let mut world = fails("exits", expected).await;
    assert_eq!(said(&mut world.client, "well").await, "well");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_is_named_killed_and_starts_again() {
    let expected = "Task timed out after 1.00 seconds";
    let mut world = fails("hangs", expected).await;
    assert_eq!(said(&mut world.client, "well").await, "well");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_never_asks_for_an_event_is_named() {
    let mut world = World::start("idles").await;
    world.client.send("try").await;
    // Ten seconds for its init, and once more in its own time; the other one answers meanwhile.
    assert_eq!(said(&mut world.client, GOOD).await, GOOD);
    let problem = world.running.problem().await;
    let expected = "Task timed out after 1.00 seconds";
    assert!(
        problem.starts_with("function `idles`: ") && problem.contains(expected),
        "{problem}"
    );
    let error: Value = serde_json::from_str(&world.client.next().await).unwrap();
    assert_eq!(error["message"], "Internal server error");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_answers_twice_is_named_and_its_first_answer_counts() {
    let mut world = World::start("repeats").await;
    for _ in 0..2 {
        assert_eq!(said(&mut world.client, "try").await, "first");
        let problem = world.running.problem().await;
        let expected = "function `repeats`: it answers a request that it does not have";
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert_eq!(said(&mut world.client, "well").await, "well");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_answers_too_much_is_named() {
    let expected = "response payload size exceeded maximum allowed payload size (6291556 bytes)";
    let mut world = fails("swells", expected).await;
    assert_eq!(said(&mut world.client, "well").await, "well");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_stays_answers_nothing_up_and_ends_with_lift_dev() {
    let mut world = World::start("forks").await;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(said(&mut world.client, "fork").await);
    }
    assert_eq!(said(&mut world.client, "well").await, "well");
    let runs = |child: &String| {
        let line = fs::read(format!("/proc/{child}/cmdline"));
        line.is_ok_and(|line| !line.is_empty())
    };
    assert!(children.iter().all(runs), "{children:?}");
    world.end().await;
    let gone = async {
        while children.iter().any(runs) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the end of the children", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_logs_is_cut_and_neither_memory_nor_others_suffer() {
    let mut world = World::start("floods").await;
    let before = resident_kib(world.running.id());
    world.client.send("write").await;
    let mut other = world.running.client("").await;
    assert_eq!(said(&mut other, GOOD).await, GOOD);
    let (mut shown, mut cut, mut most) = (0, 0, 0);
    loop {
        let line = world.running.line(|_| true).await;
        most = most.max(resident_kib(world.running.id()));
        match (&line["kind"], line["line"].as_str()) {
            (kind, Some(text)) if kind == "log" => {
                assert!(text.len() <= 8 * 1024, "{}", text.len());
                shown += 1;
                cut += usize::from(text.ends_with(" lines are not shown)"));
            }
            _ if line["kind"] == "invocation" && line["function"] == "floods" => {
                assert_eq!(line["outcome"], json!("ok"));
                break;
            }
            _ => {}
        }
    }
    assert_eq!(world.client.next().await, "written");
    let grown = most.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more for 200 MB of logs");
    assert!(
        (1_000..200_000).contains(&shown),
        "{shown} of 2,000,000 lines"
    );
    assert!(cut > 0, "what is not shown is counted");
    eprintln!("{grown} KiB more, {shown} lines shown");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_holds_up_neither_messages_nor_the_end() {
    let mut world = World::start("floods").await;
    // More than the pipe and all queues take.
    world.client.send("write").await;
    assert_eq!(world.client.next().await, "written");
    for _ in 0..3 {
        assert_eq!(said(&mut world.client, GOOD).await, GOOD);
    }
    assert_eq!(world.running.stop_unread().await.code(), Some(0));
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
