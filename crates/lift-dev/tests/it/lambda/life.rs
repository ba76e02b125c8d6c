//! In: many invocations, time and changes of the code. Out: how many environments there are, and when they run.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use lift_dev::feed::Entry;
use lift_dev::lambda::{Ceiling, Failure, Fate, Freeze, Settings};
use serde_json::json;

use super::{Run, SOON, function, one};

/// Answers after `event` seconds with its process id.
const SLOW: &str = "
import os, time
def handler(event, context):
    time.sleep(event)
    return os.getpid()
";

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

fn with(settings: Settings, text: &str, most: Option<u32>) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let mut one = function(directory.path(), "one", "app.py", text);
    one.concurrency_max = most;
    let two = function(directory.path(), "two", "app.py", text);
    Run::new(directory, vec![one, two], settings)
}

/// Answers once `event` invocations run at the same time.
const MEET: &str = "
import os, time
def handler(event, context):
    wanted = event
    open(f'here-{wanted}-{os.getpid()}', 'w').close()
    while sum(name.startswith(f'here-{wanted}-') for name in os.listdir()) < wanted:
        time.sleep(0.005)
    return os.getpid()
";

#[tokio::test(flavor = "multi_thread")]
async fn environments_scale_out_on_demand_and_in_when_idle() {
    let idle = Duration::from_millis(500);
    let run = with(settings(|all| all.idle = idle), MEET, None);
    for wanted in [1, 2, 5] {
        let calls = (0..wanted).map(|_| run.invoke("one", json!(wanted)));
        let answers = join_all(calls).await;
        let mut processes: Vec<_> = answers
            .into_iter()
            .map(|each| each.unwrap().as_u64())
            .collect();
        processes.sort_unstable();
        processes.dedup();
        assert_eq!(processes.len(), wanted, "each in an environment of its own");
    }
    assert_eq!(run.count("one"), 5);
    run.until_count("one", 0).await;
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_another_needs_one_environment() {
    let run = with(Settings::default(), SLOW, Some(1));
    let first = run.invoke("one", json!(0)).await;
    for _ in 0..30 {
        assert_eq!(run.invoke("one", json!(0)).await, first);
    }
    assert_eq!(run.count("one"), 1);
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_limit_is_throttled() {
    let cases = [
        (Some(2), 64, Ceiling::Reserved),
        (None, 2, Ceiling::Environments),
    ];
    for (reserved, environments, ceiling) in cases {
        let limits = settings(|all| all.environments_max = environments);
        let run = with(limits, SLOW, reserved);
        let answers = join_all((0..3).map(|_| run.invoke("one", json!(0.5)))).await;
        let failed: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert_eq!(failed, [Failure::Throttled(ceiling)]);
        // What idles makes room for another function.
        assert!(run.invoke("two", json!(0)).await.is_ok());
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_invocations_nothing_runs_unless_that_is_turned_off() {
    let counter = "
import threading, time
count = 0
def tick():
    global count
    while True:
        count += 1
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    if event == 'begin':
        globals()['count'] = 0
    return count
";
    for (freeze, most, least) in [(Freeze::On, 60, 0), (Freeze::Off, u64::MAX, 100)] {
        let run = with(settings(|all| all.freeze = freeze), counter, None);
        run.invoke("one", json!("begin")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        let count = run.invoke("one", json!("look")).await.unwrap();
        let count = count.as_u64().unwrap();
        assert!((least..most).contains(&count), "{freeze:?}: {count}");
        run.functions.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_code_is_used_by_what_comes_next_and_the_old_finishes() {
    let mut run = one(
        "app.py",
        "
import time
def handler(event, context):
    print('runs')
    time.sleep(event)
    return 'old'
",
    );
    let functions = run.functions.clone();
    let running = functions.invoke(Run::call("one", &json!(1)));
    let change = async {
        run.line("runs").await;
        let hold = run.functions.hold("one");
        let waiting = run.invoke("one", json!(0));
        let rebuild = async {
            let code = run.directory.path().join("one/app.py");
            std::fs::write(code, "def handler(event, context): return 'new'\n").unwrap();
            run.functions.replace("one").await.unwrap();
            drop(hold);
        };
        tokio::join!(waiting, rebuild).0
    };
    let (old, new) = tokio::join!(running, change);
    assert_eq!((&*old.unwrap(), new), (&b"\"old\""[..], Ok(json!("new"))));
    run.functions.shut_down().await;
}

/// Waits until a directory is removed.
async fn until_gone(path: &Path) {
    let gone = async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(SOON, gone).await;
    assert!(gone.is_ok(), "{} stays", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpacked_zip_is_removed_once_nothing_runs_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut zipped = function(directory.path(), "one", "unused.py", "");
    zipped.code = directory.path().join("code.zip");
    zipped.handler = "app.handler".to_owned();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&zipped.code).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("app.py", options).unwrap();
    let text = "
import os, time
def handler(event, context):
    print('runs')
    time.sleep(event)
    return os.environ['LAMBDA_TASK_ROOT']
";
    std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
    zip.finish().unwrap();
    let mut run = Run::new(directory, vec![zipped], Settings::default());
    let functions = run.functions.clone();
    let first = functions.invoke(Run::call("one", &json!(0.5)));
    let replace = async {
        run.line("runs").await;
        run.functions.replace("one").await.unwrap();
        run.invoke("one", json!(0)).await.unwrap()
    };
    let (first, second) = tokio::join!(first, replace);
    let first: String = serde_json::from_slice(&first.unwrap()).unwrap();
    let (first, second) = (Path::new(&first), Path::new(second.as_str().unwrap()));
    until_gone(first).await;
    assert!(second.join("app.py").is_file());
    let files = second.parent().unwrap();
    let name = files.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("lift-dev-"), "{name}");
    run.functions.shut_down().await;
    drop((functions, run));
    until_gone(files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_removed_and_what_another_uses_is_not() {
    let make = || {
        let made = tempfile::Builder::new()
            .prefix("lift-dev-")
            .tempdir()
            .unwrap();
        std::fs::write(made.path().join("bootstrap.py"), "").unwrap();
        made
    };
    let (left, used) = (make(), make());
    let lock = std::fs::File::open(used.path()).unwrap();
    lock.lock().unwrap();
    let run = one("app.py", "def handler(event, context): return 1\n");
    until_gone(left.path()).await;
    assert_eq!(run.invoke("one", json!(0)).await, Ok(json!(1)));
    run.functions.shut_down().await;
    assert!(used.path().join("bootstrap.py").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_takes_longer_holds_for_two_seconds() {
    let run = one("app.py", "def handler(event, context): return 'old'\n");
    run.invoke("one", json!(0)).await.unwrap();
    let _hold = run.functions.hold("one");
    let begun = tokio::time::Instant::now();
    assert_eq!(run.invoke("one", json!(0)).await, Ok(json!("old")));
    let took = begun.elapsed();
    let expected = Duration::from_millis(1_990)..Duration::from_secs(4);
    assert!(expected.contains(&took), "{took:?}");
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_environment_fails_its_invocation_alone() {
    let run = with(Settings::default(), SLOW, None);
    let mut call = Run::call("one", &json!(100));
    call.fate = Fate::Dies;
    let failure = run.functions.invoke(call).await.unwrap_err();
    let text = failure.to_string();
    assert!(
        text.ends_with("Error: Runtime exited with error: signal: killed"),
        "{text}"
    );
    assert!(run.invoke("one", json!(0)).await.is_ok());
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_cold_start_is_felt_once() {
    let delay = Duration::from_millis(400);
    let run = with(settings(|all| all.cold_start = Some(delay)), SLOW, None);
    let begun = tokio::time::Instant::now();
    run.invoke("one", json!(0)).await.unwrap();
    assert!(begun.elapsed() >= delay);
    let begun = tokio::time::Instant::now();
    run.invoke("one", json!(0)).await.unwrap();
    assert!(begun.elapsed() < delay);
    run.functions.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_shutdown_nothing_is_taken() {
    let run = with(Settings::default(), SLOW, None);
    let running = run.invoke("one", json!(100));
    let end = async {
        run.until_count("one", 1).await;
        run.functions.shut_down().await;
    };
    let ended = tokio::time::timeout(SOON, async { tokio::join!(running, end).0 }).await;
    assert_eq!(ended.unwrap(), Err(Failure::ShuttingDown));
    assert_eq!(
        run.invoke("one", json!(0)).await,
        Err(Failure::ShuttingDown)
    );
    assert_eq!(run.count("one"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_runs_on_when_its_caller_has_left() {
    let mut run = with(Settings::default(), SLOW, None);
    let patience = Duration::from_millis(50);
    let mut call = Run::call("one", &json!(0.3));
    call.deadline = Some(patience);
    let answer = run.functions.invoke(call).await;
    assert_eq!(answer, Err(Failure::CallerLeft(patience)));
    let done =
        |entry: &Entry| matches!(entry, Entry::Invocation { outcome, .. } if outcome == "ok");
    let Entry::Invocation {
        cold_us, took_us, ..
    } = run.entry(done).await
    else {
        panic!("it is one");
    };
    assert!(
        cold_us.is_some_and(|cold_us| cold_us < took_us),
        "{cold_us:?} of {took_us}"
    );
    run.functions.shut_down().await;
}
