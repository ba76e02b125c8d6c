//! What a worker does with a request under paused time: tries, deadlines, stops, leases, posts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lift::app::App;
use lift::error::{Code, Error};
use lift::json::Json;
use lift::task::handle::{Stopped, Task};
use lift::task::record::State;
use lift::task::store::TaskStore;
use lift::task::transition::Transition;
use lift::task::worker::Delivery;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::faulty::{Faulty, Method};
use crate::world::{Client, World, key};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn types(inbox: &[Value]) -> Vec<&str> {
    inbox
        .iter()
        .map(|message| message["type"].as_str().unwrap())
        .collect()
}

/// Runs for a minute without ever asking whether it should.
async fn does_not_look() -> Result<(), Error> {
    sleep(ms(60_000)).await;
    Ok(())
}

/// Looks every 300 ms, and takes a moment to put away what must be put away.
pub(crate) async fn looks(task: Task) -> Result<(), Stopped> {
    for n in 0..200 {
        if let Err(stopped) = task.progress(f64::from(n) / 2.0, "on its way").await {
            sleep(ms(50)).await;
            return Err(stopped);
        }
        sleep(ms(300)).await;
    }
    Ok(())
}

/// Counts to 20 with a checkpoint each 500 ms; says where each claim began.
async fn counts(task: Task) -> Result<Vec<u32>, Stopped> {
    let mut begun: Vec<u32> = task.resumed_from().unwrap_or_default();
    let done = begun.pop().unwrap_or(0);
    begun.push(done);
    for n in done..20 {
        sleep(ms(500)).await;
        let mut at = begun.clone();
        at.push(n + 1);
        task.checkpoint(&at).await?;
    }
    Ok(begun)
}

pub(crate) async fn started(
    world: &mut World,
    client: &Client,
    action: &str,
    after: Duration,
) -> String {
    let id = client.submit(action, json!(null)).await;
    world.start_due().await;
    sleep(after).await;
    id
}

