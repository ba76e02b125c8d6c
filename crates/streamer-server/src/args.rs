//! What was typed: the command line and `STREAMER_*` come in, commands and settings go out.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use lift::rate::{NoRate, Rate};
use serde::de::{Deserialize, Deserializer, Visitor};

/// Streamer: short requests answered at once, long ones run durably, over one WebSocket.
#[derive(Debug, Parser)]
#[command(name = "streamer", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve (the default).
    Serve,
    /// Walk through the main job: serve, process a large CSV, cut, kill, restart, resume, check.
    Demo(Demo),
    /// Copy what can be read out of a damaged store, and put the old one aside.
    Salvage,
    /// Write orders as CSV, about 1 % of them repeating an earlier order id.
    GenerateCsv(GenerateCsv),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Rows of the generated CSV.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateCsv {
    /// Rows to write.
    #[arg(long)]
    pub(crate) rows: u64,
    /// The same seed gives the same rows.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The file to write; `-` is standard output.
    pub(crate) file: PathBuf,
}

/// Reads what is a text in the file, and says what it should be where it is none.
fn text<'de, T, D>(from: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Text<T>(&'static str, PhantomData<T>);
    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    from.deserialize_str(Text(expected, PhantomData))
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{text}` is no `IP:PORT`, like `127.0.0.1:7070` or `[::1]:7070`");
        text.parse().map(Self).map_err(wrong)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "an address like \"127.0.0.1:7070\"")
    }
}

/// A time such as `250ms`, `60s`, `15m`, `1h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = humantime::DurationError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(
            from,
            "a time like \"250ms\", \"60s\", \"15m\", \"1h\" or \"7d\"",
        )
    }
}

/// A limit such as `100/s` or `100/s:500`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit(pub(crate) Option<Rate>);

impl FromStr for RateLimit {
    type Err = NoRate;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            rate => rate.parse().map(|rate| Self(Some(rate))),
        }
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a rate like \"100/s\" or \"100/s:500\", or \"off\"")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Declares settings once: as flags, as `STREAMER_*` variables, and as keys of the TOML file.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $env:literal;)*) => {
        /// Every setting, where it was given.
        #[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Settings {
            /// Read settings from this TOML file; flags and variables win over it.
            #[arg(long, global = true, env = "STREAMER_CONFIG", value_name = "FILE")]
            #[serde(skip)]
            pub(crate) config: Option<PathBuf>,
            $($(#[$doc])* #[arg(long, global = true, env = $env)] pub(crate) $name: Option<$type>,)*
        }

        impl Settings {
            /// These settings, and those of `other` where these say nothing.
            pub(crate) fn or(self, other: Self) -> Self {
                Self { config: self.config, $($name: self.$name.or(other.$name),)* }
            }

            /// The variables that are settings.
            pub(crate) const VARIABLES: &[&str] = &["STREAMER_CONFIG", $($env,)*];
        }
    };
}

