//! A scenario and the way to a server come in, the report of one run goes out.

mod finish;
mod pacer;
mod part;
mod processes;
mod site;
mod trouble;
mod processor;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use streamer_client::{Error as ClientError, options::Token, plain};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{finish::Facts, part::Ready, site::Site};
pub use self::{
    part::Partial,
    processes::{Spawn, part_of},
};
use crate::{
    echo,
    opening::Opening,
    plan::Part,
    report::{Moment, Report},
    scenario::{Problem, Protocol, Scenario},
    threshold::Threshold,
    world::{self, Claims, Mint, World},
};

/// What a run has besides its scenario.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Means {
    /// Another server than the scenario's.
    pub target: Option<String>,
    /// What signs tokens, for a scenario that has some.
    pub mint: Option<Mint>,
    /// Starts the processes of a scenario that more than one shares.
    pub spawn: Option<Spawn>,
    /// Told each second what happened in it.
    pub live: Option<watch::Sender<Moment>>,
    /// Ends the schedule when it is cancelled; what is under way is waited for, ten seconds at most.
    pub interrupt: CancellationToken,
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scenario cannot work: correct it.
    #[error("{0}")]
    Scenario(String),
    /// The scenario's own server does not start, or not again.
    #[error("{0}")]
    Server(String),
    /// No connection can be made to the server.
    #[error("cannot reach `{target}`")]
    Unreachable {
        /// Its URL.
        target: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refuses to be connected to.
    #[error("`{target}` refused the connection with status {status}")]
    Refused {
        /// Its URL.
        target: String,
        /// HTTP status.
        status: u16,
    },
    /// This machine does not give what a run needs.
    #[error("this machine does not give what a run needs")]
    Machine(#[from] std::io::Error),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Scenario(problem.to_string())
    }
}

/// Reads a scenario's thresholds, which must name what it measures.
///
/// # Errors
/// A threshold that cannot be read, or names a metric, a behaviour or a phase that is not there.
pub fn thresholds(scenario: &Scenario) -> Result<Vec<Threshold>, Problem> {
    let parsed = scenario.thresholds.iter().map(|text| {
        let threshold = Threshold::parse(text)?;
        threshold.check(scenario)?;
        Ok(threshold)
    });
    parsed.collect()
}

/// Checks all of a scenario that can be checked without a server: its thresholds and templates, and that clients are
/// there for its messages.
///
/// # Errors
/// What cannot work.
pub fn check(scenario: &Scenario) -> Result<(), Error> {
    thresholds(scenario)?;
    let mut arrived = false;
    for phase in &scenario.phases {
        arrived |= phase.connections_per_second > 0.0;
        if phase.messages_per_second > 0.0 && !arrived {
            return Err(Error::Scenario(format!(
                "phase `{}` has messages, and no phase until then has `connections_per_second`",
                phase.name
            )));
        }
    }
    World::check(scenario).map_err(Error::Scenario)
}

/// From when all is made to the first phase: a run's threads are started in it.
const LEAD: Duration = Duration::from_millis(100);

/// Puts a scenario's load on its server, and reports.
///
/// # Errors
/// A scenario that cannot work; a server that cannot be reached, or refuses a first connection.
pub async fn run(scenario: Arc<Scenario>, mut means: Means) -> Result<Report, Error> {
    let thresholds = thresholds(&scenario)?;
    let facts = Facts::now(&scenario, &means);
    let site = Site::open(&scenario, means.target.as_deref()).await?;
    means.target.clone_from(&site.target);
    knock(&scenario, &means).await?;
    let over = CancellationToken::new();
    let partials = tokio::select! {
        partials = parts(&scenario, &means, &site, &over) => partials?,
        () = site.look() => Vec::new(),
    };
    let interrupted = means.interrupt.is_cancelled();
    let used = site.close().await;
    Ok(finish::report(
        &scenario,
        facts,
        partials,
        used,
        &thresholds,
        interrupted,
    ))
}

/// What every part measured, while the site goes wrong as the scenario says.
async fn parts(
    scenario: &Arc<Scenario>,
    means: &Means,
    site: &Site,
    over: &CancellationToken,
) -> Result<Vec<Partial>, Error> {
    let wrong = |start| site.cause(scenario, start, over);
    match (&means.spawn, scenario.processes) {
        (Some(spawn), 2..) => {
            let target = means.target.as_deref().unwrap_or_default();
            let processes = processes::start(spawn, scenario.processes, target).await?;
            let running = processes::run(
                processes,
                scenario,
                &site.kills,
                &means.interrupt,
                means.live.as_ref(),
            );
            let start = Instant::now() + LEAD;
            let (partials, ()) = tokio::try_join!(until(running, over), wrong(start))?;
            Ok(partials)
        }
        _ => {
            let ready = Ready::new(Arc::clone(scenario), means, Part::WHOLE).await?;
            let start = Instant::now() + LEAD;
            let running = ready.run(start, site.kills.subscribe());
            let (partial, ()) = tokio::try_join!(until(running, over), wrong(start))?;
            Ok(vec![partial])
        }
    }
}

/// The outcome of `running`, after which the run is over.
async fn until<T>(running: impl Future<Output = T>, over: &CancellationToken) -> T {
    let outcome = running.await;
    over.cancel();
    outcome
}

/// Longest time for the one connection that is made before a run.
const KNOCK_WITHIN: Duration = Duration::from_secs(10);

/// One connection before thousands: what is wrong with all is said once.
async fn knock(scenario: &Scenario, means: &Means) -> Result<(), Error> {
    let row = world::first_row(scenario).map_err(Error::Scenario)?;
    let example = world::example(scenario, row.as_ref());
    for (place, behaviour) in scenario.behaviours.values().enumerate() {
        let target = behaviour
            .target
            .as_ref()
            .or(means.target.as_ref())
            .or(scenario.target.as_ref());
        let target = target
            .ok_or_else(|| Error::Scenario("no server is named: give `target`".to_owned()))?;
        let again =
            scenario.behaviours.values().take(place).any(|before| {
                before.target == behaviour.target && before.headers == behaviour.headers
            });
        if again || behaviour.target.as_deref() == Some(echo::NAME) {
            continue;
        }
        let opening = Opening::new(target, scenario, behaviour, example);
        let options = opening.and_then(|opening| opening.options(example));
        let mut options = options.map_err(Error::Scenario)?.patience(Duration::ZERO);
        if behaviour.speaks.unwrap_or(scenario.speaks) == Protocol::Plain {
            options.subprotocols.clone_from(&scenario.subprotocols);
        }
        if let (Some(tokens), Some(mint)) = (&scenario.tokens, &means.mint) {
            let claims = Claims {
                sub: "load".to_owned(),
                tenant: "load".to_owned(),
                permissions: None,
                expires_in: tokens.expires_in,
            };
            options.token = Some(Token::fixed(mint(&claims).map_err(Error::Scenario)?));
        }
        let opened = tokio::time::timeout(KNOCK_WITHIN, plain::open(options)).await;
        let opened = opened.unwrap_or_else(|late| Err(ClientError::Unreachable(late.into())));
        match opened {
            Ok(plain::Opened::Streamer(client)) => client.close().await,
            Ok(plain::Opened::Plain(connection)) => connection.close().await,
            Err(ClientError::Refused { status }) => {
                return Err(Error::Refused {
                    target: target.clone(),
                    status,
                });
            }
            Err(ClientError::Options(problem)) => return Err(Error::Scenario(problem)),
            Err(other) => {
                let source = match other {
                    ClientError::Unreachable(source) => source,
                    other => other.into(),
                };
                return Err(Error::Unreachable {
                    target: target.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}
