//! Durable requests per second against the disk's own floor: a directory comes in, a table goes out.
//!
//! `cargo run --release -p lift-embedded --example bench_store -- [DIR] [SECONDS]`
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lift::clock::Timestamp;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::task::record::{Key, NewTask, Outcome, ResultAt};
use lift::task::store::{Put, TaskStore};
use lift::task::transition::{Applied, Transition};
use lift_embedded::{EmbeddedTasks, Options};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Bytes of one append of the floor: about what one request writes in each of its three steps.
const APPEND_BYTES: usize = 1024;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .map_or_else(|| PathBuf::from("bench-store"), PathBuf::from);
    let seconds = args.next().map_or(Ok(3), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    std::fs::create_dir_all(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    println!(
        "| producers | requests/s | durable writes/s | floor: fdatasync/s | requests / floor |"
    );
    println!("|--:|--:|--:|--:|--:|");
    for producers in [1, 16, 64, 256] {
        let floor = floor(&dir.join("floor"), time / 2)?;
        let requests = runtime.block_on(requests(&dir.join("store"), producers, time))?;
        let (writes, ratio) = (requests * 3.0, requests / floor);
        println!("| {producers} | {requests:.0} | {writes:.0} | {floor:.0} | {ratio:.2} |");
    }
    runtime.block_on(reads(&dir.join("store")))?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// How often a second this disk takes an append and makes it durable.
fn floor(path: &Path, time: Duration) -> Result<f64> {
    let mut file = File::create(path)?;
    let block = [7; APPEND_BYTES];
    let (started, mut appends) = (Instant::now(), 0.0);
    while started.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        appends += 1.0;
    }
    Ok(appends / started.elapsed().as_secs_f64())
}

/// Requests a second that are put, claimed and finished, each step durable.
async fn requests(dir: &Path, producers: u32, time: Duration) -> Result<f64> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let store = Arc::new(EmbeddedTasks::open(dir, &Options::default())?);
    let finished = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut running = JoinSet::new();
    for producer in 0..producers {
        let (store, finished) = (Arc::clone(&store), Arc::clone(&finished));
        running.spawn(async move {
            let owner = Owner::new("acme", &format!("user{producer}"))?;
            let mut n = 0;
            while started.elapsed() < time {
                n += 1;
                one(&store, &owner, n).await?;
                finished.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let elapsed = started.elapsed().as_secs_f64();
    store.close().await?;
    let finished = u32::try_from(finished.load(Ordering::Relaxed))?;
    Ok(f64::from(finished) / elapsed)
}

async fn one(store: &EmbeddedTasks, owner: &Owner, n: u128) -> Result<()> {
    let now = Timestamp::from_millis(1_750_000_000_000);
    let key = Key {
        owner: owner.clone(),
        id: RequestId::from_parts(now, n),
    };
    let new = NewTask {
        key: key.clone(),
        client_id: Some("c1".to_owned()),
        action: "process_data".to_owned(),
        metadata: BTreeMap::new(),
        input: Json::parse(format!("{{\"input\":\"orders.csv\",\"rows\":{n}}}"))?,
        connection: ConnectionId::new("L0SM9cOFvHcCIhw="),
        idempotency: None,
        created_at: now,
        start_after: Duration::ZERO,
        timeout: Duration::from_secs(3600),
        keep: Duration::from_secs(7 * 24 * 3600),
        queued_max: 1_000,
    };
    let Put::Stored(_) = store.put(new).await? else {
        return Err("not stored".into());
    };
    let lease = Duration::from_secs(15);
    let outcome = Outcome::Completed(ResultAt::Inline(Json::parse("{\"rows\":7}".to_owned())?));
    let finish = Transition::Finish {
        claim: 1,
        outcome,
        n: 1,
        result: None,
    };
    for transition in [Transition::Claim { lease }, finish] {
        let Applied::Done(_) = store.apply(&key, transition, now).await? else {
            return Err("refused".into());
        };
    }
    Ok(())
}

/// How long an opening and a read take, on what the last run left.
async fn reads(dir: &Path) -> Result<()> {
    let started = Instant::now();
    let store = EmbeddedTasks::open(dir, &Options::default())?;
    let (opened, records) = (started.elapsed(), store.report().records);
    println!("\nopened {records} records in {opened:.0?}");
    let (owner, now) = (
        Owner::new("acme", "user1")?,
        Timestamp::from_millis(1_750_000_000_000),
    );
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    const READS: u32 = 10_000;
    for n in 0..READS {
        let id = RequestId::from_parts(now, u128::from(1 + n * 7919 % 100));
        let one = Instant::now();
        store
            .get(&Key {
                owner: owner.clone(),
                id,
            })
            .await?;
        slowest = slowest.max(one.elapsed());
    }
    println!(
        "get: {:.1?} on average, {slowest:.1?} at most",
        started.elapsed() / READS
    );
    let blocking = Instant::now();
    for _ in 0..READS {
        tokio::task::spawn_blocking(|| ()).await?;
    }
    println!(
        "an empty spawn_blocking: {:.1?}",
        blocking.elapsed() / READS
    );
    Ok(())
}
