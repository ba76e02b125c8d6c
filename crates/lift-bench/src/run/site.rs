//! What a scenario says of its server and its network comes in; they are there for the run, and go wrong when it says so.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::PoisonError,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use http::Uri;
use tokio::{
    net::lookup_host,
    sync::{Mutex, broadcast},
    time::{interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::{
    proxy::{Conditions, Proxy},
    report::ServerUse,
    scenario::{Command, Fault, Kill, Network, Scenario, Stall, split_target},
    server::{self, CommandError, Output, Server},
};

/// How often the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Kills that a part may be behind.
const KILLS_MAX: usize = 256;

/// What came of the commands of faults, by phase and place.
pub(super) type Ran = BTreeMap<(usize, usize), Runs>;

/// What came of one fault's command.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// How often it ran.
    pub(super) all: u64,
    /// How often it failed.
    pub(super) failed: u64,
    /// What the last failure said.
    pub(super) said: Option<String>,
}

/// The server and the network of one run.
#[derive(Debug)]
pub(super) struct Site {
    /// Where clients connect.
    pub(super) target: Option<String>,
    /// All parts of a run are told when the server is killed.
    pub(super) kills: broadcast::Sender<()>,
    ran: std::sync::Mutex<Ran>,
    server: Option<Mutex<Server>>,
    proxy: Option<Proxy>,
}

impl Site {
    /// Starts the scenario's server, and the proxy if its network goes wrong.
    pub(super) async fn open(scenario: &Scenario, target: Option<&str>) -> Result<Self, Error> {
        let target = target.or(scenario.target.as_deref());
        let server = match (&scenario.server, target) {
            (Some(described), Some(target)) => {
                let server = Server::start(described, target, Output::Null).await;
                Some(Mutex::new(
                    server.map_err(|error| Error::Server(server_error(&error)))?,
                ))
            }
            (Some(_), None) => {
                return Err(Error::Scenario(
                    "it has a `server` and no `target`".to_owned(),
                ));
            }
            (None, _) => None,
        };
        let faults = scenario.phases.iter().flat_map(|phase| &phase.faults);
        let has_network = faults
            .into_iter()
            .any(|fault| matches!(fault, Fault::Network(_) | Fault::Stall(_)));
        let (proxy, target) = match target {
            Some(target) if has_network => {
                let (proxy, target) = between(target, scenario.seed).await?;
                (Some(proxy), Some(target))
            }
            target => (None, target.map(str::to_owned)),
        };
        Ok(Self {
            target,
            kills: broadcast::channel(KILLS_MAX).0,
            ran: std::sync::Mutex::default(),
            server,
            proxy,
        })
    }

    /// Causes every fault of the server's and the network's in its phase, until the run is over.
    ///
    /// # Errors
    /// The server does not start again.
    pub(super) async fn cause(
        &self,
        scenario: &Scenario,
        start: Instant,
        over: &CancellationToken,
    ) -> Result<(), Error> {
        let mut began = start;
        let mut troubles = Vec::new();
        for (phase, of) in scenario.phases.iter().enumerate() {
            let ends = began + of.duration;
            let faults = of.faults.iter().enumerate();
            troubles
                .extend(faults.map(|(place, fault)| self.one((phase, place), fault, began, ends)));
            began = ends;
        }
        tokio::select! {
            caused = try_join_all(troubles) => {
                caused?;
                over.cancelled().await;
            }
            () = over.cancelled() => {}
        }
        Ok(())
    }

    /// Looks at the server as long as it is asked to.
    pub(super) async fn look(&self) {
        let Some(server) = &self.server else {
            return std::future::pending().await;
        };
        let mut ticks = interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            server.lock().await.sample();
        }
    }

    /// Ends all of it; says what the server used, and what came of commands.
    pub(super) async fn close(self) -> (Option<ServerUse>, Ran) {
        let ran = self
            .ran
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(proxy) = self.proxy {
            proxy.stop().await;
        }
        let used = match self.server {
            Some(server) => Some(server.into_inner().stop().await),
            None => None,
        };
        (used, ran)
    }

    async fn one(
        &self,
        place: (usize, usize),
        fault: &Fault,
        began: Instant,
        ends: Instant,
    ) -> Result<(), Error> {
        match fault {
            Fault::Kill(kill) => self.kill(kill, began, ends).await?,
            Fault::Run(run) => self.command(place, run, began, ends).await,
            Fault::Network(network) => self.network(network, began, ends).await,
            Fault::Stall(stall) => self.stall(stall, began).await,
            // Each part cuts its own clients.
            Fault::Cut(_) => {}
        }
        Ok(())
    }

    async fn kill(&self, kill: &Kill, began: Instant, ends: Instant) -> Result<(), Error> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let mut at = began + kill.at;
        while at < ends {
            sleep_until(at.into()).await;
            let mut server = server.lock().await;
            // Parts that have ended need no word.
            let _ = self.kills.send(());
            server.kill().await;
            tokio::time::sleep(kill.down).await;
            server
                .start_again()
                .await
                .map_err(|error| Error::Server(server_error(&error)))?;
            let Some(every) = kill.every else { break };
            at = Instant::now().max(at + every);
        }
        Ok(())
    }

    async fn network(&self, network: &Network, began: Instant, ends: Instant) {
        let Some(proxy) = &self.proxy else { return };
        sleep_until((began + network.at).into()).await;
        proxy.set(Conditions::from(network));
        let until = network
            .lasts
            .map_or(ends, |lasts| began + network.at + lasts);
        sleep_until(until.into()).await;
        proxy.set(Conditions::clear());
    }

    async fn stall(&self, stall: &Stall, began: Instant) {
        let Some(proxy) = &self.proxy else { return };
        let at = began + stall.at;
        sleep_until(at.into()).await;
        proxy.stall(stall.share, (at + stall.lasts).into());
    }

    async fn command(&self, place: (usize, usize), run: &Command, began: Instant, ends: Instant) {
        let mut at = began + run.at;
        while at < ends {
            sleep_until(at.into()).await;
            let outcome = server::run(run).await;
            self.note(place, outcome);
            let Some(every) = run.every else { return };
            at = Instant::now().max(at + every);
        }
    }

    fn note(&self, place: (usize, usize), outcome: Result<(), CommandError>) {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = ran.entry(place).or_default();
        runs.all += 1;
        if let Err(error) = outcome {
            runs.failed += 1;
            runs.said = Some(server_error(&error));
        }
    }
}

/// A proxy before the target, and the target's URL by way of it.
async fn between(target: &str, seed: u64) -> Result<(Proxy, String), Error> {
    let bad = |why: &str| {
        Error::Scenario(format!(
            "the network before `{target}` cannot be made bad: {why}"
        ))
    };
    // The rest may be a template, which is each client's.
    let (server, rest) = split_target(target);
    let uri: Uri = server.parse().map_err(|_unreadable| bad("it is no URL"))?;
    if uri.scheme_str() != Some("ws") {
        return Err(bad("only that of a `ws://` URL can"));
    }
    let host = uri.host().ok_or_else(|| bad("it has no host"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let mut found = lookup_host((host.as_str(), uri.port_u16().unwrap_or(80))).await?;
    let to: SocketAddr = found.next().ok_or_else(|| bad("its host has no address"))?;
    let proxy = Proxy::start(IpAddr::V4(Ipv4Addr::LOCALHOST), to, seed)?;
    let through = format!("ws://{}{rest}", proxy.address());
    Ok((proxy, through))
}

fn server_error(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    said
}
