//! In: the plan's functions and who calls them. Out: their answers, from processes behind Lambda's Runtime API.
//!
//! An environment is a process group with a Runtime API of its own; the rules of when one starts, runs,
//! freezes and ends are the pure `pool`. Sources: "Lambda execution environment lifecycle", "Building a
//! custom runtime for AWS Lambda", "Using the Lambda Extensions API to create extensions".

mod failure;
mod files;
mod pool;
mod launch;
mod archive;
mod variables;
mod process;
mod logs;
mod host;
mod start;
mod actions;
mod environment;
mod event;
mod runtime_api;
mod extensions_api;
mod clock;
mod random;
mod integration;
mod queue;
mod endpoint;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use failure::{Ceiling, Failure, Refused, StartError};
pub(crate) use integration::Routes;
pub use pool::Freeze;
pub use variables::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, session_token};

use crate::feed::Feed;
use crate::plan::Plan;
use archive::Code;
use host::{Host, Request};

/// How all functions run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Added to each start of an environment.
    pub cold_start: Option<Duration>,
    /// Whether environments stand still between invocations.
    pub freeze: Freeze,
    /// Environments of all functions together; Lambda's is 1,000.
    pub environments_max: usize,
    /// Time after which an idle environment is reclaimed.
    pub idle: Duration,
    /// Variables of every function; its own come over them.
    pub environment: BTreeMap<String, String>,
    /// The directory of on-failure destinations, a file of JSON lines each.
    pub failures: PathBuf,
    /// How many times as fast retries of queued events come.
    pub speed: NonZeroU32,
    /// The template's directory: its `.venv` serves Python functions that have none.
    pub directory: Option<PathBuf>,
}

impl Default for Settings {
    /// 64 environments that freeze, reclaimed after 5 min; failures under `.lift/failures`.
    fn default() -> Self {
        Self {
            cold_start: None,
            freeze: Freeze::On,
            environments_max: 64,
            idle: Duration::from_secs(5 * 60),
            environment: BTreeMap::new(),
            failures: PathBuf::from(".lift/failures"),
            speed: NonZeroU32::MIN,
            directory: None,
        }
    }
}

/// One invocation that somebody wants.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's name.
    pub function: String,
    /// The event.
    pub payload: Bytes,
    /// What it is for, as the feed shows it.
    pub cause: String,
    /// Its request id, where it is a UUID already; else one is made.
    pub request_id: Option<String>,
    /// `Root=…;Parent=…;Sampled=…`; else one is made.
    pub trace: Option<String>,
    /// How long the caller waits; the function's own timeout is the plan's.
    pub deadline: Option<Duration>,
    /// What becomes of the environment that it is given to.
    pub fate: Fate,
}

/// What becomes of an environment under an invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It runs, as always.
    #[default]
    Lives,
    /// It is killed as soon as it has the invocation, as if its machine failed.
    Dies,
}

/// The functions of a plan, running. Cheap to clone; the last one dropped kills their processes.
#[derive(Clone)]
pub struct Functions {
    owner: Arc<Owner>,
}

struct Owner {
    host: Arc<Host>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.host.closing.cancel();
        self.host.kill_all();
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions")
            .field("environments", &self.environments())
            .finish_non_exhaustive()
    }
}

/// While it lives, invocations of a function wait, each for at most 2 s.
#[must_use = "dropped, it holds nothing"]
pub struct Hold {
    owner: Arc<Owner>,
    function: usize,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let function = self.function;
        self.owner.host.step(|now, state, actions| {
            state.pool.release(now, function, actions);
        });
    }
}

