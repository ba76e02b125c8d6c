//! A behaviour comes in; one virtual client does it, and tells the diary.

mod line;
mod plain;
mod streamer;

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::{sync::mpsc, time::sleep_until};

use self::line::{Line, Sending};
use crate::{
    books::{ClientNo, Note, OfConnection, OfMessage, Place, Seq},
    scenario::{Reconnect, Span, Step},
    world::{Act, Kind, ORDERS_MAX, Order, Ready, World},
};

/// A client whose connection cannot be made, or is gone: it does no more of its steps.
struct Ended;

/// Does everything that a client of this behaviour does, until it is done or the run is.
pub(crate) async fn live(world: Arc<World>, client: ClientNo, place: Place, due: Instant) {
    let Some(kind) = world.kinds.get(usize::from(place.behaviour)) else {
        return;
    };
    let at = world.diary.at(due);
    world.diary.note(Note::Begun {
        client,
        place,
        due: at,
    });
    world.diary.late(due);
    let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
    let random = ChaCha8Rng::seed_from_u64(world.seed ^ client.wrapping_add(1).rotate_left(32));
    let mut script = Script {
        world: &world,
        kind,
        client,
        place,
        seq: 0,
        line: None,
        orders,
        orders_in,
        due,
        free_since: due,
        random,
    };
    tokio::select! {
        () = script.run() => {}
        () = world.stop.cancelled() => {}
    }
    script.leave();
}

struct Script<'w> {
    world: &'w Arc<World>,
    kind: &'w Kind,
    client: ClientNo,
    place: Place,
    /// The number of the last message.
    seq: Seq,
    line: Option<Line>,
    orders: mpsc::Receiver<Order>,
    orders_in: mpsc::Sender<Order>,
    /// When the next step is due.
    due: Instant,
    /// Since when nothing but the generator itself keeps it from taking orders.
    free_since: Instant,
    random: ChaCha8Rng,
}

impl<'w> Script<'w> {
    async fn run(&mut self) {
        let kind = self.kind;
        // Steps that cannot be done have been told to the diary.
        let _ = self.all(&kind.steps).await;
        self.disconnect().await;
    }

    /// Takes no order any more, and says of those that it was given that nobody did them.
    fn leave(mut self) {
        self.world
            .connected
            .leave(self.place.behaviour, self.client);
        self.world.senders.leave(self.place.behaviour, self.client);
        if self.line.take().is_some() {
            self.tell(OfConnection::Closed {
                at: self.world.diary.now(),
            });
        }
        while let Ok(order) = self.orders.try_recv() {
            self.miss(order);
        }
    }

    fn miss(&self, order: Order) {
        if let Order::Send { place, .. } = order {
            self.world.diary.note(Note::Missed { place });
        }
    }

    fn all<'a>(&'a mut self, acts: &'w [Act]) -> BoxFuture<'a, Result<(), Ended>> {
        async move {
            for act in acts {
                self.one(act).await?;
            }
            Ok(())
        }
        .boxed()
    }

    async fn one(&mut self, act: &'w Act) -> Result<(), Ended> {
        match act {
            Act::Send(ready) => {
                let line = self.line.clone().filter(|line| !line.is_gone());
                let line = line.ok_or(Ended)?;
                let sending = self.sending(self.due, self.place);
                sending.note_due(self.world, ready);
                self.meanwhile(line.exchange(self.world, ready, sending))
                    .await;
                self.due = Instant::now();
            }
            Act::Repeat { times, every, acts } => {
                let began = self.due;
                for round in 0..*times {
                    if let Some(every) = every {
                        self.due = began + *every * round;
                        self.wait_until_due().await;
                    }
                    self.all(acts).await?;
                }
            }
            Act::Other(step) => self.other(step).await?,
        }
        Ok(())
    }

