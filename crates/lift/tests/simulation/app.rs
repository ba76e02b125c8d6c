//! The app under simulation: one task whose payload says how it behaves.

use std::time::Duration;

use lift::app::App;
use lift::error::{Code, Error};
use lift::extract::State;
use lift::id::RequestId;
use lift::json::Json;
use lift::task::handle::Task;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::ledger::Ledger;

/// How a task behaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) steps: u32,
    pub(crate) step_ms: u64,
    /// Whether it says how far it is after each step.
    pub(crate) tells: bool,
    /// Steps between two checkpoints; 0: none.
    pub(crate) checkpoint_every: u32,
    /// Attempts that fail, half-way, and ask for another.
    pub(crate) failing: u32,
    /// Whether it stops when it is asked to.
    pub(crate) looks: bool,
    /// Whether it ends with an effect that cannot be undone.
    pub(crate) commits: bool,
}

impl Work {
    pub(crate) fn random(dice: &Dice) -> Self {
        let small = |sides: u64| u32::try_from(dice.roll(sides)).unwrap();
        Self {
            steps: 1 + small(12),
            step_ms: 1 + dice.roll(if dice.chance(200) { 4_000 } else { 400 }),
            tells: dice.chance(800),
            checkpoint_every: small(4),
            failing: if dice.chance(250) { small(5) } else { 0 },
            looks: dice.chance(850),
            commits: dice.chance(500),
        }
    }
}

async fn work(
    task: Task,
    id: RequestId,
    payload: Json,
    State(ledger): State<Ledger>,
) -> Result<u32, Error> {
    let work: Work = serde_json::from_str(payload.get()).map_err(Error::internal)?;
    ledger.say(|| {
        format!(
            "claim {} of {id} begins, attempt {}",
            task.claim(),
            task.attempt()
        )
    });
    let from: u32 = task.resumed_from().unwrap_or(0);
    for n in from..work.steps {
        sleep(Duration::from_millis(work.step_ms)).await;
        if task.attempt() <= work.failing && n >= work.steps / 2 {
            ledger.facts().failures.push(id.to_string());
            return Err(Error::new(Code::TaskFailed, "not this time").retry());
        }
        let done = n + 1;
        if work.tells {
            let percentage = 100.0 * f64::from(done) / f64::from(work.steps);
            let text = format!("{done} of {} by claim {}", work.steps, task.claim());
            let told = task.progress(percentage, &text).await;
            if work.looks {
                told?;
            }
        }
        if work.checkpoint_every > 0 && done % work.checkpoint_every == 0 {
            let kept = task.checkpoint(&done).await;
            if work.looks {
                kept?;
            }
        }
    }
    if work.commits {
        task.commit().await?;
        sleep(Duration::from_millis(work.step_ms)).await;
        ledger.facts().effects.push(id.to_string());
        sleep(Duration::from_millis(work.step_ms)).await;
    }
    Ok(work.steps)
}

pub(crate) fn app(ledger: &Ledger) -> App {
    App::new().state(ledger.clone()).task("work", work)
}