/// A task that fails so many times in its own way, then succeeds: how it ends, and the waits
/// between its attempts.
async fn tries(fails: u32, how: fn() -> Result<(), Error>) -> (Value, Vec<Duration>) {
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = Arc::clone(&begun);
    let act = move |task: Task| {
        let mut begun = seen.lock().unwrap();
        begun.push(Instant::now());
        assert_eq!(task.attempt() as usize, begun.len());
        let failed = begun.len() <= fails as usize;
        async move { if failed { how() } else { Ok(()) } }
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    let id = client.submit("act", json!(null)).await;
    world.settle().await;
    let record = world.record("ann", &id).await;
    assert!(record.state.is_terminal());
    let begun = begun.lock().unwrap();
    assert_eq!(record.claim, begun.len() as u64);
    let waits = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    (client.inbox().pop().unwrap(), waits)
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_tried_three_times_in_all_with_jitter() {
    let again = || Err(Error::new(Code::TaskFailed, "not now").retry());
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let (last, waits) = tries(2, again).await;
        assert_eq!(
            (&last["type"], &last["seq"]),
            (&json!("complete"), &json!(2_000_001))
        );
        assert!(waits[0] <= ms(1_001) && waits[1] <= ms(2_001), "{waits:?}");
        longest = longest.max(waits[1]);
    }
    assert!(longest > ms(300), "the waits are spread: {longest:?}");
    let (last, waits) = tries(3, again).await;
    assert_eq!(waits.len(), 2);
    assert_eq!(last["error"]["code"], "TASK_FAILED", "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_is_not_tried_again() {
    let (last, waits) = tries(9, || Err(Error::new(Code::TaskFailed, "never"))).await;
    assert_eq!(
        (waits.len(), &last["error"]["message"]),
        (0, &json!("never"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_tried_again() {
    let (last, waits) = tries(1, || panic!("once")).await;
    assert_eq!((waits.len(), &last["type"]), (1, &json!("complete")));
    let (last, waits) = tries(9, || panic!("always")).await;
    assert_eq!(
        (waits.len(), &last["error"]["code"]),
        (2, &json!("INTERNAL_ERROR"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_stops_without_being_asked_has_failed() {
    let act = || async { Err::<(), _>(Stopped::Cancelled) };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    client.submit("act", json!(null)).await;
    world.settle().await;
    assert_eq!(client.inbox()[0]["error"]["code"], "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline() {
    let app = App::new()
        .task("looks", looks)
        .task("does_not_look", does_not_look);
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    // One that looks stops at its next look; another is dropped once its grace has passed.
    for (action, within) in [("looks", ms(400)), ("does_not_look", ms(2_000))] {
        let began = Instant::now();
        client
            .send(&json!({"action": action, "timeout_ms": 1_000}).to_string())
            .await;
        world.settle().await;
        let took = began.elapsed();
        assert!(
            (ms(1_000)..=ms(1_001) + within).contains(&took),
            "{action}: {took:?}"
        );
        let last = client.inbox().pop().unwrap();
        assert_eq!(last["error"]["code"], "TIMEOUT", "{last}");
        assert_eq!(last["error"]["retryable"], true);
        assert!(last["seq"].is_u64());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_past_its_deadline_is_not_run() {
    let mut world = World::new(App::new().task("looks", looks));
    let client = world.connect("c1=", "ann");
    client.send(r#"{"action":"looks","timeout_ms":1000}"#).await;
    sleep(ms(1_000)).await;
    world.settle().await;
    client.check_inbox(&[
        json!({"type": "error", "request_id": "<ulid>", "seq": 1, "error": {
        "code": "TIMEOUT", "message": "<text>", "retryable": true}}),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_stops_where_it_looks_or_is_dropped() {
    let app = App::new()
        .task("looks", looks)
        .task("counts", counts)
        .task("does_not_look", does_not_look);
    let mut world = World::new(app);
    let client = world.connect("c1=", "ann");
    for (action, within) in [
        ("looks", ms(400)),
        ("counts", ms(501)),
        ("does_not_look", ms(2_001)),
    ] {
        let id = started(&mut world, &client, action, ms(700)).await;
        let asked = Instant::now();
        client
            .ask("request.cancel", json!({"request_id": id}))
            .await;
        assert_eq!(
            world.finish_running().await,
            [Delivery::Ran(State::Cancelled)]
        );
        assert!(asked.elapsed() <= within, "{action}: {:?}", asked.elapsed());
        let inbox = client.inbox();
        assert_eq!(types(&inbox).last(), Some(&"cancelled"), "{action}");
    }
}

/// Commits after a second, and needs another for its effect.
async fn commits(task: Task) -> Result<u32, Stopped> {
    sleep(ms(1_000)).await;
    task.commit().await?;
    sleep(ms(3_000)).await;
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn a_commit_and_a_stop_exclude_each_other() {
    let mut world = World::new(App::new().task("commits", commits));
    let client = world.connect("c1=", "ann");
    for (cancel_at, timeout, ends) in [
        (Some(ms(500)), ms(60_000), "CANCELLED"),
        (Some(ms(1_500)), ms(60_000), "complete"),
        (None, ms(900), "TIMEOUT"),
        (None, ms(1_100), "complete"),
    ] {
        let ask =
            json!({"action": "commits", "timeout_ms": u64::try_from(timeout.as_millis()).unwrap()});
        let id = client.send(&ask.to_string()).await["request_id"].clone();
        world.start_due().await;
        if let Some(at) = cancel_at {
            sleep(at).await;
            let answer = client
                .ask("request.cancel", json!({"request_id": id}))
                .await;
            let asked = answer["data"]["cancel_requested"].as_bool();
            assert_eq!(asked, Some(ends == "CANCELLED"), "{answer}");
        }
        world.finish_running().await;
        let last = client.inbox().pop().unwrap();
        let kind = match last["type"].as_str().unwrap() {
            "error" => last["error"]["code"].as_str().unwrap(),
            "cancelled" => "CANCELLED",
            other => other,
        };
        assert_eq!(kind, ends, "{cancel_at:?} {timeout:?}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_after_a_commit_goes_on_past_the_deadline() {
    let mut world = World::new(App::new().task("commits", commits));
    let client = world.connect("c1=", "ann");
    client
        .send(r#"{"action":"commits","timeout_ms":2000}"#)
        .await;
    world.start_due().await;
    sleep(ms(1_500)).await;
    world.crash().await;
    sleep(ms(20_000)).await;
    world.settle().await;
    assert_eq!(types(&client.inbox()), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn complete_may_win_over_a_cancel() {
    let act = || async {
        sleep(ms(1_000)).await;
        Ok::<_, Error>(7)
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    let id = started(&mut world, &client, "act", ms(900)).await;
    client
        .ask("request.cancel", json!({"request_id": id}))
        .await;
    world.settle().await;
    client.check_inbox(&[
        json!({"type": "complete", "request_id": id, "id": "c", "seq": 1, "result": 7}),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_from_another_process_is_heard_at_the_next_renewal() {
    let mut world = World::new(App::new().task("looks", looks));
    let client = world.connect("c1=", "ann");
    let act = does_not_look;
    let other = world.beside(App::new().task("looks", act));
    let id = client.submit("looks", json!(null)).await;
    let key = key("ann", &id);
    let mut running = tokio::task::JoinSet::new();
    let delivering = key.clone();
    running.spawn(async move { other.deliver(&delivering).await.unwrap() });
    sleep(ms(100)).await;
    let asked = Instant::now();
    client
        .ask("request.cancel", json!({"request_id": id}))
        .await;
    assert_eq!(running.join_all().await, [Delivery::Ran(State::Cancelled)]);
    assert!(asked.elapsed() <= ms(7_000), "{:?}", asked.elapsed());
    assert_eq!(world.settle().await, []);
    assert_eq!(types(&client.inbox()), ["cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_finds_the_cancel_flag_ends_the_request_without_running() {
    let ran = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&ran);
    let act = move || {
        seen.fetch_add(1, Ordering::Relaxed);
        does_not_look()
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    let id = started(&mut world, &client, "act", ms(100)).await;
    world.crash().await;
    client
        .ask("request.cancel", json!({"request_id": id}))
        .await;
    world.settle().await;
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    client.check_inbox(&[
        json!({"type": "cancelled", "request_id": id, "id": "c", "seq": 1_000_001}),
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_worker_gives_back_at_a_checkpoint_or_after_its_grace() {
    let app = || {
        App::new()
            .task("looks", looks)
            .task("counts", counts)
            .task("does_not_look", does_not_look)
    };
    for (action, within) in [
        ("looks", ms(400)),
        ("counts", ms(501)),
        ("does_not_look", ms(2_001)),
    ] {
        let mut world = World::new(app());
        let client = world.connect("c1=", "ann");
        let id = started(&mut world, &client, action, ms(700)).await;
        let asked = Instant::now();
        world.runtime.drain();
        assert_eq!(world.finish_running().await, [Delivery::Ran(State::Queued)]);
        assert!(asked.elapsed() <= within, "{action}: {:?}", asked.elapsed());
        let record = world.record("ann", &id).await;
        assert_eq!((record.attempt(), record.lost), (1, 0));
        let refused = client.ask(action, json!(null)).await;
        assert_eq!(refused["error"]["code"], "OVERLOADED", "{refused}");

        // Another process goes on from the checkpoint, at once.
        let other = world.beside(app());
        let ran = other.deliver(&key("ann", &id)).await.unwrap();
        assert_eq!(ran, Delivery::Ran(State::Completed), "{action}");
        let last = client.inbox().pop().unwrap();
        if action == "counts" {
            assert_eq!(last["result"], json!([0, 2]), "from its second checkpoint");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_claim_is_taken_again_from_its_checkpoint_once_its_lease_ran_out() {
    let mut world = World::new(App::new().task("counts", counts));
    let client = world.connect("c1=", "ann");
    let id = started(&mut world, &client, "counts", ms(5_250)).await;
    world.crash().await;
    let crashed = Instant::now();
    assert_eq!(
        world.runtime.deliver(&key("ann", &id)).await.unwrap(),
        Delivery::Held
    );
    world.settle().await;
    let record = world.record("ann", &id).await;
    assert_eq!(
        (record.claim, record.attempt()),
        (2, 1),
        "a lost claim is no attempt"
    );
    assert!(crashed.elapsed() > ms(14_000));
    client.check_inbox(&[json!({"type": "complete", "request_id": id, "id": "c",
        "seq": 1_000_001, "result": [0, 10]})]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_loses_its_worker_five_times_in_a_row_has_failed() {
    let mut world = World::new(App::new().task("act", does_not_look));
    let client = world.connect("c1=", "ann");
    let id = client.submit("act", json!(null)).await;
    for lost in 0..5 {
        assert_eq!(world.record("ann", &id).await.lost, u32::max(lost, 1) - 1);
        world.start_due().await;
        sleep(ms(36_000)).await;
        world.crash().await;
        sleep(ms(20_000)).await;
    }
    assert_eq!(world.settle().await, [Delivery::Ran(State::Failed)]);
    let last = client.inbox().pop().unwrap();
    assert_eq!(
        (&last["error"]["code"], &last["seq"]),
        (&json!("TASK_FAILED"), &json!(5_000_001))
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_task_keeps_its_lease() {
    let mut world = World::new(App::new().task("act", does_not_look));
    let client = world.connect("c1=", "ann");
    let id = started(&mut world, &client, "act", Duration::ZERO).await;
    for _ in 0..59 {
        sleep(ms(1_000)).await;
        assert_eq!(
            world.runtime.deliver(&key("ann", &id)).await.unwrap(),
            Delivery::Held
        );
    }
    world.finish_running().await;
    assert_eq!(types(&client.inbox()), ["complete"]);
}

/// A worker that loses its lease to another in the middle of `action`: nothing that it does after
/// that is written or posted.
async fn check_lost_lease(action: &str) {
    let faulty = Faulty::default();
    let app = App::new()
        .task("looks", looks)
        .task("counts", counts)
        .task("does_not_look", does_not_look);
    let mut world = World::with(app, |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    let id = started(&mut world, &client, action, ms(1_250)).await;
    let later = world.runtime.backends().clock.now() + ms(60_000);
    let claim = Transition::Claim { lease: ms(600_000) };
    world
        .stored
        .apply(&key("ann", &id), claim, later)
        .await
        .unwrap();
    let taken = world.record("ann", &id).await;
    client.inbox();
    faulty.take_written();
    assert_eq!(
        world.finish_running().await,
        [Delivery::LeaseLost],
        "{action}"
    );
    assert_eq!(world.record("ann", &id).await, taken, "{action}");
    assert_eq!(faulty.take_written(), [], "{action}");
    client.check_inbox(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_its_lease_writes_and_posts_nothing_more() {
    check_lost_lease("looks").await;
    check_lost_lease("counts").await;
    check_lost_lease("does_not_look").await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_before_its_lease_is_given_up() {
    struct Dropped(Arc<AtomicU32>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&dropped);
    let act = move || {
        let guard = Dropped(Arc::clone(&seen));
        async move {
            let _guard = guard;
            does_not_look().await
        }
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    started(&mut world, &client, "act", ms(100)).await;
    world.runtime.drain();
    world.finish_running().await;
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_are_tried_again_while_the_lease_lasts() {
    let faulty = Faulty::default();
    let app = App::new()
        .task("looks", looks)
        .task("does_not_look", does_not_look);
    let mut world = World::with(app, |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    started(&mut world, &client, "does_not_look", ms(4_000)).await;
    faulty.refuse(Method::Renew, 40);
    world.settle().await;
    assert_eq!(types(&client.inbox()), ["complete"]);

    // Past the lease, the worker must take it that another runs the task.
    let id = started(&mut world, &client, "does_not_look", ms(4_000)).await;
    faulty.refuse(Method::Renew, usize::MAX);
    let lost = Instant::now();
    assert_eq!(world.finish_running().await, [Delivery::LeaseLost]);
    assert!(lost.elapsed() <= ms(11_500), "{:?}", lost.elapsed());
    assert_eq!(world.record("ann", &id).await.state, State::Running);
    faulty.refuse(Method::Renew, 0);
    world.settle().await;
    assert_eq!(types(&client.inbox()), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_written_is_written_again_while_the_lease_lasts() {
    let act = || async { Ok::<_, Error>(7) };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    let complete = |seq: u64| {
        json!({"type": "complete", "request_id": "<ulid>", "id": "c",
        "seq": seq, "result": 7})
    };
    faulty.refuse(Method::Finish, 20);
    client.submit("act", json!(null)).await;
    world.settle().await;
    client.check_inbox(&[complete(1)]);

    // So is one that was written, but whose answer was lost.
    faulty.lose_answers(Method::Finish, 1);
    client.submit("act", json!(null)).await;
    world.settle().await;
    client.check_inbox(&[complete(1)]);

    faulty.refuse(Method::Finish, 90);
    client.submit("act", json!(null)).await;
    world.settle().await;
    client.check_inbox(&[complete(1_000_001)]);
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_was_lost_is_told_though_the_lease_ran_out() {
    let act = |task: Task| async move {
        sleep(ms(100)).await;
        task.progress(50.0, "half").await?;
        Ok::<_, Error>(7)
    };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    started(&mut world, &client, "act", ms(50)).await;
    faulty.delay(ms(16_000));
    faulty.lose_answers(Method::Finish, 1);
    sleep(ms(100)).await;
    faulty.delay(Duration::ZERO);
    world.settle().await;
    assert_eq!(types(&client.inbox()), ["progress", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_read_for_a_moment_is_no_failed_attempt() {
    let act = |task: Task| async move { Ok::<_, Error>(task.attempt()) };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    for refused in [5, 200] {
        faulty.refuse(Method::Input, refused);
        client.submit("act", json!(null)).await;
        world.settle().await;
        let last = client.inbox().pop().unwrap();
        assert_eq!(
            (&last["type"], &last["result"]),
            (&json!("complete"), &json!(1)),
            "{last}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unwritten_progress_uses_up_its_seq() {
    let act = |task: Task| async move {
        task.progress(10.0, "ten").await?;
        sleep(ms(1_000)).await;
        Ok::<_, Error>(())
    };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    faulty.lose_answers(Method::Renew, 1);
    let id = started(&mut world, &client, "act", ms(50)).await;
    // The write was done, so whoever resumes is told of it: its seq is taken.
    let other = world.connect("c2=", "ann");
    other
        .ask("request.resume", json!({"requests": [{"request_id": id}]}))
        .await;
    world.settle().await;
    let seqs = |inbox: Vec<Value>| -> Vec<(String, u64)> {
        let one = |message: &Value| {
            (
                message["type"].as_str().unwrap().to_owned(),
                message["seq"].as_u64().unwrap(),
            )
        };
        inbox.iter().map(one).collect()
    };
    assert_eq!(
        seqs(other.inbox()),
        [
            ("progress".to_owned(), 1),
            ("progress".to_owned(), 2),
            ("complete".to_owned(), 3)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn where_writes_are_paid_for_progress_is_kept_with_the_lease_alone() {
    let act = |task: Task| async move {
        for n in 0..11 {
            task.progress(f64::from(n), "on its way").await?;
            sleep(ms(1_000)).await;
        }
        Ok::<_, Error>(())
    };
    let faulty = Faulty::default();
    faulty.keep_progress_with_the_lease();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    faulty.refuse(Method::Renew, 1);
    client.submit("act", json!(null)).await;
    world.settle().await;
    let inbox = client.inbox();
    let told: Vec<u64> = inbox.iter().filter_map(|it| it["seq"].as_u64()).collect();
    assert_eq!(
        told,
        (1..=12).collect::<Vec<_>>(),
        "each is told: {inbox:?}"
    );
    let kept: Vec<f64> = faulty
        .take_written()
        .into_iter()
        .filter_map(|written| match written {
            Transition::Renew { progress, .. } => progress.map(|progress| progress.percentage),
            _ => None,
        })
        .collect();
    assert_eq!(kept, [5.0, 10.0], "what was said last, each 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_durable_before_it_returns() {
    let faulty = Faulty::default();
    let returned: Arc<Mutex<Vec<Option<Json>>>> = Arc::default();
    let stored: Arc<Mutex<Option<lift::task::memory::MemoryTasks>>> = Arc::default();
    let (seen, store) = (Arc::clone(&returned), Arc::clone(&stored));
    let act = move |task: Task, owner: lift::id::Owner, id: lift::id::RequestId| {
        let (seen, store) = (Arc::clone(&seen), Arc::clone(&store));
        async move {
            let store = store.lock().unwrap().clone().unwrap();
            for n in 1..=3 {
                task.checkpoint(&n).await?;
                let key = lift::task::record::Key {
                    owner: owner.clone(),
                    id,
                };
                let record = store.get(&key).await.unwrap().unwrap();
                seen.lock().unwrap().push(record.checkpoint);
            }
            Ok::<_, Error>(())
        }
    };
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    *stored.lock().unwrap() = Some(world.stored.clone());
    let client = world.connect("c1=", "ann");
    faulty.delay(ms(40));
    faulty.refuse(Method::Renew, 3);
    client.submit("act", json!(null)).await;
    world.settle().await;
    let kept: Vec<String> = returned
        .lock()
        .unwrap()
        .iter()
        .map(|json| json.as_ref().unwrap().get().to_owned())
        .collect();
    assert_eq!(kept, ["1", "2", "3"]);
    assert_eq!(types(&client.inbox()), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_no_longer_known_fails_its_requests() {
    let mut world = World::new(App::new().task("old", looks));
    let client = world.connect("c1=", "ann");
    let id = client.submit("old", json!(null)).await;
    let newer = world.beside(App::new());
    let ran = newer.deliver(&key("ann", &id)).await.unwrap();
    assert_eq!(ran, Delivery::Ran(State::Failed));
    assert_eq!(client.inbox()[0]["error"]["code"], "TASK_FAILED");
    assert_eq!(world.settle().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_request_wakes_whoever_waits_for_work() {
    let world = World::new(App::new().task("looks", looks));
    let client = world.connect("c1=", "ann");
    let woken = world.runtime.woken();
    client.submit("looks", json!(null)).await;
    tokio::time::timeout(ms(1), woken)
        .await
        .expect("it was woken");
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_taken_again() {
    let faulty = Faulty::default();
    let app = App::new().task("counts", counts);
    let mut world = World::with(app, |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    let id = client.submit("counts", json!(null)).await;
    faulty.lose_answers(Method::Apply, 1);
    assert!(world.runtime.deliver(&key("ann", &id)).await.is_err());
    world.settle().await;
    client.check_inbox(&[json!({"type": "complete", "request_id": id, "id": "c",
        "seq": 1_000_001, "result": [0]})]);
}

#[tokio::test(start_paused = true)]
async fn a_process_with_an_end_gives_back_what_still_runs_then() {
    let app = || App::new().task("counts", counts);
    let mut world = World::new(app());
    let client = world.connect("c1=", "ann");
    let id = client.submit("counts", json!(null)).await;
    let until = Instant::now() + ms(1_200);
    let key = key("ann", &id);
    let ran = world.runtime.deliver_until(&key, until).await.unwrap();
    assert_eq!(ran, Delivery::Ran(State::Queued));
    assert!(Instant::now() <= until + ms(500), "at its next step");
    let record = world.record("ann", &id).await;
    assert_eq!((record.attempt(), record.lost), (1, 0));
    let later = Instant::now() + ms(3_600_000);
    let ran = world.runtime.deliver_until(&key, later).await.unwrap();
    assert_eq!(ran, Delivery::Ran(State::Completed));
    let last = client.inbox().pop().unwrap();
    assert_eq!(last["result"], json!([0, 3]), "from its third checkpoint");
    world.finish_running().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_what_waits_says_until_when() {
    async fn fails() -> Result<(), Error> {
        Err(Error::internal("not now").retry())
    }
    let world = World::new(App::new().task("fails", fails));
    let client = world.connect("c1=", "ann");
    let id = client.submit("fails", json!(null)).await;
    let key = key("ann", &id);
    let Delivery::Waits(due_at) = world.runtime.deliver(&key).await.unwrap() else {
        panic!("it failed once");
    };
    let now = world.runtime.backends().clock.now();
    assert!(due_at > now);
    let again = world.runtime.deliver(&key).await.unwrap();
    assert_eq!(again, Delivery::Waits(due_at));
}
