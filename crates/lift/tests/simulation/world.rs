//! One run: a plan comes in; processes start, crash, drain and come back while clients work; what was broken comes out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lift::app::{Backends, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::event::Connection;
use lift::id::Owner;
use lift::outbound::Outbound;
use lift::overload::Load;
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::memory::{MemoryResults, MemoryTasks};
use lift::task::record::Key;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::app;
use crate::check;
use crate::client::{self, Client};
use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::plan::{Place, Plan};
use crate::store::{WeatheredTasks, all_ended};

const START: Timestamp = Timestamp::from_millis(1_795_341_600_000);
/// All requests must have ended so long after the faults did.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

/// One process: what runs in it dies with it.
struct Process {
    runtime: Runtime,
    running: Mutex<JoinSet<()>>,
    delivering: Mutex<Vec<Key>>,
}

impl Process {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap();
        while running.try_join_next().is_some() {}
        running.spawn(task);
    }
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) ledger: Ledger,
    pub(crate) gateway: Gateway,
    store: WeatheredTasks,
    results: MemoryResults,
    began: Instant,
    processes: Mutex<Vec<Arc<Process>>>,
    /// What AWS itself does, which does not crash.
    outside: Mutex<JoinSet<()>>,
    connections: AtomicU64,
}

/// Runs a plan on a thread's own paused clock: what it broke, and a line for all that happened.
pub(crate) fn run(plan: Plan) -> (Vec<String>, Vec<String>) {
    lift::random::seed_this_thread(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = Arc::new(World::new(plan));
        world.live().await;
        let violations = std::mem::take(&mut world.ledger.facts().violations);
        (violations, world.ledger.take_log())
    })
}

pub(crate) fn owner(client: usize) -> Owner {
    // Two clients may be devices of one user.
    Owner::new("acme", if client < 2 { "ann" } else { "bob" }).unwrap()
}

impl World {
    fn new(plan: Plan) -> Self {
        let ledger = Ledger::new(&plan);
        Self {
            dice: Dice::new(plan.seed),
            gateway: Gateway::new(&plan, &ledger),
            store: WeatheredTasks::new(&plan, &ledger),
            results: MemoryResults::default(),
            began: Instant::now(),
            processes: Mutex::default(),
            outside: Mutex::default(),
            connections: AtomicU64::new(0),
            ledger,
            plan,
        }
    }

    pub(crate) fn truth(&self) -> &MemoryTasks {
        &self.store.truth
    }

    /// Whether connections can be opened.
    pub(crate) fn accepts(&self) -> bool {
        self.plan.place == Place::Cloud || !self.processes.lock().unwrap().is_empty()
    }