settings! {
    /// Where everything durable is kept [default: .streamer].
    data_dir: PathBuf, "STREAMER_DATA_DIR";
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:7070].
    listen: Address, "STREAMER_LISTEN";
    /// TLS certificate chain, PEM.
    tls_cert: PathBuf, "STREAMER_TLS_CERT";
    /// TLS private key, PEM.
    tls_key: PathBuf, "STREAMER_TLS_KEY";
    /// Serve other addresses than loopback without TLS.
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure: bool, "STREAMER_INSECURE";
    /// What result URLs begin with [default: the address listened on].
    public_url: String, "STREAMER_PUBLIC_URL";
    /// Public keys that sign tokens, PEM [default: DIR/keys/*.pem].
    #[arg(value_delimiter = ',', num_args = 1)]
    jwt_key: Vec<PathBuf>, "STREAMER_JWT_KEY";
    /// A JWKS file with such keys.
    jwks_file: PathBuf, "STREAMER_JWKS_FILE";
    /// A JWKS URL with such keys.
    jwks_url: String, "STREAMER_JWKS_URL";
    /// A file with the secret of HS256 tokens.
    jwt_secret_file: PathBuf, "STREAMER_JWT_SECRET_FILE";
    /// Algorithms that tokens may use [default: all that fit the keys].
    #[arg(value_delimiter = ',', num_args = 1)]
    jwt_algorithm: Vec<String>, "STREAMER_JWT_ALGORITHM";
    /// The `iss` that tokens must have.
    jwt_issuer: String, "STREAMER_JWT_ISSUER";
    /// The `aud` that tokens must have.
    jwt_audience: String, "STREAMER_JWT_AUDIENCE";
    /// Tenant of every token; `tenant_id` is then not needed.
    single_tenant: String, "STREAMER_SINGLE_TENANT";
    /// Refuse tokens without `permissions`.
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_permissions: bool, "STREAMER_REQUIRE_PERMISSIONS";
    /// Take tokens from `?token=` too; they end in access logs.
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    query_token: bool, "STREAMER_QUERY_TOKEN";
    /// Values of `Origin` that are let in [default: all].
    #[arg(value_delimiter = ',', num_args = 1)]
    allow_origin: Vec<String>, "STREAMER_ALLOW_ORIGIN";
    /// Time without a message until a connection is closed [default: 10m].
    idle_timeout: Span, "STREAMER_IDLE_TIMEOUT";
    /// Age at which a connection is closed, 2h as on AWS [default: never].
    connection_lifetime: Span, "STREAMER_CONNECTION_LIFETIME";
    /// How many times faster the two above pass: for trying out what they do [default: 1].
    time_scale: NonZeroU32, "STREAMER_TIME_SCALE";
    /// Time for a drain on SIGTERM [default: 10s].
    drain_timeout: Span, "STREAMER_DRAIN_TIMEOUT";
    /// Deadline of a request that names none [default: 1h].
    request_timeout: Span, "STREAMER_REQUEST_TIMEOUT";
    /// Longest deadline that a request may name [default: 24h].
    request_timeout_max: Span, "STREAMER_REQUEST_TIMEOUT_MAX";
    /// How long a request's record and result are kept [default: 7d].
    keep: Span, "STREAMER_KEEP";
    /// How long a result URL works [default: 1h].
    result_url_for: Span, "STREAMER_RESULT_URL_FOR";
    /// Tasks that run at once [default: 64].
    running_max: usize, "STREAMER_RUNNING_MAX";
    /// Tasks of one user that run at once [default: 16].
    running_per_user_max: usize, "STREAMER_RUNNING_PER_USER_MAX";
    /// Requests of one user that wait; then `OVERLOADED` [default: 1000].
    queued_per_user_max: usize, "STREAMER_QUEUED_PER_USER_MAX";
    /// Messages of one connection, `N/s` or `N/s:BURST` or `off` [default: 500/s:1000].
    connection_rate: RateLimit, "STREAMER_CONNECTION_RATE";
    /// Messages of one user [default: 1000/s:2000].
    user_rate: RateLimit, "STREAMER_USER_RATE";
    /// Messages of one tenant [default: 5000/s:10000].
    tenant_rate: RateLimit, "STREAMER_TENANT_RATE";
    /// New connections of one user [default: 20/s:100].
    user_connect_rate: RateLimit, "STREAMER_USER_CONNECT_RATE";
    /// New connections of one tenant [default: 500/s:1000].
    tenant_connect_rate: RateLimit, "STREAMER_TENANT_CONNECT_RATE";
    /// Connections of one user at once [default: 100].
    connections_per_user_max: usize, "STREAMER_CONNECTIONS_PER_USER_MAX";
    /// Connections of one tenant at once [default: 10000].
    connections_per_tenant_max: usize, "STREAMER_CONNECTIONS_PER_TENANT_MAX";
    /// Bytes that wait for all clients of one tenant [default: 67108864].
    queued_bytes_per_tenant_max: usize, "STREAMER_QUEUED_BYTES_PER_TENANT_MAX";
    /// Distinct keys that one operation of `process_data` may hold [default: 10000000].
    process_keys_max: u64, "STREAMER_PROCESS_KEYS_MAX";
    /// Bytes of state that one operation of `process_data` may hold [default: 268435456].
    process_state_bytes_max: u64, "STREAMER_PROCESS_STATE_BYTES_MAX";
    /// Time between two checkpoints of `process_data` [default: 1s].
    process_checkpoint_every: Span, "STREAMER_PROCESS_CHECKPOINT_EVERY";
    /// Log as text or JSON lines, on standard error [default: text].
    log_format: LogFormat, "STREAMER_LOG_FORMAT";
    /// The least that is logged [default: info].
    log_level: LogLevel, "STREAMER_LOG_LEVEL";
}