    async fn other(&mut self, step: &Step) -> Result<(), Ended> {
        match step {
            Step::Connect => self.connect().await?,
            Step::Think(span) => {
                let thinks = self.within(*span);
                self.due += thinks;
                self.wait_until_due().await;
            }
            Step::Stay(stay) => {
                let at_most = stay.at_most.map(|span| self.within(span));
                self.stay(at_most).await?;
                self.due = Instant::now();
            }
            Step::Reconnect(Reconnect { offline }) => {
                let offline = self.within(*offline);
                self.cut(offline).await?;
                self.due = Instant::now();
            }
            Step::Disconnect => {
                self.disconnect().await;
                self.due = Instant::now();
            }
            Step::Send(_) | Step::Repeat(_) => {}
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Ended> {
        let Some(line) = Line::open(self.world, self.kind, self.client).await else {
            self.tell(OfConnection::Failed);
            return Err(Ended);
        };
        self.line = Some(line);
        self.due = Instant::now();
        self.world
            .connected
            .come(self.place.behaviour, self.client, self.orders_in.clone());
        Ok(())
    }

    async fn disconnect(&mut self) {
        self.world
            .connected
            .leave(self.place.behaviour, self.client);
        if let Some(line) = self.line.take() {
            self.tell(OfConnection::Closed {
                at: self.world.diary.now(),
            });
            line.close().await;
        }
    }

    /// Sends what the schedule asks for until the last phase is over, or `at_most` so long.
    async fn stay(&mut self, at_most: Option<Duration>) -> Result<(), Ended> {
        let world = self.world;
        world
            .senders
            .come(self.place.behaviour, self.client, self.orders_in.clone());
        let until = at_most.map(|at_most| Instant::now() + at_most);
        let mut over = pin!(async {
            match until {
                Some(until) => tokio::select! {
                    () = world.over.cancelled() => {}
                    () = sleep_until(until.into()) => {}
                },
                None => world.over.cancelled().await,
            }
        });
        let mut waiting: VecDeque<(&'w Ready, Sending)> = VecDeque::new();
        let mut running = FuturesUnordered::new();
        let mut leaving = false;
        loop {
            while running.len() < self.kind.in_flight
                && let Some((ready, sending)) = waiting.pop_front()
            {
                let line = self.line.clone().ok_or(Ended)?;
                running.push(async move { line.exchange(world, ready, sending).await });
            }
            if leaving && running.is_empty() && waiting.is_empty() {
                return Ok(());
            }
            if waiting.len() >= ORDERS_MAX {
                self.free_since = Instant::now();
            }
            tokio::select! {
                () = &mut over, if !leaving => {
                    leaving = true;
                    world.senders.leave(self.place.behaviour, self.client);
                    // What was given to it before is still due.
                    while let Ok(order) = self.orders.try_recv() {
                        waiting.extend(self.accept(order));
                    }
                }
                Some(order) = self.orders.recv(), if waiting.len() < ORDERS_MAX => match order {
                    Order::Send { .. } => waiting.extend(self.accept(order)),
                    Order::Cut { offline } => self.cut(offline).await?,
                },
                Some(()) = running.next() => {}
            }
        }
    }

    fn accept(&mut self, order: Order) -> Option<(&'w Ready, Sending)> {
        let Order::Send {
            message,
            due,
            place,
        } = order
        else {
            return None;
        };
        let ready = self.kind.messages.get(usize::from(message))?;
        self.world.diary.late(due.max(self.free_since));
        let sending = self.sending(due, place);
        sending.note_due(self.world, ready);
        Some((ready, sending))
    }

    async fn cut(&mut self, offline: Duration) -> Result<(), Ended> {
        let Some(line) = self.line.take() else {
            return Ok(());
        };
        let at = self.world.diary.now();
        let back = self.world.diary.at(Instant::now() + offline);
        self.tell(OfConnection::Cut { at, back });
        let line = line.cut(self.world, self.kind, self.client, offline).await;
        self.free_since = Instant::now();
        match line {
            Some(line) => self.line = Some(line),
            None => {
                self.tell(OfConnection::Failed);
                return Err(Ended);
            }
        }
        Ok(())
    }

    async fn wait_until_due(&mut self) {
        let due = self.due;
        let early = Instant::now() < due;
        self.meanwhile(sleep_until(due.into())).await;
        if early && self.free_since <= due {
            // How late a timer wakes a client is the generator's own time, and told as such.
            self.world.diary.late(due);
            self.due = Instant::now();
        }
    }

    /// Waits for something, and obeys what the run orders meanwhile.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Some(output),
                Some(order) = self.orders.recv() => match order {
                    Order::Cut { offline } => self.cut(offline).await.ok()?,
                    // It came after the client had left: nobody else can take it now.
                    Order::Send { .. } => self.miss(order),
                },
            }
        }
    }

    fn sending(&mut self, due: Instant, place: Place) -> Sending {
        self.seq += 1;
        Sending {
            client: self.client,
            seq: self.seq,
            due,
            place,
        }
    }

    fn within(&mut self, span: Span) -> Duration {
        let part = f64::from(u32::try_from(self.random.next_u64() >> 32).unwrap_or_default())
            / f64::from(u32::MAX);
        span.at(part)
    }

    fn tell(&self, what: OfConnection) {
        self.world.diary.note(Note::Connection {
            client: self.client,
            what,
        });
    }
}

impl Sending {
    fn note_due(&self, world: &World, ready: &Ready) {
        let what = OfMessage::Due {
            place: self.place,
            due: world.diary.at(self.due),
            awaited: ready.awaited(),
        };
        self.tell(world, what);
    }

    fn tell(&self, world: &World, what: OfMessage) {
        world.diary.note(Note::Message {
            client: self.client,
            seq: Some(self.seq),
            what,
        });
    }
}