    pub(crate) fn next_connection(&self) -> String {
        format!("c{}=", self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// The time as a perfect clock shows it.
    pub(crate) fn now(&self) -> Timestamp {
        START + self.began.elapsed()
    }

    async fn live(self: &Arc<Self>) {
        for _ in 0..self.plan.processes {
            self.start_process();
        }
        let mut working = JoinSet::new();
        for index in 0..self.plan.clients {
            working.spawn(client::run(Client::new(Arc::clone(self), index)));
        }
        let mut faults = JoinSet::new();
        faults.spawn(Arc::clone(self).crash_now_and_then());
        faults.spawn(Arc::clone(self).jump_now_and_then());
        faults.spawn(Arc::clone(self).deliver_twice_now_and_then());
        let clients = working.join_all().await;
        faults.shutdown().await;
        self.settle(clients).await;
        check::all(self).await;
        self.end_processes();
    }

    /// No more faults: all must come to its end. A call that began under the faults may still take
    /// its time.
    async fn settle(self: &Arc<Self>, clients: Vec<Client>) {
        self.ledger.say(|| "calm".to_owned());
        self.store.calm_down();
        self.gateway.calm_down();
        // One may have been on its way out.
        let processes = self.processes.lock().unwrap().clone();
        for process in &processes {
            self.crash(process);
        }
        for _ in 0..self.plan.processes {
            self.start_process();
        }
        let mut settling = JoinSet::new();
        for client in clients {
            settling.spawn(client::settle(client));
        }
        let ended = async {
            settling.join_all().await;
            for index in [0, 2] {
                while !all_ended(self.truth(), &owner(index)).await {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        };
        if timeout(SETTLED_WITHIN, ended).await.is_err() {
            let text = "requests, or clients that wait for them, do not come to an end";
            self.ledger.broken(text.to_owned());
        }
        // Posts and deliveries that are under way arrive.
        sleep(Duration::from_secs(60)).await;
    }

    fn start_process(self: &Arc<Self>) {
        let skew = self.dice.millis(0, self.plan.skew_ms.max(1));
        let runtime = app::app(&self.ledger).bind(Backends {
            tasks: Arc::new(self.store.clone()),
            connections: Connections::new(MemoryRegistry::default()),
            connection_age_max: Duration::MAX,
            rates: Arc::new(MemoryRates::default()),
            load: Load::default(),
            outbound: Outbound::new(self.gateway.clone()),
            results: Arc::new(self.results.clone()),
            clock: Clock::starting_at(self.now() + skew),
        });
        let process = Arc::new(Process {
            runtime,
            running: Mutex::default(),
            delivering: Mutex::default(),
        });
        process.spawn(task_loop(Arc::clone(self), Arc::clone(&process)));
        self.ledger
            .say(|| format!("a process starts, {skew:?} ahead"));
        self.processes.lock().unwrap().push(process);
    }

    fn end_processes(&self) {
        for process in self.processes.lock().unwrap().drain(..) {
            process.running.lock().unwrap().abort_all();
        }
        self.outside.lock().unwrap().abort_all();
    }

    fn any_process(&self) -> Option<Arc<Process>> {
        let processes = self.processes.lock().unwrap();
        self.dice.pick(&processes).map(Arc::clone)
    }

    /// Sends a message and gives its answer, which never comes if the process dies meanwhile.
    pub(crate) fn message(
        &self,
        connection: &Arc<Connection>,
        text: String,
    ) -> oneshot::Receiver<Value> {
        let (answer, answered) = oneshot::channel();
        let Some(process) = self.any_process() else {
            return answered;
        };
        let (runtime, connection) = (process.runtime.clone(), Arc::clone(connection));
        let follows_first = self.plan.place == Place::Cloud;
        process.spawn(async move {
            let reply = runtime.message(Arc::clone(&connection), &text).await;
            let message = serde_json::from_slice(&reply.message.to_bytes()).unwrap();
            if follows_first {
                // A route response leaves when the function returns: after all that it posted.
                runtime.follow(&connection.id, reply.follow).await;
                let _ = answer.send(message);
                drop(reply.hold);
            } else {
                let _ = answer.send(message);
                drop(reply.hold);
                runtime.follow(&connection.id, reply.follow).await;
            }
        });
        answered
    }

    async fn crash_now_and_then(self: Arc<Self>) {
        if self.plan.crashes_ms == 0 {
            return std::future::pending().await;
        }
        loop {
            sleep(self.dice.millis(200, self.plan.crashes_ms)).await;
            let Some(process) = self.any_process() else {
                continue;
            };
            if self.dice.chance(300) {
                self.drain(&process).await;
            }
            self.crash(&process);
            sleep(self.dice.millis(0, 3_000)).await;
            self.start_process();
        }
    }

    /// The process gives back what it runs, for as long as it is let.
    async fn drain(&self, process: &Arc<Process>) {
        self.ledger.say(|| "a process drains".to_owned());
        process.runtime.drain();
        for _ in 0..100 {
            if process.delivering.lock().unwrap().is_empty() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn crash(self: &Arc<Self>, process: &Arc<Process>) {
        self.ledger.say(|| "a process ends".to_owned());
        self.processes
            .lock()
            .unwrap()
            .retain(|other| !Arc::ptr_eq(other, process));
        process.running.lock().unwrap().abort_all();
        if self.plan.place == Place::Machine {
            self.gateway.cut_all();
            return;
        }
        for key in process.delivering.lock().unwrap().drain(..) {
            self.deliver_again(key);
        }
    }

    /// Until some process says that it has seen the delivery through.
    fn deliver_again(self: &Arc<Self>, key: Key) {
        let world = Arc::clone(self);
        let wait = self.dice.millis(100, 30_000);
        self.outside.lock().unwrap().spawn(async move {
            loop {
                sleep(wait).await;
                if let Some(process) = world.any_process() {
                    return deliver(&world, &process, key);
                }
            }
        });
    }

    /// Time jumps for everyone, as when a machine sleeps.
    async fn jump_now_and_then(self: Arc<Self>) {
        if !self.plan.jumps {
            return std::future::pending().await;
        }
        loop {
            sleep(self.dice.millis(2_000, 30_000)).await;
            let by = self.dice.millis(1_000, 40_000);
            self.ledger.say(|| format!("time jumps by {by:?}"));
            tokio::time::advance(by).await;
        }
    }

    /// A stream delivers at least once.
    async fn deliver_twice_now_and_then(self: Arc<Self>) {
        loop {
            sleep(self.dice.millis(500, 8_000)).await;
            let ids: Vec<String> = {
                let facts = self.ledger.facts();
                facts
                    .acknowledged
                    .iter()
                    .map(|one| one.request_id.clone())
                    .collect()
            };
            let (Some(id), Some(process)) = (self.dice.pick(&ids), self.any_process()) else {
                continue;
            };
            for index in [0, 2] {
                let key = Key {
                    owner: owner(index),
                    id: id.parse().unwrap(),
                };
                deliver(&self, &process, key);
            }
        }
    }
}

/// Claims a request in a process and sees it through there.
fn deliver(world: &Arc<World>, process: &Arc<Process>, key: Key) {
    process.delivering.lock().unwrap().push(key.clone());
    let (world, owner) = (Arc::clone(world), Arc::clone(process));
    process.spawn(async move {
        let delivered = owner.runtime.deliver(&key).await;
        world
            .ledger
            .say(|| format!("delivery of {} came to {delivered:?}", key.id));
        let mut delivering = owner.delivering.lock().unwrap();
        let at = delivering.iter().position(|other| *other == key);
        at.map(|at| delivering.swap_remove(at));
        drop(delivering);
        if delivered.is_err() && world.plan.place == Place::Cloud {
            world.deliver_again(key);
        }
    });
}

/// Delivers what is due, as the loop of a server or a sweeper does.
async fn task_loop(world: Arc<World>, process: Arc<Process>) {
    loop {
        let backends = process.runtime.backends();
        let now = backends.clock.now();
        for due in backends.tasks.due(now, None, 64).await.unwrap_or_default() {
            let is_running = process.delivering.lock().unwrap().contains(&due.key);
            if !is_running {
                deliver(&world, &process, due.key);
            }
        }
        tokio::select! {
            biased;
            () = process.runtime.woken() => {}
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
}
