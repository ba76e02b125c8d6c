//! A scenario's faults come in; they are caused when their time has come.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};

use crate::{
    books::ClientNo,
    scenario::{Cut, Fault, Scenario, Share, Span},
    world::{Order, World},
};

/// How often clients are looked at whose time to be cut has come.
const TICK: Duration = Duration::from_millis(50);

/// Causes every fault of the clients' own in its phase. Ends with the last phase.
pub(super) async fn cause(scenario: &Scenario, world: &Arc<World>, start: Instant) {
    let mut began = start;
    let mut troubles = Vec::new();
    for (place, phase) in scenario.phases.iter().enumerate() {
        let ends = began + phase.duration;
        for (number, fault) in phase.faults.iter().enumerate() {
            if let Fault::Cut(cut) = fault {
                let seed = scenario.seed ^ u64::try_from(place * 1000 + number).unwrap_or_default();
                troubles.push(cut_all(world, cut, began + cut.at, ends, seed));
            }
        }
        began = ends;
    }
    join_all(troubles).await;
    sleep_until(began.into()).await;
}

async fn cut_all(world: &Arc<World>, cut: &Cut, from: Instant, ends: Instant, seed: u64) {
    sleep_until(from.into()).await;
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let Some(each) = cut.each else {
        for (client, orders) in world.connected.all() {
            if chosen(client, seed, cut.share) {
                // A client that takes no order any more is about to end.
                let _ = orders.try_send(Order::Cut {
                    offline: dice.within(cut.offline),
                });
            }
        }
        return;
    };
    let apart = Span {
        from: each / 2,
        to: each + each / 2,
    };
    let mut next: HashMap<ClientNo, Instant> = HashMap::new();
    let mut ticks = interval_at(from.into(), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while Instant::now() < ends {
        ticks.tick().await;
        let now = Instant::now();
        for (client, orders) in world.connected.all() {
            if !chosen(client, seed, cut.share) {
                continue;
            }
            // The first comes anywhere in the time, so that clients that start together are not cut together.
            let due = next.entry(client).or_insert_with(|| {
                now + dice.within(Span {
                    to: each,
                    ..Span::default()
                })
            });
            if *due <= now {
                let offline = dice.within(cut.offline);
                *due = now + offline + dice.within(apart);
                // As above.
                let _ = orders.try_send(Order::Cut { offline });
            }
        }
    }
}

/// Whether a client is one of the share that something happens to.
fn chosen(client: ClientNo, seed: u64, share: Share) -> bool {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed ^ client.rotate_left(20)));
    dice.roll() < share.part()
}

struct Dice(ChaCha8Rng);

impl Dice {
    /// In 0–1, 1 excluded.
    fn roll(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    fn within(&mut self, span: Span) -> Duration {
        span.at(self.roll())
    }
}
