//! Durable requests beside what the disk and another queue can do: clients come in, table rows go out.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::wire::{frame, open, read_frame};
use crate::{Result, Server, total};

/// What the floor appends: about what one durable step of a request writes.
const APPEND_BYTES: usize = 1024;
/// Connections that each wait for one durable request at a time.
const WAITING: [usize; 2] = [64, 256];
pub(crate) async fn requests(dir: &Path, time: Duration) -> Result<()> {
    println!("\nDurable no-op requests, enqueue to complete\n");
    println!(
        "| clients | requests/s | floor: fdatasync/s | requests / floor | CPU µs/request | BullMQ jobs/s | requests / BullMQ |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for clients in WAITING {
        durable(dir, clients, time).await?;
    }
    Ok(())
}

async fn durable(dir: &Path, clients: usize, time: Duration) -> Result<()> {
    let store = dir.join(format!("durable-{clients}"));
    let before = floor(&dir.join("floor"), time / 2)?;
    let server = Server::example(&["app", store.to_str().ok_or("not UTF-8")?])?;
    let message = frame(r#"{"id":"1","action":"no-op","payload":{"input":"orders.csv"}}"#);
    let mut waiting = JoinSet::new();
    let (started, cpu) = (Instant::now(), server.cpu()?);
    for _ in 0..clients {
        let (mut socket, message) = (open(&server.address, None).await?, message.clone());
        waiting.spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < time {
                socket.get_mut().write_all(&message).await?;
                while !read_frame(&mut socket)
                    .await?
                    .starts_with(br#"{"type":"complete""#)
                {}
                count += 1;
            }
            Result::Ok(count)
        });
    }
    let requests = total(waiting).await?;
    let cpu = (server.cpu()? - cpu) * 1e6 / requests;
    let rate = requests / started.elapsed().as_secs_f64();
    drop(server);
    let floor = f64::midpoint(before, floor(&dir.join("floor"), time / 2)?);
    println!(
        "| {clients} | {rate:.0} | {floor:.0} | {:.2} | {cpu:.0} | {} |",
        rate / floor,
        bullmq(clients, time)?.map_or("not measured | ".to_owned(), |jobs| format!(
            "{jobs:.0} | {:.1}",
            rate / jobs
        )),
    );
    Ok(())
}

/// Jobs per second of BullMQ on a Redis that syncs every write, where the machine has Redis.
fn bullmq(clients: usize, time: Duration) -> Result<Option<f64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bullmq/run.sh");
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(None);
    }
    let (clients, seconds) = (clients.to_string(), time.as_secs().to_string());
    let output = Command::new("bash")
        .args([script, &clients, &seconds])
        .stderr(Stdio::null())
        .output()?;
    let jobs = String::from_utf8(output.stdout)?;
    let jobs = jobs.trim().parse().ok();
    if jobs.is_none() {
        eprintln!("BullMQ ends with an error with {clients} clients");
    }
    Ok(jobs)
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
