//! In: what was typed after `settle`. Out: typed fields.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use http::Uri;

use crate::script::duration;

/// Runs the gateway's conversation scripts against APIs elsewhere; `docs/settle-on-aws.md` says how.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a SAM template with the APIs that scripts need, and the function behind them.
    Template {
        /// Where `template.json` and `puppet/` go.
        #[arg(long = "dir", value_name = "DIR")]
        directory: PathBuf,
        /// Only the API of this script; repeatable.
        #[arg(long = "script", value_name = "NAME")]
        scripts: Vec<String>,
    },
    /// Runs scripts, and says of each whether it is there as written.
    Run(Box<Run>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A stack's outputs as JSON, or what `lift dev --json` printed.
    #[arg(long, value_name = "FILE", required_unless_present = "endpoint")]
    pub(crate) apis: Option<PathBuf>,
    /// Where clients of the one script's API connect.
    #[arg(long, value_name = "wss://HOST/STAGE", requires_all = ["management", "relay", "scripts"])]
    pub(crate) endpoint: Option<Uri>,
    /// Where `@connections` of this API is.
    #[arg(long, value_name = "https://HOST/STAGE", requires = "endpoint")]
    pub(crate) management: Option<Uri>,
    /// Where clients of the API `Relay` connect.
    #[arg(long, value_name = "wss://HOST/relay", requires = "endpoint")]
    pub(crate) relay: Option<Uri>,
    /// Only this script; repeatable.
    #[arg(long = "script", value_name = "NAME")]
    pub(crate) scripts: Vec<String>,
    /// Leaves out what waits longer than this: idle time takes minutes, a life two hours.
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub(crate) longest: Longest,
    /// How many scripts run at the same time.
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) at_a_time: usize,
    /// A certificate to trust, like `.lift/ca.pem`.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Signs `@connections` calls, together with the secret key.
    #[arg(
        long,
        value_name = "KEY",
        env = "AWS_ACCESS_KEY_ID",
        requires = "secret_key"
    )]
    pub(crate) access_key: Option<String>,
    /// The secret of the access key.
    #[arg(
        long,
        value_name = "KEY",
        env = "AWS_SECRET_ACCESS_KEY",
        hide_env_values = true
    )]
    pub(crate) secret_key: Option<String>,
    /// Comes with temporary credentials.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "AWS_SESSION_TOKEN",
        hide_env_values = true
    )]
    pub(crate) session_token: Option<String>,
}

/// A time like `90s` or `2h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longest(pub(crate) Duration);

impl FromStr for Longest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Self)
    }
}
