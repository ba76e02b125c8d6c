//! What a worker says of a request under paused time: progress, posts to its connections, results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lift::app::App;
use lift::clock::Timestamp;
use lift::error::{Error, StoreError};
use lift::json::Json;
use lift::task::announce::Results;
use lift::task::handle::Task;
use lift::task::memory::MemoryResults;
use lift::task::record::{Key, ResultAt, State};
use lift::task::worker::Delivery;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::worker::{looks, ms, started, types};
use crate::world::{Fault, World, key};

/// Reports so often, in steps of so many milliseconds, and gives when each message arrived.
async fn spacing(reports: u32, every: u64, store_takes: &[u64]) -> (Vec<Duration>, Vec<f64>) {
    let act = move |task: Task| async move {
        for n in 0..reports {
            let percentage = if n % 7 == 6 { 1.0 } else { f64::from(n) };
            task.progress(percentage, "going").await?;
            sleep(ms(every)).await;
        }
        sleep(ms(500)).await;
        Ok::<_, Error>(())
    };
    let faulty = Faulty::default();
    let mut world = World::with(App::new().task("act", act), |tasks| faulty.over(tasks));
    let client = world.connect("c1=", "ann");
    client.submit("act", json!(null)).await;
    let began = Instant::now();
    world.start_due().await;
    for takes in store_takes.iter().cycle().take(40) {
        faulty.delay(ms(*takes));
        sleep(ms(60)).await;
    }
    world.settle().await;
    let mut inbox = client.inbox();
    assert_eq!(inbox.pop().unwrap()["type"], "complete");
    let mut arrivals = world.posts.arrivals("c1=", began);
    arrivals.pop();
    let percentages = inbox
        .iter()
        .map(|message| message["percentage"].as_f64().unwrap());
    (arrivals, percentages.collect())
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_at_most_every_100_ms_and_never_goes_down() {
    for (reports, every, store_takes) in [
        (50, 10, &[0][..]),
        (5, 400, &[0]),
        (100, 3, &[80, 0]),
        (60, 20, &[0, 90, 30]),
    ] {
        let (arrivals, percentages) = spacing(reports, every, store_takes).await;
        assert!(arrivals.len() > 2, "{arrivals:?}");
        let spaced = arrivals.windows(2).all(|pair| pair[1] - pair[0] >= ms(100));
        assert!(spaced, "{arrivals:?}");
        let rising = percentages.windows(2).all(|pair| pair[1] >= pair[0]);
        assert!(rising, "{percentages:?}");
        assert!(
            percentages.last() >= Some(&f64::from(reports - 2)),
            "the latest wins"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn percentages_do_not_go_down_with_a_new_claim() {
    let act = |task: Task| async move {
        if task.claim() == 1 {
            task.progress(60.0, "far").await?;
            sleep(ms(60_000)).await;
        }
        task.progress(5.0, "again").await?;
        sleep(ms(500)).await;
        Ok::<_, Error>(())
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    started(&mut world, &client, "act", ms(500)).await;
    world.crash().await;
    world.settle().await;
    let told: Vec<(u64, f64)> = client
        .inbox()
        .iter()
        .filter_map(|message| Some((message["seq"].as_u64()?, message["percentage"].as_f64()?)))
        .collect();
    assert_eq!(told, [(1, 60.0), (1_000_001, 60.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_is_not_posted_to_again_and_others_are() {
    let mut world = World::new(App::new().task("looks", looks));
    let (one, two) = (world.connect("c1=", "ann"), world.connect("c2=", "ann"));
    let id = started(&mut world, &one, "looks", ms(100)).await;
    two.ask(
        "request.resume",
        json!({"requests": [{"request_id": id, "after_seq": 1}]}),
    )
    .await;
    sleep(ms(1_000)).await;
    world.cut(&one).await;
    sleep(ms(1_000)).await;
    let reopened = world.connect("c1=", "ann");
    world.finish_running().await;
    let inbox = reopened.inbox();
    assert_eq!(types(&inbox), ["complete"], "progress skips it for good");
    assert_eq!(types(&two.inbox()).last(), Some(&"complete"));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_misses_progress_but_waits_for_the_end() {
    let act = |task: Task| async move {
        task.progress(10.0, "ten").await?;
        sleep(ms(1_000)).await;
        Ok::<_, Error>(())
    };
    let mut world = World::new(App::new().task("act", act));
    let (one, two) = (world.connect("c1=", "ann"), world.connect("c2=", "ann"));
    for faults in [
        vec![Fault::Throttled; 60],
        vec![Fault::Unavailable; 20],
        vec![Fault::Throttled, Fault::Unavailable, Fault::Throttled],
        vec![Fault::Hangs, Fault::Throttled],
        vec![Fault::Throttled, Fault::Hangs],
    ] {
        let id = one.submit("act", json!(null)).await;
        two.ask("request.resume", json!({"requests": [{"request_id": id}]}))
            .await;
        world.posts.fail("c1=", &faults);
        world.settle().await;
        assert_eq!(types(&one.inbox()), ["complete"], "{faults:?}");
        assert_eq!(types(&two.inbox()), ["progress", "complete"], "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_has_room_holds_nothing_up_for_long() {
    let mut world = World::new(App::new().task("act", || async { Ok::<_, Error>(()) }));
    let (one, two) = (world.connect("c1=", "ann"), world.connect("c2=", "ann"));
    for fault in [Fault::Throttled, Fault::Hangs] {
        let id = one.submit("act", json!(null)).await;
        two.ask("request.resume", json!({"requests": [{"request_id": id}]}))
            .await;
        world.posts.fail("c1=", &[fault; 1_000]);
        let began = Instant::now();
        world.settle().await;
        assert!(began.elapsed() <= ms(21_000), "{:?}", began.elapsed());
        assert_eq!(types(&two.inbox()), ["complete"]);
        assert_eq!(types(&one.inbox()), [""; 0]);
        assert_eq!(world.record("ann", &id).await.state, State::Completed);
    }
}

/// A result of so many bytes: where it is kept, and what the client is told.
async fn check_result(bytes: usize, kept: fn(&ResultAt) -> bool, url: bool) {
    let act = |payload: Json| async move {
        let letters: usize = serde_json::from_str(payload.get()).map_err(Error::internal)?;
        Ok::<_, Error>("a".repeat(letters - 2))
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    let id = client.submit("act", json!(bytes)).await;
    world.settle().await;
    let record = world.record("ann", &id).await;
    let Some(lift::task::record::Outcome::Completed(at)) = record.terminal.map(|end| end.outcome)
    else {
        panic!("it completed");
    };
    assert!(kept(&at), "{bytes}: {at:?}");
    let told = client.inbox().pop().unwrap();
    let view = client.ask("request.get", json!({"request_id": id})).await["data"].clone();
    for message in [&told, &view] {
        if url {
            assert_eq!(message["result_url"], json!(format!("memory:{id}")));
            assert_eq!(message["expires_at"], "2026-11-22T11:00:00.000Z");
            assert_eq!(message.get("result"), None);
        } else {
            assert_eq!(message["result"].to_string().len(), bytes);
            assert_eq!(
                (message.get("result_url"), message.get("expires_at")),
                (None, None)
            );
        }
    }
    assert_eq!(
        world.results.get(&id).map(|bytes| bytes.len()),
        url.then_some(bytes)
    );
}

#[tokio::test(start_paused = true)]
async fn a_result_is_kept_in_the_record_beside_it_or_as_an_object() {
    check_result(10, |at| matches!(at, ResultAt::Inline(_)), false).await;
    check_result(4 * 1024, |at| matches!(at, ResultAt::Inline(_)), false).await;
    check_result(4 * 1024 + 1, |at| matches!(at, ResultAt::Beside), false).await;
    check_result(100 * 1024, |at| matches!(at, ResultAt::Beside), false).await;
    check_result(100 * 1024 + 1, |at| matches!(at, ResultAt::Object(_)), true).await;
    check_result(1_000_000, |at| matches!(at, ResultAt::Object(_)), true).await;
}

/// A place for results that is away for the first calls.
#[derive(Debug)]
struct AwayAtFirst(MemoryResults, AtomicU32);

#[async_trait::async_trait]
impl Results for AwayAtFirst {
    async fn keep(&self, key: &Key, result: Bytes) -> Result<String, StoreError> {
        if self.1.fetch_add(1, Ordering::Relaxed) < 10 {
            return Err(StoreError::unavailable("no room"));
        }
        self.0.keep(key, result).await
    }

    fn url(&self, key: &Key, name: &str, expires_at: Timestamp) -> String {
        self.0.url(key, name, expires_at)
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_kept_for_a_moment_is_no_failed_attempt() {
    let app = || App::new().task("act", || async { Ok::<_, Error>("a".repeat(200_000)) });
    let world = World::new(app());
    let client = world.connect("c1=", "ann");
    let mut backends = world.runtime.backends().clone();
    backends.results = Arc::new(AwayAtFirst(world.results.clone(), AtomicU32::new(0)));
    let worker = app().bind(backends);
    let id = client.submit("act", json!(null)).await;
    let ran = worker.deliver(&key("ann", &id)).await.unwrap();
    assert_eq!(ran, Delivery::Ran(State::Completed));
    assert_eq!(world.record("ann", &id).await.attempt(), 1);
    assert_eq!(types(&client.inbox()), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn long_progress_is_cut() {
    use lift::task::progress::Update;
    let act = |task: Task| async move {
        for metadata in [2_048, 2_049] {
            let metadata = Json::of(&json!({"m": "m".repeat(metadata - 8)})).ok();
            let message = "é".repeat(400);
            task.update(Update {
                percentage: f64::INFINITY,
                message,
                metadata,
            })
            .await?;
            sleep(ms(200)).await;
        }
        Ok::<_, Error>(())
    };
    let mut world = World::new(App::new().task("act", act));
    let client = world.connect("c1=", "ann");
    client.submit("act", json!(null)).await;
    world.settle().await;
    let inbox = client.inbox();
    assert_eq!(types(&inbox), ["progress", "progress", "complete"]);
    assert_eq!(inbox[0]["message"], "é".repeat(256));
    assert_eq!(inbox[0]["metadata"].to_string().len(), 2_048);
    assert_eq!(inbox[1].get("metadata"), None);
}
