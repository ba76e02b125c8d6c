//! In: bootstraps. Out: how long each takes from its start to its first event answered, and against ours.

use std::time::Duration;

use bytes::Bytes;

use crate::Result;
use crate::bootstrap::{Bootstrap, Running};
use crate::events;
use crate::quota::{Quota, SHARE_PER_CENT};
use crate::runtime_api::RuntimeApi;
use crate::stand_in::StandIn;

/// What a bootstrap gets of the CPU.
#[derive(Clone, Copy)]
enum Cpu<'a> {
    All,
    /// A share, from its start on.
    Share(&'a Quota),
    /// A share, once it asks for its first event.
    ShareAfterInit(&'a Quota),
}

/// One start.
struct Start {
    next: Duration,
    answered: Duration,
    cpu: Duration,
    calls: usize,
}

pub(crate) async fn figures(
    stand_in: &StandIn,
    bootstraps: &[Bootstrap],
    runs: usize,
) -> Result<()> {
    println!("\n{runs} starts of each, in turn; one call over TLS each unless said\n");
    table(stand_in, bootstraps, runs, Cpu::All).await?;
    let quota = match Quota::make() {
        Ok(quota) => quota,
        Err(why) => {
            println!("\nUnder the quota of 128 MB: not measured, since {why}");
            return Ok(());
        }
    };
    println!("\nThe same with {SHARE_PER_CENT:.1} % of a CPU, as 128 MB have, from the start on\n");
    table(stand_in, bootstraps, runs, Cpu::Share(&quota)).await?;
    println!("\nThe same with that share from the first `next` on, as Lambda has it\n");
    table(stand_in, bootstraps, runs, Cpu::ShareAfterInit(&quota)).await
}

async fn table(
    stand_in: &StandIn,
    bootstraps: &[Bootstrap],
    runs: usize,
    cpu: Cpu<'_>,
) -> Result<()> {
    let event = Bytes::from(events::connect());
    let mut starts: Vec<(&Bootstrap, Vec<Start>)> = Vec::new();
    starts.extend(bootstraps.iter().map(|bootstrap| (bootstrap, Vec::new())));
    for _ in 0..runs {
        for (bootstrap, starts) in &mut starts {
            let start = start(bootstrap, stand_in, &event, cpu).await;
            starts.push(start.map_err(|error| format!("{}: {error}", bootstrap.name))?);
        }
        // No bootstrap is always the one after another.
        starts.rotate_left(1);
    }
    let at = runs % bootstraps.len();
    starts.rotate_right(at);
    println!(
        "| bootstrap | first `next` ms, p50 | p95 | ours / it | first event answered ms, p50 | p95 | ours / it | CPU ms, p50 | calls |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut ours = None;
    for (bootstrap, starts) in &starts {
        let next = Spread::of(starts.iter().map(|start| start.next));
        let answered = Spread::of(starts.iter().map(|start| start.answered));
        let cpu = Spread::of(starts.iter().map(|start| start.cpu));
        let calls = starts.iter().map(|start| start.calls).max().unwrap_or(0);
        let (our_next, our_answered) = *ours.get_or_insert((next.p50, answered.p50));
        println!(
            "| {} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} | {:.1} | {calls} |",
            bootstrap.name,
            next.p50,
            next.p95,
            our_next / next.p50,
            answered.p50,
            answered.p95,
            our_answered / answered.p50,
            cpu.p50,
        );
    }
    Ok(())
}

async fn start(
    bootstrap: &Bootstrap,
    stand_in: &StandIn,
    event: &Bytes,
    cpu: Cpu<'_>,
) -> Result<Start> {
    let mut api = RuntimeApi::start().await?;
    stand_in.calls();
    let running: Running = match cpu {
        Cpu::All | Cpu::ShareAfterInit(_) => bootstrap.spawn("connect", &api.address, stand_in)?,
        Cpu::Share(quota) => {
            let spawning = bootstrap.spawn_under(quota, "connect", &api.address, stand_in);
            spawning.await?
        }
    };
    let next = api.next().await?.duration_since(running.at);
    if let Cpu::ShareAfterInit(quota) = cpu {
        quota.take(running.id()?)?;
    }
    let (answered, answer) = api.answer(event).await?;
    let start = Start {
        next,
        answered: answered.duration_since(running.at),
        cpu: running.cpu_of_threads()?,
        calls: stand_in.calls(),
    };
    running.kill().await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    match answer.get("statusCode").and_then(serde_json::Value::as_u64) {
        Some(200) => Ok(start),
        _ => Err(format!("`$connect` is answered {answer}").into()),
    }
}

/// Of times in ms.
struct Spread {
    p50: f64,
    p95: f64,
}

impl Spread {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let time = times.get(times.len().saturating_sub(1) * percent / 100);
            time.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        Self {
            p50: at(50),
            p95: at(95),
        }
    }
}
