//! What was typed comes in, as typed fields; nothing is checked against the world yet.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args as Group, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use streamer::auth::Algorithm;

mod cost;
pub mod dev;
mod load;
mod report;
mod smoke;
mod upkeep;

pub use cost::{Allowed, Billed, CostArgs};
pub use load::LoadArgs;
pub use report::{CompareArgs, ReportArgs, ReportCommand, ShowArgs};
pub use smoke::SmokeArgs;
pub use upkeep::{
    BackupArgs, CompletionsArgs, DoctorArgs, ExplainArgs, ManArgs, Shell, StoppedStoreArgs,
    StoreArgs, StoreCommand,
};
use upkeep::{
    COMPLETIONS_EXAMPLES, DOCTOR_EXAMPLES, EXPLAIN_EXAMPLES, MAN_EXAMPLES, STORE_EXAMPLES,
};

/// The exit status table, as `--help` and the README print it.
pub const EXIT_STATUS: &str = "\
Exit status:
  0    done as asked
  1    a message was refused, a request failed or was cancelled, a check failed, a file could not be used
  2    the command line, or a value in it, cannot work
  3    an expected message, or an answer, did not come in time; a threshold of a load does not hold, or a cost is above what was allowed
  4    no connection could be made
  5    the server refused the connection (401, 403, 404 and the like)
  130  interrupted with Ctrl-C
  143  ended by SIGTERM";

const WS_EXAMPLES: &str = "\
Examples:
  lift ws ws://127.0.0.1:3001/dev
  lift ws ws://127.0.0.1:3001/dev --send hello --expect 'you said hello'
  lift ws ws://127.0.0.1:8080/ --token-file token
  echo '{\"action\":\"echo\",\"payload\":\"hello\"}' | lift ws ws://127.0.0.1:8080/
  lift ws ws://127.0.0.1:8080/ --send '{\"action\":\"health\"}' --expect response

With a terminal on stdin it reads what you type (`/help` lists what else). Otherwise each line of
stdin is one message. Messages are sent as they are and shown as they come, each once; it ends when as
many came as were sent, or nothing came for 5 s. The connection is not made again.

A server that chooses the subprotocol `streamer.v1` is spoken to in that protocol, unless --raw is
given. Each reply is one line of JSON then, and it ends when stdin has ended, every message was
answered and every acknowledged request has ended.

There a message that is an object with an `action` is sent again after a lost connection and its request
is resumed; where it has no `id` or `idempotency_key`, one is added. Any other text is sent once.

The token comes from --token-file, --token or the variable LIFT_TOKEN; of these --token shows in the
list of processes. With `--token-file -` stdin holds the token and no messages.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  lift token mint --sub ann --tenant acme --expires-in 15m > token
  lift token inspect --data-dir .streamer - < token
  lift token keygen --algorithm EdDSA";

/// Run Lambda functions behind a local gateway, talk to a WebSocket server, look after its tokens and data, explain its codes.
#[derive(Debug, Parser)]
#[command(name = "lift", version, after_help = EXIT_STATUS, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a template's WebSocket APIs and Lambda functions on this machine, in any language.
    #[command(after_help = format!("{}\n\n{EXIT_STATUS}", dev::DEV_EXAMPLES))]
    Dev(dev::DevArgs),
    /// Talk to a WebSocket server: by hand, in a pipe, or as a check in a script.
    #[command(after_help = format!("{WS_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Ws(WsArgs),
    /// Check that a deployment of Streamer works, here or on AWS; exits with 1 if a check failed.
    #[command(after_help = format!("{}\n\n{EXIT_STATUS}", smoke::SMOKE_EXAMPLES))]
    Smoke(SmokeArgs),
    /// Price a load scenario as a bill of AWS, and hold it to AWS's quotas, without running it.
    #[command(after_help = format!("{}\n\n{EXIT_STATUS}", cost::COST_EXAMPLES))]
    Cost(CostArgs),
    /// Put a scenario's load on a server and report; exits with 3 if a threshold does not hold.
    #[command(after_help = format!("{}\n\n{EXIT_STATUS}", load::LOAD_EXAMPLES))]
    Load(LoadArgs),
    /// Show the report of a load test in another form, or compare reports.
    #[command(after_help = format!("{}\n\n{EXIT_STATUS}", report::REPORT_EXAMPLES))]
    Report(ReportArgs),
    /// Make and read the tokens of one machine.
    #[command(after_help = format!("{TOKEN_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Token(TokenArgs),
    /// Look into, back up or pack the store of a data directory.
    #[command(after_help = format!("{STORE_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Store(StoreArgs),
    /// Check a data directory, this machine and a server; exits with 1 if a check failed.
    #[command(after_help = format!("{DOCTOR_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Doctor(DoctorArgs),
    /// Say what an error code, a close code or a refused handshake means, and what to do.
    #[command(after_help = format!("{EXPLAIN_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Explain(ExplainArgs),
    /// Print what makes a shell complete this command's arguments.
    #[command(after_help = format!("{COMPLETIONS_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Completions(CompletionsArgs),
    /// Print the man page, or write those of all commands.
    #[command(after_help = format!("{MAN_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Man(ManArgs),
}

