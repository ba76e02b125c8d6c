//! In: what a template says, with everything in it resolved. Out: the same as plain data, for whoever runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lift_gateway::Rate;
use serde_json::Value;

/// What runs, in the template's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The account in ARNs.
    pub account: String,
    /// The region in ARNs and in functions' environments.
    pub region: String,
    /// The WebSocket APIs; number i listens on the first port plus i.
    pub apis: Vec<Api>,
    /// The functions.
    pub functions: Vec<Function>,
    /// The tables to create where they do not exist.
    pub tables: Vec<Table>,
    /// Which streams invoke which functions.
    pub mappings: Vec<Mapping>,
    /// Which functions are invoked by the clock.
    pub schedules: Vec<Schedule>,
    /// What is skipped, one sentence each, with the resource's name and line.
    pub skipped: Vec<String>,
}

/// One WebSocket API with its one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Its name in the template.
    pub logical_id: String,
    /// `requestContext.apiId`: ten lower-case letters and digits made from the logical id.
    pub api_id: String,
    /// The stage.
    pub stage: String,
    /// The stage's variables, in order.
    pub stage_variables: Vec<(String, String)>,
    /// The route selection expression as written.
    pub route_selection: String,
    /// The routes, in order.
    pub routes: Vec<Route>,
    /// The REQUEST authorizer of `$connect`.
    pub authorizer: Option<Authorizer>,
    /// `DefaultRouteSettings`' rate.
    pub default_rate: Option<Rate>,
}

/// One route of an API.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its key.
    pub key: String,
    /// What it asks.
    pub integration: Integration,
    /// Whether its answer goes to the caller: its response expression is set, and there is a route response.
    pub response: lift_gateway::RouteResponse,
    /// The integration's timeout.
    pub timeout: Option<Duration>,
    /// `RouteSettings`' rate.
    pub rate: Option<Rate>,
}

/// What a route asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integration {
    /// A function by its name, with the event (`AWS_PROXY`).
    Function(String),
    /// Nothing: this text is the answer (`MOCK`).
    Mock(String),
}

/// Who decides whether a client may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorizer {
    /// The function's name.
    pub function: String,
    /// Identity sources as written: `route.request.querystring.token`.
    pub identity_sources: Vec<String>,
}

/// One Lambda function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name in the template.
    pub logical_id: String,
    /// `FunctionName`, else the logical id.
    pub name: String,
    /// Its aliases, and `1` where it has a version; it is asked by them as by its name.
    pub qualifiers: Vec<String>,
    /// `python3.12`, `nodejs20.x`, `provided.al2023`; empty where a command is given.
    pub runtime: String,
    /// `Handler`; a `bootstrap` sees it as `_HANDLER`.
    pub handler: String,
    /// The absolute directory of the code, or the absolute path of a `bootstrap` or zip.
    pub code: PathBuf,
    /// Instead of what the runtime says: this program and its arguments, run in `code`.
    pub command: Option<Vec<String>>,
    /// How the code is built, as a shell would run it in the template's directory.
    pub build: Option<String>,
    /// Code that the template itself has, to be written before anything runs.
    pub inline: Option<Inline>,
    /// Directories and files, absolute, whose change rebuilds and restarts; the code's where empty.
    pub watch: Vec<PathBuf>,
    /// Memory in MB; a number for `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, nothing is limited.
    pub memory_mb: u32,
    /// Time for one invocation.
    pub timeout: Duration,
    /// `Environment.Variables`.
    pub environment: BTreeMap<String, String>,
    /// `LoggingConfig`.
    pub logging: Logging,
    /// `ReservedConcurrentExecutions`.
    pub concurrency_max: Option<u32>,
    /// What becomes of asynchronous invocations that fail.
    pub asynchronous: Asynchronous,
    /// What the role allows, as its policies say it.
    pub statements: Vec<Statement>,
}

/// The one file of a function whose code is in its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// Where it is written: `index.py` or `index.js` in the function's `code`.
    pub file: PathBuf,
    /// What it holds.
    pub text: String,
}

/// How a function is to write its log; its runtime reads it as variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Logging {
    /// As text, at the levels that the function sets.
    #[default]
    Text,
    /// As JSON, from this level on: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`.
    Json(String),
}

/// How `Event` invocations are retried (`AWS::Lambda::EventInvokeConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asynchronous {
    /// Tries after the first: 0 to 2.
    pub retries_max: u32,
    /// Age at which an event is given up: 60 s to 6 h.
    pub age_max: Duration,
    /// Where a failed event goes.
    pub on_failure: Option<Destination>,
}

impl Default for Asynchronous {
    /// Lambda's: two retries, six hours.
    fn default() -> Self {
        Self {
            retries_max: 2,
            age_max: Duration::from_secs(6 * 60 * 60),
            on_failure: None,
        }
    }
}

/// Where failed work goes: here a file of JSON lines named after the queue, topic or bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The ARN as the template resolves it.
    pub arn: String,
}

/// One statement of a function's policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub effect: Effect,
    /// `execute-api:ManageConnections` and the like, wildcards included.
    pub actions: Vec<String>,
    /// ARNs, wildcards included.
    pub resources: Vec<String>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Forbids, whatever else allows.
    Deny,
}

/// One DynamoDB table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name in the template.
    pub logical_id: String,
    /// `TableName`, else the logical id.
    pub name: String,
    /// The body of DynamoDB's `CreateTable`, `StreamSpecification` included.
    pub create: Value,
    /// The attribute of `TimeToLiveSpecification`.
    pub ttl_attribute: Option<String>,
}

/// One event source mapping from a table's stream to a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Its name in the template.
    pub logical_id: String,
    /// The table's name.
    pub table: String,
    /// The function's name.
    pub function: String,
    /// Records in a batch: 1 to 10,000.
    pub batch_size: u32,
    /// Time in which a batch fills: 0 to 300 s.
    pub batch_window: Duration,
    /// Where reading begins.
    pub start: Start,
    /// Batches of one shard at a time: 1 to 10.
    pub parallelization: u32,
    /// Whether a failing batch is halved.
    pub bisect: Bisect,
    /// Whether the function names the items that failed.
    pub partial: PartialFailures,
    /// Retries of a batch; without, until its records expire.
    pub retries_max: Option<u32>,
    /// Age at which a record is given up.
    pub record_age_max: Option<Duration>,
    /// Length of a tumbling window: up to 900 s.
    pub tumbling_window: Option<Duration>,
    /// `FilterCriteria`'s patterns, each as its JSON; none lets everything pass.
    pub filters: Vec<Value>,
    /// Where batches go that are given up.
    pub on_failure: Option<Destination>,
}

/// Where reading of a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its oldest record.
    TrimHorizon,
    /// After its newest record.
    Latest,
}

/// Whether a failing batch is halved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bisect {
    /// It is retried as it is.
    #[default]
    Off,
    /// It is halved.
    On,
}

/// Whether a function's answer names the items that failed (`ReportBatchItemFailures`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartialFailures {
    /// The whole batch succeeds or fails.
    #[default]
    Ignored,
    /// The lowest sequence number that is named is where the retry begins.
    Reported,
}

/// A function that is invoked by the clock (`Schedule` with `rate(…)`).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name in the template.
    pub logical_id: String,
    /// The function's name.
    pub function: String,
    /// Time between invocations.
    pub every: Duration,
    /// `Input`, else the event that EventBridge would send is made.
    pub input: Option<Value>,
}
