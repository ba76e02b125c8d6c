//! A Lift app as a durable server: a definition and a data directory come in, a listening port goes out.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lift::app::App;
use lift::clock::Clock;
use lift_embedded::{EmbeddedTasks, OpenError};
use lift_gateway::Rules;
use lift_gateway::listener::{self, HttpLimits};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, rules};
use crate::http::{Site, router};
use crate::listen;
use crate::results::FileResults;

pub use crate::tls::{Certificate, Tls};

/// How often what was measured is summed up, whether anybody reads it or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How a server is run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where everything durable is kept.
    pub data_dir: PathBuf,
    /// Serve TLS with this certificate.
    pub tls: Option<Tls>,
    /// What result URLs begin with; by default the address that is listened on.
    pub public_url: Option<String>,
    /// How long a drain may take before connections are closed (10 s).
    pub drain: Duration,
    /// How often the files of the certificate are looked at for a change (60 s).
    pub tls_look_every: Duration,
    /// What a client may cost before its connection is a WebSocket.
    pub http: HttpLimits,
    /// The gateway's rules; see [`rules`].
    pub rules: Rules,
    /// Served at `/metrics`.
    pub metrics: Option<PrometheusHandle>,
}

impl Options {
    /// The defaults, with everything durable under `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            tls: None,
            public_url: None,
            drain: Duration::from_secs(10),
            tls_look_every: Duration::from_secs(60),
            http: HttpLimits::default(),
            rules: rules(),
            metrics: None,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store could not be opened.
    #[error("the store in `{}` cannot be opened", .0.display())]
    Store(PathBuf, #[source] OpenError),
    /// The directory for results could not be used.
    #[error("the results in `{}` cannot be used", .0.display())]
    Results(PathBuf, #[source] io::Error),
    /// The address could not be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The gateway's rules are none that it can keep.
    #[error("the gateway's rules cannot be kept")]
    Rules(#[source] lift_gateway::RulesError),
    /// The certificate or its key could not be read.
    #[error("the TLS certificate cannot be used")]
    Tls(#[source] io::Error),
}

/// A server that listens. It accepts connections once [`run`](Server::run).
pub struct Server {
    host: Host,
    listener: TcpListener,
    tls: Option<Certificate>,
    address: SocketAddr,
    tasks: Arc<EmbeddedTasks>,
    results: Arc<FileResults>,
    options: Options,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store, binds the app to it, and listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        app: App,
        address: SocketAddr,
        options: Options,
    ) -> Result<Self, StartError> {
        options.rules.check().map_err(StartError::Rules)?;
        let tls = options
            .tls
            .clone()
            .map(Certificate::read)
            .transpose()
            .map_err(StartError::Tls)?;
        let tasks = Arc::new(open(&options.data_dir.join("store")).await?);
        let listener =
            listener::bind(address).map_err(|error| StartError::Listen(address, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Listen(address, error))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base_url = options
            .public_url
            .clone()
            .unwrap_or_else(|| format!("{scheme}://{address}"));
        let dir = options.data_dir.join("results");
        let results = FileResults::open(&dir, &base_url)
            .map_err(|error| StartError::Results(dir.clone(), error))?;
        let results = Arc::new(results);
        let rules = options.rules.clone();
        let store = Arc::clone(&tasks);
        let host = Host::start(
            app,
            rules,
            store,
            Arc::clone(&results) as _,
            Clock::system(),
        );
        Ok(Self {
            host,
            listener,
            tls,
            address,
            tasks,
            results,
            options,
        })
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The app on its backends.
    pub fn runtime(&self) -> &lift::app::Runtime {
        &self.host.runtime
    }

    /// The certificate in force, to have it read again; none without TLS.
    pub fn certificate(&self) -> Option<Certificate> {
        self.tls.clone()
    }

    /// The WebSocket's URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `shutdown`, then drains: clients are told, tasks are given back, connections
    /// are closed with 1012, and the store is closed.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            mut host,
            listener,
            tls,
            tasks,
            results,
            options,
            ..
        } = self;
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let site = Site {
            runtime: host.runtime.clone(),
            gateway: host.gateway.clone(),
            results: Some(Arc::clone(&results)),
            metrics: options.metrics.clone(),
            draining: draining.clone(),
            writable: Arc::new({
                let tasks = Arc::clone(&tasks);
                move || tasks.writable().is_ok()
            }),
        };
        let following = stop.run_until_cancelled(async {
            match &tls {
                Some(certificate) => certificate.follow_for_ever(options.tls_look_every).await,
                None => std::future::pending().await,
            }
        });
        let (routes, http) = (router(site), options.http.clone());
        let serving = listen::serve(listener, http, tls.clone(), routes, stop.clone());
        let keep = host.runtime.limits().keep;
        let ending = async {
            shutdown.cancelled().await;
            tracing::info!("draining");
            draining.cancel();
            host.drain(options.drain).await;
            stop.cancel();
        };
        let purging = stop.run_until_cancelled(results.purge_for_ever(keep));
        let upkeep = stop.run_until_cancelled(async {
            match &options.metrics {
                Some(metrics) => upkeep(metrics).await,
                None => std::future::pending().await,
            }
        });
        tokio::join!(serving, ending, purging, following, upkeep);
        if let Err(error) = tasks.close().await {
            tracing::warn!(
                error = lift::error::chain(&error),
                "the store was not closed in order"
            );
        }
        tracing::info!("stopped");
    }
}

/// Sums up what was measured, for ever: until it is, each measurement is kept.
async fn upkeep(metrics: &PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// Copies what can be read out of the damaged store of a data directory, and puts the old one aside.
///
/// # Errors
/// See [`OpenError`].
pub fn salvage(data_dir: &Path) -> Result<lift_embedded::Report, OpenError> {
    EmbeddedTasks::salvage(&data_dir.join("store"))
}

/// Opening reads every pending request, so it leaves the runtime's threads alone.
async fn open(dir: &Path) -> Result<EmbeddedTasks, StartError> {
    let path = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        EmbeddedTasks::open(&path, &lift_embedded::Options::default())
    })
    .await;
    match opened {
        Ok(opened) => opened.map_err(|error| StartError::Store(dir.to_owned(), error)),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
