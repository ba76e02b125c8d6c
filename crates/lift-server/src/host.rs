//! An app, its gateway and its task loop in one process: the parts that a server and a test share.

use std::sync::Arc;
use std::time::Duration;

use lift::app::{App, Backends, Runtime};
use lift::clock::Clock;
use lift::message::Message;
use lift::outbound::Outbound;
use lift::overload::{Load, Shedding};
use lift::rate::memory::MemoryRates;
use lift::registry::Connections;
use lift::registry::memory::MemoryRegistry;
use lift::task::announce::Results;
use lift::task::store::TaskStore;
use lift_aws::event::TENANT;
use lift_gateway::{AuthorizerRules, Gateway, Rules};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::integration::integration;
use crate::outbound::GatewayPosts;
use crate::task_loop;

/// How long a client that is told to go away should wait before it comes back, in milliseconds.
const RECONNECT_AFTER_MS: u64 = 500;
/// How often the process's lateness is measured.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// Time that replays have once every connection is closed: each post fails at once then.
const FOLLOWERS_END_WITHIN: Duration = Duration::from_secs(1);

/// API Gateway's frame, message, text and idle rules, for an app behind `$default`; its 2-hour cut
/// and its account quotas are off. What waits for the clients of one tenant is bounded together.
pub fn rules() -> Rules {
    let mut authorizer = AuthorizerRules::default();
    authorizer.share = Some(TENANT.to_owned());
    let mut rules = Rules::default()
        .one_way("$connect")
        .one_way("$disconnect")
        .two_way("$default")
        .authorizer(authorizer);
    rules.limits.lifetime = None;
    rules
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) runtime: Runtime,
    pub(crate) gateway: Gateway,
    followers: TaskTracker,
    stop_tasks: CancellationToken,
    task_loop: JoinSet<()>,
    /// Ends with the host.
    _beside: JoinSet<()>,
}

/// Measures how late this process does what it was to do now, and sheds work while it is too late.
async fn watch(load: Load) {
    let mut shedding = Shedding::default();
    loop {
        let due = Instant::now() + PROBE_EVERY;
        sleep_until(due).await;
        let late = due.elapsed();
        metrics::gauge!("lift_scheduling_delay_seconds").set(late.as_secs_f64());
        let sheds = shedding.sample(late);
        if load.shed(sheds) != sheds {
            metrics::gauge!("lift_shedding").set(if sheds { 1.0 } else { 0.0 });
            tracing::warn!(
                sheds,
                ?late,
                "the load changed: new work is refused while it sheds"
            );
        }
    }
}

impl Host {
    pub(crate) fn start(
        app: App,
        rules: Rules,
        tasks: Arc<dyn TaskStore>,
        results: Arc<dyn Results>,
        clock: Clock,
    ) -> Self {
        let (posts, load) = (GatewayPosts::default(), Load::default());
        let runtime = app.bind(Backends {
            tasks,
            connections: Connections::new(MemoryRegistry::default()),
            // The gateway says of every connection when it ends, in this very process.
            connection_age_max: Duration::MAX,
            rates: Arc::new(MemoryRates::default()),
            load: load.clone(),
            outbound: Outbound::new(posts.clone()),
            results,
            clock,
        });
        let followers = TaskTracker::new();
        let gateway = Gateway::new(rules, integration(runtime.clone(), followers.clone()));
        posts.connect(gateway.connections());
        let stop_tasks = CancellationToken::new();
        let mut beside = JoinSet::new();
        beside.spawn(watch(load));
        beside.spawn(task_loop::pay(runtime.clone()));
        let mut task_loop = JoinSet::new();
        task_loop.spawn(task_loop::run(runtime.clone(), stop_tasks.clone()));
        Self {
            runtime,
            gateway,
            followers,
            stop_tasks,
            task_loop,
            _beside: beside,
        }
    }

    /// Tells clients, gives tasks back at their next checkpoint, closes connections with 1012, and
    /// returns when all of that is done or `within` and a little has passed.
    pub(crate) async fn drain(&mut self, within: Duration) {
        self.gateway.refuse_upgrades();
        self.runtime.drain();
        let going_away = Message::GoingAway {
            reconnect_after_ms: RECONNECT_AFTER_MS,
        }
        .to_bytes();
        self.gateway.connections().post_all(&going_away);
        self.stop_tasks.cancel();
        let closes_at = Instant::now() + within;
        let tasks = async { while self.task_loop.join_next().await.is_some() {} };
        let _ = tokio::time::timeout_at(closes_at, tasks).await;
        self.task_loop.shutdown().await;
        self.gateway.drain(closes_at - Instant::now()).await;
        self.followers.close();
        let _ = tokio::time::timeout(FOLLOWERS_END_WITHIN, self.followers.wait()).await;
    }
}
