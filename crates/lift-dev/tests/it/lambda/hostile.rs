//! In: functions that misbehave, beside one that does not. Out: an error that names them, and nothing else.

use std::time::Duration;

use lift_dev::feed::Entry;
use lift_dev::lambda::{Failure, Settings};
use serde_json::{Value, json};

use super::{Run, SOON, function, raw};

const GOOD: &str = "def handler(event, context): return event\n";

/// Two functions: `bad` with this runtime, `good` beside it.
fn beside(bad: &str, timeout: Duration) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let mut bad = function(directory.path(), "bad", "bootstrap", &raw(bad));
    bad.timeout = timeout;
    let good = function(directory.path(), "good", "app.py", GOOD);
    Run::new(directory, vec![bad, good], Settings::default())
}

async fn good_still_answers(run: &Run) {
    assert_eq!(run.invoke("good", json!([1])).await, Ok(json!([1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_is_named_with_its_status() {
    let cases = [
        (
            "sys.exit(7)",
            "Error: Runtime exited with error: exit status 7",
        ),
        (
            "os.kill(os.getpid(), 9)",
            "Error: Runtime exited with error: signal: killed",
        ),
        (
            "sys.exit(0)",
            "Error: Runtime exited without providing a reason",
        ),
    ];
    for (end, expected) in cases {
        let mut run = beside(&format!("next()\n{end}"), SOON);
        for _ in 0..2 {
            let failure = run.invoke("bad", json!({})).await.unwrap_err();
            let Failure::Exited { text } = &failure else {
                panic!("{failure:?}");
            };
            assert!(
                text.starts_with("RequestId: ") && text.ends_with(expected),
                "{text}"
            );
            let named = |entry: &Entry| matches!(entry, Entry::Problem { text } if text.contains("`bad`") && text.contains(expected));
            run.entry(named).await;
        }
        good_still_answers(&run).await;
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_is_killed_at_its_timeout_with_all_it_started() {
    let run = beside(
        "
id, event, _ = next()
if event == 'hang':
    child = os.fork()
    if child == 0:
        while True: time.sleep(1)
    open(event, 'w').write(str(child))
    time.sleep(100)
answer(id, 'new')
next()
",
        Duration::from_millis(500),
    );
    let failure = run.invoke("bad", json!("hang")).await.unwrap_err();
    let Failure::TimedOut { text } = &failure else {
        panic!("{failure:?}");
    };
    assert!(
        text.ends_with("Task timed out after 0.50 seconds"),
        "{text}"
    );
    let child = std::fs::read_to_string(run.directory.path().join("bad/hang")).unwrap();
    ended(&serde_json::from_str(&child).unwrap()).await;
    assert_eq!(run.invoke("bad", json!("work")).await, Ok(json!("new")));
    good_still_answers(&run).await;
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_fit_are_refused_and_change_nothing() {
    let mut run = beside(
        "
def said(what, got):
    print(what, got[0].status, got[1].decode().strip())
id, event, _ = next()
said('early', call('GET', 'invocation/next'))
said('unknown', answer('no-such', 1))
said('first', answer(id, 'first'))
said('second', answer(id, 'second'))
said('late', call('POST', f'invocation/{id}/error', '{}'))
said('init', call('POST', 'init/error', '{}'))
said('path', call('GET', 'nothing'))
print('done')
id, event, _ = next()
answer(id, event)
next()
",
        SOON,
    );
    assert_eq!(run.invoke("bad", json!({})).await, Ok(json!("first")));
    let invalid = r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
    let state = r#"{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}"#;
    let expected = [
        format!("early 403 {state}"),
        format!("unknown 400 {invalid}"),
        r#"first 202 {"status":"OK"}"#.to_owned(),
        format!("second 400 {invalid}"),
        format!("late 400 {invalid}"),
        format!("init 403 {state}"),
    ];
    for expected in expected {
        let word = expected.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(run.line(&word).await, expected);
    }
    assert_eq!(run.invoke("bad", json!("again")).await, Ok(json!("again")));
    assert_eq!(run.count("bad"), 1);
    good_still_answers(&run).await;
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_the_limit_is_refused_and_one_at_it_is_not() {
    let mut run = beside(
        "
while True:
    id, size, _ = next()
    got = call('POST', f'invocation/{id}/response', '\"' + 'x' * (size - 2) + '\"')
    print('status', got[0].status)
",
        SOON,
    );
    for (size, status) in [
        (6_291_556, 202),
        (6_291_557, 413),
        (7_340_032, 413),
        (3, 202),
    ] {
        let answer = run.invoke("bad", json!(size)).await;
        match status {
            202 => assert_eq!(answer.unwrap().as_str().map(str::len), Some(size - 2)),
            _ => assert_eq!(answer, Err(Failure::ResponseTooLarge)),
        }
        assert_eq!(run.line("status").await, format!("status {status}"));
    }
    good_still_answers(&run).await;
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_never_asks_for_an_event_fails_by_itself() {
    let run = beside("time.sleep(100)", Duration::from_millis(300));
    // Ten seconds for init, then once more in the function's own time.
    let bad = run.invoke("bad", json!({}));
    let good = async {
        good_still_answers(&run).await;
    };
    let (bad, ()) = tokio::join!(bad, good);
    let failure = bad.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure:?}");
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_another_next_ends_the_environment_at_the_timeout() {
    let mut run = beside(
        "
id, event, _ = next()
answer(id, 'answered')
time.sleep(100)
",
        Duration::from_millis(400),
    );
    assert_eq!(run.invoke("bad", json!({})).await, Ok(json!("answered")));
    run.until_count("bad", 0).await;
    let said = |entry: &Entry| matches!(entry, Entry::Problem { text } if text.contains("`bad`") && text.contains("next event"));
    run.entry(said).await;
    good_still_answers(&run).await;
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_any_size_are_cut_and_hold_nobody_up() {
    let mut run = beside(
        "
while True:
    id, megabytes, _ = next()
    line = b'x' * 99 + b'\\n'
    block = line * 10000
    for _ in range(megabytes):
        os.write(1, block)
    os.write(2, b'y' * 1000000 + b'\\n')
    answer(id, 'written')
",
        Duration::from_secs(60),
    );
    let (before, begun) = (resident_kib(), tokio::time::Instant::now());
    let functions = run.functions.clone();
    let written = functions.invoke(Run::call("bad", &json!(60)));
    let good = async {
        for _ in 0..5 {
            let answer = functions.invoke(Run::call("good", &json!([1]))).await;
            assert_eq!(answer.as_deref(), Ok(&b"[1]"[..]));
        }
    };
    let (mut shown, mut longest) = (0, 0);
    let work = async { tokio::join!(written, good).0 };
    tokio::pin!(work);
    let written = loop {
        tokio::select! {
            written = &mut work => break written,
            Some(happened) = run.feed.recv() => if let Entry::Log { line, .. } = happened.entry {
                shown += 1;
                longest = longest.max(line.len());
            },
        }
    };
    assert_eq!(written.as_deref(), Ok(&b"\"written\""[..]));
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB more for 60 MB of logs");
    let most = 2_100 + 1_000 * (begun.elapsed().as_secs() + 1);
    assert!((1_000..most).contains(&shown), "{shown} of 600,000 lines");
    assert!(longest <= 8 * 1024, "{longest}");
    run.functions.shut_down().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_functions_leave_no_process() {
    let run = beside(
        "id, event, _ = next()\nanswer(id, os.getpid())\ntime.sleep(1000)\n",
        SOON,
    );
    let process = run.invoke("bad", json!({})).await.unwrap();
    drop(run);
    ended(&process).await;
}

/// Waits until a process has no command line any more: it ended, or is a zombie at most.
async fn ended(process: &Value) {
    let path = format!("/proc/{process}/cmdline");
    let gone = async {
        while std::fs::read(&path).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(SOON, gone).await.is_ok(),
        "{process} lives"
    );
}

/// This test's process is started once more, as the one that is killed.
const VICTIM: &str = "LIFT_DEV_TEST_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn functions_end_with_a_host_that_is_killed() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    if std::env::var_os(VICTIM).is_some() {
        let run = beside(
            "id, event, _ = next()\nanswer(id, os.getpid())\ntime.sleep(1000)\n",
            SOON,
        );
        let process = run.invoke("bad", json!({})).await.unwrap();
        println!("\nprocess {process}");
        return std::future::pending().await;
    }
    let test = "lambda::hostile::functions_end_with_a_host_that_is_killed";
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap());
    victim
        .args(["--exact", test, "--nocapture"])
        .env(VICTIM, "1");
    victim
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    let mut victim = victim.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let process = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(process) = line.strip_prefix("process ") {
                return serde_json::from_str::<Value>(process).unwrap();
            }
        }
        panic!("the victim says no process");
    };
    let process = tokio::time::timeout(SOON, process).await.unwrap();
    assert!(std::path::Path::new(&format!("/proc/{process}")).exists());
    victim.kill().await.unwrap();
    ended(&process).await;
}
