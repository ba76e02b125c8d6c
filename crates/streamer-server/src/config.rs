//! What it means: settings as typed come in, a checked configuration with every default goes out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use lift::limits::Limits;
use lift::rate::Rate;
use lift::registry::Room;
use lift_server::server::{Options, Tls};
use streamer::TokenRules;
use streamer::auth::{KeySource, QueryToken, Secret, Tenants, VerifierConfig};
use streamer::tasks::process_data;

use crate::args::{Address, LogFormat, LogLevel, RateLimit, Settings, Span};

/// Everything that the program uses.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) server: Options,
    pub(crate) verifier: VerifierConfig,
    /// Set where tokens are checked by the keys in the data directory, which are made if missing.
    pub(crate) own_keys: Option<PathBuf>,
    pub(crate) token_rules: TokenRules,
    pub(crate) limits: Limits,
    pub(crate) process: process_data::Options,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
}

impl Config {
    /// Reads the file and the environment, fills in defaults, and checks what must agree.
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Self> {
        unknown_variables()?;
        let settings = match settings.config.clone() {
            Some(path) => settings.or(file(&path)?),
            None => settings,
        };
        let data_dir = settings
            .data_dir
            .clone()
            .unwrap_or_else(|| ".streamer".into());
        let (own_keys, keys) = keys(&settings, &data_dir)?;
        let limits = limits(&settings)?;
        ensure!(
            limits.request_timeout_max >= limits.request_timeout
                && !limits.request_timeout.is_zero(),
            "--request-timeout must be above 0 and at most --request-timeout-max"
        );
        ensure!(
            limits.keep >= limits.request_timeout_max,
            "--keep must be at least --request-timeout-max, or a running request would be forgotten"
        );
        let loopback = SocketAddr::from(([127, 0, 0, 1], 7070));
        let listen = settings.listen.map_or(loopback, |Address(listen)| listen);
        let server = server(&settings, data_dir)?;
        let insecure = settings.insecure.unwrap_or(false);
        ensure!(
            listen.ip().is_loopback() || server.tls.is_some() || insecure,
            "{listen} is no loopback address: give --tls-cert and --tls-key, or --insecure"
        );
        Ok(Self {
            listen,
            server,
            verifier: verifier(&settings, keys)?,
            own_keys,
            token_rules: TokenRules {
                query: if settings.query_token == Some(true) {
                    QueryToken::On
                } else {
                    QueryToken::Off
                },
                origins: settings.allow_origin.clone().unwrap_or_default(),
            },
            limits,
            process: process(&settings),
            log_format: settings.log_format.unwrap_or(LogFormat::Text),
            log_level: settings.log_level.unwrap_or(LogLevel::Info),
        })
    }
}

fn file(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in the configuration `{}`", path.display()))
}

/// A misspelt variable would otherwise be a setting that silently does nothing.
fn unknown_variables() -> anyhow::Result<()> {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("STREAMER_") && !Settings::VARIABLES.contains(&name.as_ref()) {
            bail!("the variable `{name}` is no setting; `streamer --help` lists them");
        }
    }
    Ok(())
}

fn keys(settings: &Settings, data_dir: &Path) -> anyhow::Result<(Option<PathBuf>, Vec<KeySource>)> {
    let mut keys: Vec<KeySource> = settings
        .jwt_key
        .iter()
        .flatten()
        .cloned()
        .map(KeySource::Pem)
        .collect();
    keys.extend(settings.jwks_file.clone().map(KeySource::JwksFile));
    keys.extend(settings.jwks_url.clone().map(KeySource::JwksUrl));
    if let Some(path) = &settings.jwt_secret_file {
        let mut secret = std::fs::read(path)
            .with_context(|| format!("cannot read the secret `{}`", path.display()))?;
        // An editor's line end is not part of the secret.
        while secret
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            secret.pop();
        }
        keys.push(KeySource::Secret(Secret(secret)));
    }
    if keys.is_empty() {
        let own = data_dir.join("keys");
        return Ok((Some(own.clone()), vec![KeySource::Directory(own)]));
    }
    Ok((None, keys))
}

