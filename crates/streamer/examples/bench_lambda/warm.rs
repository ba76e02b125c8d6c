//! In: the bootstrap. Out: what an `echo` takes it through the Runtime API against an empty handler, and how its memory grows.

use std::path::Path;

use bytes::Bytes;

use crate::Result;
use crate::bootstrap::{Bootstrap, Running, Trusted};
use crate::events;
use crate::runtime_api::RuntimeApi;
use crate::stand_in::StandIn;

/// After how many events memory is looked at. What comes before the first is not counted as CPU time.
const LOOKS: [u32; 3] = [100, 1_000, 10_000];
/// Events that one bootstrap has before the other has its turn.
const TURN: u32 = 100;

pub(crate) async fn figures(stand_in: &StandIn, bootstrap: &Path) -> Result<()> {
    let ours = Bootstrap::new("ours", bootstrap, Trusted::One);
    let built = bootstrap
        .parent()
        .ok_or("the bootstrap is in no directory")?;
    let empty = built.join("examples/empty_lambda");
    let mut all = vec![Warm::start("`echo` of the bootstrap", &ours, stand_in).await?];
    if empty.is_file() {
        let empty = Bootstrap::new("empty", &empty, Trusted::One);
        all.push(Warm::start("an empty handler of `lambda_runtime`", &empty, stand_in).await?);
    }
    let event = Bytes::from(events::message());
    let turns = LOOKS.last().map_or(0, |last| last / TURN);
    for turn in 1..=turns {
        for one in &mut all {
            one.turn(&event, turn * TURN).await?;
        }
    }
    println!(
        "\n`echo` of 200 characters through the Runtime API, one at a time, in turns of {TURN}\n"
    );
    println!("| handler | CPU µs/event | bootstrap / it | RSS MiB after 100 | 1,000 | 10,000 |");
    println!("|---|--:|--:|--:|--:|--:|");
    let mut ours = None;
    for one in all {
        let cpu = one.cpu_us()?;
        let memory: Vec<String> = one.memory.iter().map(|mib| format!("{mib:.1}")).collect();
        println!(
            "| {} | {cpu:.1} | {:.2} | {} |",
            one.name,
            *ours.get_or_insert(cpu) / cpu,
            memory.join(" | "),
        );
        one.running.kill().await?;
    }
    if !empty.is_file() {
        println!(
            "\n`{}` is not there: the ratio is not measured",
            empty.display()
        );
    }
    Ok(())
}

struct Warm {
    name: &'static str,
    api: RuntimeApi,
    running: Running,
    memory: Vec<f64>,
    cpu_before: f64,
}

impl Warm {
    async fn start(name: &'static str, bootstrap: &Bootstrap, stand_in: &StandIn) -> Result<Self> {
        let mut api = RuntimeApi::start().await?;
        let running = bootstrap.spawn("message", &api.address, stand_in)?;
        api.next().await?;
        Ok(Self {
            name,
            api,
            running,
            memory: Vec::new(),
            cpu_before: 0.0,
        })
    }

    /// The next events, the last of which is number `to`.
    async fn turn(&mut self, event: &Bytes, to: u32) -> Result<()> {
        for _ in 0..TURN {
            self.api.answer(event).await?;
            self.api.next().await?;
        }
        if LOOKS.contains(&to) {
            self.memory.push(self.running.resident()?);
        }
        if Some(&to) == LOOKS.first() {
            self.cpu_before = self.running.cpu()?.as_secs_f64();
        }
        Ok(())
    }

    fn cpu_us(&self) -> Result<f64> {
        let events = LOOKS
            .last()
            .zip(LOOKS.first())
            .map(|(last, first)| last - first);
        let spent = self.running.cpu()?.as_secs_f64() - self.cpu_before;
        Ok(spent * 1e6 / f64::from(events.unwrap_or(1)))
    }
}