/// `lift ws`.
#[derive(Debug, Group)]
pub struct WsArgs {
    /// `ws://` or `wss://` URL.
    pub url: String,
    /// Who connects, and whom it trusts.
    #[command(flatten)]
    pub access: Access,
    /// Subprotocol to offer, the best first, instead of `streamer.v1`, or with --raw of none; repeatable.
    #[arg(long, value_name = "NAME")]
    pub subprotocol: Vec<String>,
    /// Message to send, instead of reading stdin; repeatable.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub send: Vec<String>,
    /// Fail unless this message arrives; repeatable, in order. Ends at the last one.
    ///
    /// It is a whole text, or the same JSON. Where the server speaks `streamer.v1`, it is a JSON object
    /// that the message contains, or its type: `complete` is short for `{"type":"complete"}`.
    #[arg(long, value_name = "TEXT")]
    pub expect: Vec<String>,
    /// Send and show texts exactly as they are, whatever the server speaks.
    #[arg(long)]
    pub raw: bool,
    /// Longest time for all of it, like `500ms`, `30s`, `5m` [default: 30s with --expect; else none, but 5s for an answer].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Print one JSON object a line for every event, changes of the connection and the end included.
    #[arg(long)]
    pub json: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, short)]
    pub quiet: bool,
}

/// What a connection is made with.
#[derive(Debug, Group)]
pub struct Access {
    /// The token; others on this machine can see it.
    #[arg(long, value_name = "JWT", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File with the token, read again before every connection; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with certificates to trust besides the public ones.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// `lift token`.
#[derive(Debug, Group)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token, signed with the newest key of the data directory; makes the first key.
    Mint(MintArgs),
    /// Say what a token holds and whether a server would take it; exits with 1 if it would not.
    Inspect(InspectArgs),
    /// Add a key that signs from now on; older keys still verify.
    Keygen(KeygenArgs),
}

/// `lift token mint`.
#[derive(Debug, Group)]
pub struct MintArgs {
    /// The server's data directory; its keys are in `DIR/keys`.
    #[arg(
        long,
        value_name = "DIR",
        env = "STREAMER_DATA_DIR",
        default_value = ".streamer"
    )]
    pub data_dir: PathBuf,
    /// The user: the claim `sub`.
    #[arg(long, value_name = "USER")]
    pub sub: String,
    /// The tenant: the claim `tenant_id`.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Action that the token may call, or `*`; repeatable. None given: every action.
    #[arg(long = "permission", value_name = "ACTION")]
    pub permissions: Vec<String>,
    /// The claim `iss`, where the server asks for one.
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// The claim `aud`, where the server asks for one.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// How long it is valid, like `60s`, `15m`, `1h`, `7d`.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub expires_in: Duration,
}

/// `lift token inspect`.
#[derive(Debug, Group)]
pub struct InspectArgs {
    /// The token, or `-` for stdin; without it LIFT_TOKEN, else stdin where that is no terminal.
    pub token: Option<String>,
    /// Data directory whose keys to check the signature with; not checked without one.
    #[arg(long, value_name = "DIR", env = "STREAMER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `lift token keygen`.
#[derive(Debug, Group)]
pub struct KeygenArgs {
    /// What the key signs with.
    #[arg(long, default_value = "ES256", value_parser = algorithm())]
    pub algorithm: Algorithm,
    /// The server's data directory; the key goes to `DIR/keys`.
    #[arg(
        long,
        value_name = "DIR",
        env = "STREAMER_DATA_DIR",
        default_value = ".streamer"
    )]
    pub data_dir: PathBuf,
    /// Print the private and the public key as PEM instead of keeping them.
    #[arg(long)]
    pub stdout: bool,
}

fn algorithm() -> impl TypedValueParser<Value = Algorithm> {
    PossibleValuesParser::new(["ES256", "ES384", "EdDSA", "RS256"])
        .try_map(|name| name.parse::<Algorithm>())
}

/// Reads a whole number and its unit: `ms`, `s`, `m`, `h` or `d`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("it is not a number with a unit, like 500ms, 60s, 15m, 1h, 7d".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|error| format!("its number cannot be read: {error}"))?;
    number
        .checked_mul(unit_ms)
        .filter(|ms| (1..=MAX_MS).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| "it is not between 1 ms and 36500 days".to_owned())
}

/// A hundred years: far enough for a token, near enough for every clock to count to.
const MAX_MS: u64 = 36_500 * 86_400_000;