fn verifier(settings: &Settings, keys: Vec<KeySource>) -> anyhow::Result<VerifierConfig> {
    let algorithms = settings
        .jwt_algorithm
        .iter()
        .flatten()
        .map(|name| name.parse());
    Ok(VerifierConfig {
        keys,
        algorithms: algorithms
            .collect::<Result<_, _>>()
            .context("--jwt-algorithm")?,
        issuer: settings.jwt_issuer.clone(),
        audience: settings.jwt_audience.clone(),
        tenants: settings
            .single_tenant
            .clone()
            .map_or(Tenants::Any, Tenants::Single),
        require_permissions: settings.require_permissions.unwrap_or(false),
    })
}

fn server(settings: &Settings, data_dir: PathBuf) -> anyhow::Result<Options> {
    let mut options = Options::new(data_dir);
    options.tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => Some(Tls {
            cert: cert.clone(),
            key: key.clone(),
        }),
        (None, None) => None,
        _ => bail!("--tls-cert and --tls-key go together"),
    };
    options.public_url = settings
        .public_url
        .as_ref()
        .map(|url| url.trim_end_matches('/').to_owned());
    options.drain = span(settings.drain_timeout, options.drain);
    let limits = &mut options.rules.limits;
    limits.idle = settings.idle_timeout.map(|Span(idle)| idle).or(limits.idle);
    limits.share_queued_bytes_max = settings
        .queued_bytes_per_tenant_max
        .unwrap_or(limits.share_queued_bytes_max);
    limits.speed = settings.time_scale.unwrap_or(limits.speed);
    limits.lifetime = settings.connection_lifetime.map(|Span(lifetime)| lifetime);
    Ok(options)
}

fn limits(settings: &Settings) -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    limits.request_timeout = span(settings.request_timeout, limits.request_timeout);
    limits.request_timeout_max = span(settings.request_timeout_max, limits.request_timeout_max);
    limits.keep = span(settings.keep, limits.keep);
    limits.result_url_for = span(settings.result_url_for, limits.result_url_for);
    limits.running_max = settings.running_max.unwrap_or(limits.running_max);
    limits.running_per_owner_max = settings
        .running_per_user_max
        .unwrap_or(limits.running_per_owner_max);
    limits.queued_per_owner_max = settings
        .queued_per_user_max
        .unwrap_or(limits.queued_per_owner_max);
    limits.connection_rate = rate(settings.connection_rate, "500/s:1000")?;
    limits.user_rate = rate(settings.user_rate, "1000/s:2000")?;
    limits.tenant_rate = rate(settings.tenant_rate, "5000/s:10000")?;
    limits.user_connect_rate = rate(settings.user_connect_rate, "20/s:100")?;
    limits.tenant_connect_rate = rate(settings.tenant_connect_rate, "500/s:1000")?;
    limits.connections = Room {
        per_user: settings.connections_per_user_max.unwrap_or(100),
        per_tenant: settings.connections_per_tenant_max.unwrap_or(10_000),
    };
    Ok(limits)
}

fn rate(given: Option<RateLimit>, default: &str) -> anyhow::Result<Option<Rate>> {
    match given {
        Some(RateLimit(given)) => Ok(given),
        None => Ok(Some(default.parse()?)),
    }
}

fn process(settings: &Settings) -> process_data::Options {
    let defaults = process_data::Options::default();
    process_data::Options {
        keys_max: settings.process_keys_max.unwrap_or(defaults.keys_max),
        state_bytes_max: settings
            .process_state_bytes_max
            .unwrap_or(defaults.state_bytes_max),
        checkpoint_every: span(settings.process_checkpoint_every, defaults.checkpoint_every),
        ..defaults
    }
}

fn span(given: Option<Span>, default: Duration) -> Duration {
    given.map_or(default, |Span(given)| given)
}