impl Functions {
    /// The plan's functions; environments start when they are asked.
    ///
    /// # Errors
    /// A function cannot be started as it is: [`StartError`] names it and what is missing.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(plan: &Plan, settings: Settings, feed: Feed) -> Result<Self, StartError> {
        let host = Host::new(plan, settings, feed)?;
        for index in 0..host.functions.len() {
            host.launch(index)?;
        }
        if plan
            .functions
            .iter()
            .any(|each| each.runtime.starts_with("python3"))
        {
            let resolving = Arc::clone(&host);
            host.run(async move { resolving.places.resolve_python().await });
        }
        host.run(Arc::clone(&host).keep_time());
        host.run(async { _ = tokio::task::spawn_blocking(files::remove_leftovers).await });
        let owner = Arc::new(Owner { host });
        Ok(Self { owner })
    }

    /// Invokes a function and waits for its answer. Dropped half-way, the function runs on.
    ///
    /// # Errors
    /// The function failed, or could not be asked: [`Failure`] says which.
    pub async fn invoke(&self, call: Call) -> Result<Bytes, Failure> {
        let host = &self.owner.host;
        let Some(index) = host.names.get(&call.function).copied() else {
            return Err(Failure::NotFound {
                name: call.function,
            });
        };
        let deadline = call.deadline;
        let answer = host.start(index, host.request(call));
        let answer = match deadline {
            None => answer.await,
            Some(deadline) => tokio::time::timeout(deadline, answer)
                .await
                .map_err(|_elapsed| Failure::CallerLeft(deadline))?,
        };
        answer.unwrap_or(Err(Failure::ShuttingDown))
    }

    /// The code changed: environments of the old code finish what they run and are not used again.
    ///
    /// A function that the plan does not have is none to replace.
    ///
    /// # Errors
    /// A zip cannot be unpacked anew; the old code stays.
    pub async fn replace(&self, function: &str) -> Result<(), StartError> {
        let host = &self.owner.host;
        let Some(index) = host.names.get(function).copied() else {
            return Ok(());
        };
        let unpacking = Arc::clone(host);
        let unpacked = tokio::task::spawn_blocking(move || {
            let Some(known) = unpacking.functions.get(index) else {
                return Ok(());
            };
            let code = Arc::new(Code::of(&known.function, unpacking.files.path())?);
            let mut current = known.code.lock().unwrap_or_else(PoisonError::into_inner);
            let old = std::mem::replace(&mut *current, code);
            drop(current);
            // It may be removed here, which takes its time.
            drop(old);
            Ok(())
        });
        let failed = |error| StartError::Files(std::io::Error::other(error));
        unpacked.await.map_err(failed)??;
        host.step(|now, state, actions| state.pool.replace(now, index, actions));
        Ok(())
    }

    /// Invocations of the function wait while the hold lives, each for at most 2 s.
    ///
    /// For a function that the plan does not have, it holds nothing.
    pub fn hold(&self, function: &str) -> Hold {
        let host = &self.owner.host;
        let index = host.names.get(function).copied();
        let function = index.unwrap_or(usize::MAX);
        host.step(|_, state, _| state.pool.hold(function));
        Hold {
            owner: Arc::clone(&self.owner),
            function,
        }
    }

    /// Environments that start from now on take so much longer.
    pub fn delay_starts(&self, cold_start: Duration) {
        let host = &self.owner.host;
        host.step(|_, state, _| state.pool.delay_starts(cold_start));
    }

    /// How many environments each function has, in the plan's order.
    #[must_use]
    pub fn environments(&self) -> Vec<(String, usize)> {
        let host = &self.owner.host;
        let state = host.state.lock();
        let counts = state.unwrap_or_else(PoisonError::into_inner).pool.counts();
        let names = host
            .functions
            .iter()
            .map(|known| known.function.name.clone());
        names.zip(counts).collect()
    }

    /// How many invocations have no answer yet.
    #[must_use]
    pub fn invocations(&self) -> usize {
        let state = self.owner.host.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).calls.len()
    }

    /// Takes nothing any more and ends all environments, with the grace that extensions have.
    pub async fn shut_down(&self) {
        let host = &self.owner.host;
        host.step(|now, state, actions| state.pool.shut_down(now, actions));
        host.environments.close();
        host.environments.wait().await;
        host.closing.cancel();
        host.tasks.close();
        host.tasks.wait().await;
    }
}

impl Host {
    fn request(&self, call: Call) -> Request {
        Request {
            request_id: call.request_id.unwrap_or_else(random::uuid),
            payload: call.payload,
            cause: call.cause,
            trace: call.trace.unwrap_or_else(|| self.trace()),
            client_context: None,
            fate: call.fate,
        }
    }

    fn kill_all(self: &Arc<Self>) {
        self.step(|now, state, actions| {
            state.pool.shut_down(now, actions);
            state.pool.kill_all(actions);
        });
    }
}
