//! One process's part of a scenario comes in, what it measured goes out, in a form that can be sent and merged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Error, Means, pacer::Pacer, processor::Processor, trouble};
use crate::{
    books::{Books, Cell, Note, Place, Second, Sketch},
    client,
    diary::{Diary, micros},
    echo::Echo,
    plan::{Due, Part, Plan, What},
    report::Moment,
    scenario::Scenario,
    world::{Order, World},
};

/// How long what is under way is waited for after an interrupt.
const INTERRUPT_DRAIN: Duration = Duration::from_secs(10);
/// How long clients may take to end after everything was ended.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What one process measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Partial {
    pub(super) cells: Vec<(Place, Cell)>,
    pub(super) seconds: Vec<Second>,
    /// By phase.
    pub(super) lag: Vec<(u16, Sketch)>,
    /// Notes that were not written: the books are not whole.
    pub(super) unwritten: u64,
    /// The part of the machine's processors that was used, in each second after the first phase's start, in 0–1.
    pub(super) cpu: Vec<f64>,
    pub(super) cpu_us: u64,
    pub(super) took_us: u64,
}

/// One process's part of a scenario, ready to begin: all that takes its time is done.
pub(super) struct Ready<'m> {
    scenario: Arc<Scenario>,
    means: &'m Means,
    part: Part,
    echo: Option<Echo>,
    world: Box<dyn FnOnce(Diary) -> World + Send>,
}

impl<'m> Ready<'m> {
    pub(super) async fn new(
        scenario: Arc<Scenario>,
        means: &'m Means,
        part: Part,
    ) -> Result<Self, Error> {
        let echo = if World::wants_echo(&scenario) {
            Some(Echo::start().await?)
        } else {
            None
        };
        let targets = (means.target.as_deref(), echo.as_ref());
        let world = World::ready(&scenario, targets, means.mint.clone());
        Ok(Self {
            world: Box::new(world.map_err(Error::Scenario)?),
            scenario,
            means,
            part,
            echo,
        })
    }

    /// Does it, from `start` on.
    pub(super) async fn run(
        self,
        start: Instant,
        kills: broadcast::Receiver<()>,
    ) -> Result<Partial, Error> {
        let Self {
            scenario,
            means,
            part,
            echo,
            world,
        } = self;
        let live = means
            .live
            .clone()
            .unwrap_or_else(|| watch::channel(Moment::default()).0);
        let mut ends = 0;
        let phase_ends = scenario.phases.iter().map(|phase| {
            ends += micros(phase.duration);
            ends
        });
        let books = Books::new(micros(scenario.limits.late_after), phase_ends.collect());
        let (diary, keeper) = Diary::open(start, books, live)?;
        let world = Arc::new(world(diary));
        let processor = Processor::start(start)?;
        let pacer = Pacer::start(Plan::new(&scenario, part), start, means.interrupt.clone())?;
        let told = listen(world.diary.clone(), kills);
        let begun = async {
            tokio::join!(
                schedule(&scenario, &world, part, start, pacer),
                trouble::cause(&scenario, &world, start)
            )
        };
        let measured = async {
            tokio::select! {
                _ = begun => {}
                () = means.interrupt.cancelled() => {}
            }
            drain(&scenario, &world, &means.interrupt).await;
        };
        tokio::select! {
            () = measured => {}
            () = told => {}
        }
        let took_us = world.diary.now();
        let (cpu, cpu_us) = processor.stop();
        let closing = tokio::task::spawn_blocking(move || keeper.close());
        let (closed, unwritten) = closing.await.map_err(std::io::Error::other)?;
        let partial = Ok(Partial {
            cells: closed.cells.into_iter().collect(),
            seconds: closed.seconds,
            lag: closed.lag.into_iter().collect(),
            unwritten,
            cpu,
            cpu_us,
            took_us,
        });
        // Ends after the clients.
        drop(echo);
        partial
    }
}

/// Waits for what is under way, and ends what does not end.
async fn drain(scenario: &Scenario, world: &World, interrupt: &CancellationToken) {
    world.over.cancel();
    world.tasks.close();
    let drain = if interrupt.is_cancelled() {
        scenario.limits.drain.min(INTERRUPT_DRAIN)
    } else {
        scenario.limits.drain
    };
    tokio::select! {
        _ = timeout(drain, world.tasks.wait()) => {}
        () = async { interrupt.cancelled().await; tokio::time::sleep(INTERRUPT_DRAIN).await } => {}
    }
    world.stop.cancel();
    world.readers.close();
    let ended = async { tokio::join!(world.tasks.wait(), world.readers.wait()) };
    if timeout(END_WITHIN, ended).await.is_err() {
        tracing::warn!("some clients did not end in time");
    }
}

/// Writes down when the server is killed. Ends never.
async fn listen(diary: Diary, mut kills: broadcast::Receiver<()>) {
    loop {
        match kills.recv().await {
            Ok(()) => diary.note(Note::Killed { at: diary.now() }),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Begins what is due, as it comes due.
async fn schedule(
    scenario: &Scenario,
    world: &Arc<World>,
    part: Part,
    start: Instant,
    mut pacer: Pacer,
) {
    let held: Vec<Option<usize>> = scenario
        .phases
        .iter()
        .map(|phase| {
            phase
                .hold
                .map(|all| usize::try_from(part.share(all)).unwrap_or(usize::MAX))
        })
        .collect();
    while let Some(Due { at, phase, what }) = pacer.due.recv().await {
        let due = start + at;
        match what {
            What::Start { client, behaviour } => {
                let held = held.get(usize::from(phase)).copied().flatten();
                if held.is_some_and(|held| world.alive() >= held) {
                    world.diary.late(due);
                    continue;
                }
                let place = Place { phase, behaviour };
                world
                    .tasks
                    .spawn(client::live(Arc::clone(world), client, place, due));
            }
            What::Message {
                behaviour, message, ..
            } => {
                let place = Place { phase, behaviour };
                if !world.senders.send(
                    behaviour,
                    Order::Send {
                        message,
                        due,
                        place,
                    },
                ) {
                    world.diary.late(due);
                    world.diary.note(Note::Missed { place });
                }
            }
        }
    }
    pacer.join();
}
