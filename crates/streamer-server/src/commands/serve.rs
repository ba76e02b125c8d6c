//! `serve`: a configuration comes in; the service runs until it is told to stop.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;
use lift::clock::Timestamp;
use lift::task::store::TaskStore;
use lift_server::server::{Certificate, Server};
use metrics_exporter_prometheus::PrometheusBuilder;
use streamer::auth::{Keys, Verifier};
use streamer::objects::Objects;
use streamer::tasks::bulk_operation::{self, Bulk, Collections};
use streamer::tasks::export_collection::Exports;
use streamer::tasks::generate_report::{self, Reports};
use streamer::tasks::process_data::Engine;
use streamer::{Records, Service, TokenAuthenticator, app};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{LogFormat, LogLevel};
use crate::config::Config;
use crate::descriptors;

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    log(config);
    let dir = &config.server.data_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    if let Some(keys) = &config.own_keys {
        Keys::open(keys).context("the token keys cannot be used")?;
    }
    let verifier =
        Verifier::new(config.verifier.clone()).context("the token keys cannot be used")?;
    let objects = Objects::open(dir)
        .with_context(|| format!("the objects in `{}` cannot be used", dir.display()))?;
    let collections = Collections::open(dir)?;
    let bulk = bulk_operation::Options::default();
    let bulk = Bulk::new(objects.clone(), collections.clone(), bulk);
    let service = Service {
        engine: Engine::new(objects.clone(), config.process.clone()),
        reports: Reports::new(objects.clone(), generate_report::Options::default()),
        records: Some(Records {
            bulk: bulk.clone(),
            exports: Exports::new(objects.clone(), collections),
        }),
        limits: config.limits.clone(),
    };
    let mut options = config.server.clone();
    let recorder = PrometheusBuilder::new().install_recorder();
    options.metrics = Some(recorder.context("metrics cannot be recorded")?);
    let mut signals = Signals::listen()?;
    descriptors::fit(&mut options)?;
    let tokens = TokenAuthenticator::new(Arc::new(verifier), config.token_rules.clone());
    let app = app(service).authenticate(tokens);
    let server = Server::start(app, config.listen, options).await?;
    if config.listen.ip().is_unspecified() && config.server.public_url.is_none() {
        tracing::warn!("result URLs name an address that clients cannot open: give --public-url");
    }
    forget_ended(&objects, &bulk, &*server.runtime().backends().tasks).await;
    if let Err(error) = banner(config, &server) {
        // Whoever started it may have closed its output.
        tracing::warn!(%error, url = server.url(), "listening, but cannot say so");
    }
    signals.certificate = server.certificate();
    let shutdown = CancellationToken::new();
    let running = server.run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        () = &mut running => return Ok(()),
        () = signals.stop() => shutdown.cancel(),
    }
    tokio::select! {
        () = running => Ok(()),
        () = signals.stop() => anyhow::bail!("stopped before the drain was over"),
    }
}

/// SIGTERM and SIGINT, which stop the server; SIGHUP, which has its certificate read again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    certificate: Option<Certificate>,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            certificate: None,
        })
    }

    /// Waits to be stopped.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => match &self.certificate {
                    Some(certificate) => certificate.reload(),
                    None => tracing::info!("SIGHUP: no TLS certificate to read again"),
                }
            }
        }
    }
}

/// Removes what requests that ended left behind because the process died before it could.
async fn forget_ended(objects: &Objects, bulk: &Bulk, tasks: &dyn TaskStore) {
    // Listed before the live requests: one accepted meanwhile is not in the list.
    let unfinished = match objects.unfinished().await {
        Ok(unfinished) => unfinished,
        Err(error) => return tracing::warn!(%error, "folders of work not read"),
    };
    let live = match live(tasks).await {
        Ok(live) => live,
        Err(error) => return tracing::warn!(%error, "live requests not read"),
    };
    for id in unfinished.iter().filter(|id| !live.contains(id.as_str())) {
        if let Err(error) = bulk.abandon(id).await {
            tracing::warn!(request_id = id.as_str(), %error, "not cleaned up");
        }
    }
}

/// Ids of all requests that have not ended: exactly those are due some time.
async fn live(tasks: &dyn TaskStore) -> Result<HashSet<String>, lift::error::StoreError> {
    const PAGE: usize = 1_000;
    let (mut live, mut after) = (HashSet::new(), None);
    loop {
        let page = tasks
            .due(Timestamp::from_millis(u64::MAX), after.as_ref(), PAGE)
            .await?;
        live.extend(page.iter().map(|due| due.key.id.to_string()));
        after = page.last().cloned();
        if page.len() < PAGE {
            return Ok(live);
        }
    }
}

fn banner(config: &Config, server: &Server) -> std::io::Result<()> {
    let (url, dir) = (server.url(), config.server.data_dir.display());
    let limits = &config.limits;
    let gateway = &config.server.rules.limits;
    let or_never = |time: Option<std::time::Duration>| {
        time.map_or_else(
            || "never".to_owned(),
            |time| humantime::format_duration(time).to_string(),
        )
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "streamer {} listens on {url}",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out, "  data     {dir}")?;
    writeln!(
        out,
        "  limits   frame {} KiB, message {} KiB, idle {}, age {}; {} tasks at once, {} a user",
        gateway.frame_bytes_max / 1024,
        gateway.message_bytes_max / 1024,
        or_never(gateway.idle),
        or_never(gateway.lifetime),
        limits.running_max,
        limits.running_per_owner_max,
    )?;
    let rate = |rate: Option<lift::rate::Rate>| {
        rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
    };
    let relaxed = gateway.relaxed();
    let relaxed = relaxed.iter().map(ToString::to_string);
    let relaxed = relaxed.collect::<Vec<_>>().join(", ");
    writeln!(out, "  off      of API Gateway's quotas: {relaxed}")?;
    writeln!(
        out,
        "  rates    connection {}, user {}, tenant {}; connects: user {}, tenant {}",
        rate(limits.connection_rate),
        rate(limits.user_rate),
        rate(limits.tenant_rate),
        rate(limits.user_connect_rate),
        rate(limits.tenant_connect_rate),
    )?;
    if config.own_keys.is_some() {
        let mint = format!("token mint --data-dir {dir} --sub ada --tenant acme");
        writeln!(
            out,
            "  a token  cargo run --release -p lift-cli -- {mint} > ada.jwt"
        )?;
        let echo = r#"--send '{"id":"1","action":"echo","payload":"hello"}'"#;
        let ws = format!("ws {url} --token-file ada.jwt {echo}");
        writeln!(out, "  hello    cargo run --release -p lift-cli -- {ws}")?;
    }
    out.flush()
}

fn log(config: &Config) {
    let level = match config.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
}
