//! In: a plan and settings. Out: the host that runs its functions, with nothing started yet.

use std::path::Path;
use std::sync::{Arc, Mutex, Once, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::archive::Code;
use super::clock::Clock;
use super::failure::StartError;
use super::files::Files;
use super::host::{Host, Known, State};
use super::launch::Places;
use super::logs::Log;
use super::pool::{Allowed, Limits, Pool};
use super::process::Watchdog;
use super::queue::Room;
use super::variables::Inherited;
use crate::feed::Feed;
use crate::plan::{Function, Plan};

impl Host {
    pub(super) fn new(
        plan: &Plan,
        settings: Settings,
        feed: Feed,
    ) -> Result<Arc<Self>, StartError> {
        let files = Files::new().map_err(StartError::Files)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = Places {
            runtimes: files.path().to_path_buf(),
            directory: settings.directory.clone(),
            path: std::env::split_paths(&path).collect(),
            python: OnceLock::new(),
        };
        let functions = plan.functions.iter();
        let functions = functions.map(|function| known(plan, function, &feed, files.path()));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        let names = functions.iter().enumerate();
        let names = names.map(|(index, known)| (known.function.name.clone(), index));
        let limits = Limits {
            environments_max: settings.environments_max,
            idle: settings.idle,
            freeze: settings.freeze,
            cold_start: settings.cold_start.unwrap_or_default(),
        };
        let allowed = plan.functions.iter().map(|function| Allowed {
            timeout: function.timeout,
            concurrency_max: function
                .concurrency_max
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        });
        Ok(Arc::new(Self {
            names: names.collect(),
            region: plan.region.clone(),
            account: plan.account.clone(),
            feed,
            clock: Clock::start(),
            places,
            inherited: Inherited {
                path,
                home: std::env::var_os("HOME"),
            },
            watchdog: Arc::new(Watchdog::start().map_err(StartError::Files)?),
            environments: TaskTracker::new(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            files,
            runtime: Handle::current(),
            wake: Notify::new(),
            state: Mutex::new(State::new(Pool::new(limits, allowed))),
            functions,
            settings,
        }))
    }

    /// Runs something beside the environments, until the end.
    pub(super) fn run(&self, what: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        let run = async move { _ = closing.run_until_cancelled(what).await };
        self.tasks.spawn_on(run, &self.runtime);
    }
}

fn known(plan: &Plan, function: &Function, feed: &Feed, files: &Path) -> Result<Known, StartError> {
    let (region, account, name) = (&plan.region, &plan.account, &function.name);
    Ok(Known {
        arn: format!("arn:aws:lambda:{region}:{account}:function:{name}"),
        log: Arc::new(Log::new(name, feed.clone())),
        code: Mutex::new(Arc::new(Code::of(function, files)?)),
        room: Room::default(),
        told: Once::new(),
        function: function.clone(),
    })
}
