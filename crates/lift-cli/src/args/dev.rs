//! In: what was typed after `lift dev`. Out: typed fields.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::{
    Args as Group, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use lift_dev::{Quota, faults::Wanted};

pub(super) const DEV_EXAMPLES: &str = "\
Examples:
  lift dev
  lift dev --template template.yaml --parameter Stage=dev --dynamodb local
  lift dev --time-scale 60 --fault throttle=1% --fault lose-disconnect=5% --seed 7
  curl -X PUT http://127.0.0.1:3001/_lift/faults -d '{\"faults\":[\"gone=10%\"]}'

Functions are processes behind the Lambda Runtime API; nothing goes to AWS. API number i of the
template, from 0, listens on the port plus i, for WebSocket, `@connections` and invocations, each
plain and over TLS; without an API, the port itself takes invocations. Invocations and faults are taken
from programs of this machine alone, not from web pages. `.lift/ca.pem`, beside the template, is the
certificate to trust. What happens is shown on stderr as a table, or on stdout as JSON; changed code is
built and replaced while connections stay open.

Faults: throttle, kill, lose-disconnect, gone, gone-delivered, duplicate-records and reorder-records take
a share, like 5%; cold-start, late-disconnect, post-first and answer-first a time up to 20 s, like 280ms.
A PUT while it runs replaces them, but for those of records.

It runs until Ctrl-C or SIGTERM, which say what they wait for, drain connections, end the functions and
leave with 0; a second one ends everything at once.";

/// `lift dev`.
#[derive(Debug, Group)]
pub struct DevArgs {
    /// SAM or CloudFormation template, or a `lift.toml` [default: the first of template.yaml, template.yml, template.json, lift.toml].
    #[arg(long, short, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// Where the first API listens, or invocations where there is none; the next API on the next port.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3001")]
    pub listen: SocketAddr,
    /// A parameter of the template; repeatable.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// The region that functions see.
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    pub region: String,
    /// The DynamoDB endpoint: a URL, or `local` to start DynamoDB Local, whose directory LIFT_DYNAMODB_LOCAL names.
    #[arg(long, value_name = "local|URL")]
    pub dynamodb: Option<String>,
    /// How many times faster idle time, connection age, schedules, retries and idle processes pass.
    #[arg(long, value_name = "N", default_value = "1")]
    pub time_scale: NonZeroU32,
    /// Lift one of API Gateway's quotas; repeatable.
    #[arg(long, value_name = "QUOTA", value_parser = quota())]
    pub relax: Vec<Quota>,
    /// Something that goes wrong now and then, like `throttle=5%`; repeatable.
    #[arg(long = "fault", value_name = "FAULT=AMOUNT", value_parser = str::parse::<Wanted>)]
    pub faults: Vec<Wanted>,
    /// Where the faults' sequences begin: with one seed the same events are struck.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// Whether `@connections` checks signatures and `execute-api:ManageConnections`.
    #[arg(long, value_name = "WHETHER", default_value = "unchecked")]
    pub signatures: Signatures,
    /// Whether functions stand still between invocations, as on Lambda.
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub freeze: Switch,
    /// Whether changed code is built and replaced.
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub watch: Switch,
    /// Processes of all functions at a time; invocations over it are refused, as over an account's 1,000 on AWS [default: 64].
    #[arg(long, value_name = "N")]
    pub environments: Option<usize>,
    /// Print one JSON object a line: each API once it accepts, or each function where there is none, then whatever happens.
    #[arg(long)]
    pub json: bool,
    /// Say nothing but where to connect, problems, errors and what the end waits for.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Whether signatures are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Signatures {
    /// Whoever reaches the port may call.
    Unchecked,
    /// Only who signs with a function's credentials, and whose policies allow it.
    Checked,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

fn quota() -> impl TypedValueParser<Value = Quota> {
    PossibleValuesParser::new(Quota::ALL.map(Quota::name)).try_map(|name| name.parse::<Quota>())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not like NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
