//! In: what to do. Out: the Lambda host of `deploy/template.yaml` on this machine, for `lift load`.
//!
//! - `lambda_host over COMMAND…` runs a command over a DynamoDB Local and an S3 of its own, which end with it.
//! - `lambda_host gateway FLAGS…` is `lift dev` with the template and the `bootstrap` over these, as a scenario's `server`.
//!   A kill of it is that of API Gateway and all functions; what they keep stays.
//! - `lambda_host kill ROLE` kills one process of a function that is at work, of the scenario that runs it, as a `run` fault.
//! - `lambda_host ceiling [SECONDS]` measures what DynamoDB Local does by itself.
//!
//! `lift` and `bootstrap` are those beside it, unless `LAMBDA_BOOTSTRAP` names another one. `cargo x load-aws` runs all of it.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program's own configuration and output"
)]

mod ceiling;
#[allow(clippy::unwrap_used, reason = "shared with tests")]
#[path = "../../../../tests/dynamodb-local/start.rs"]
mod dynamodb_local;
mod gateway;
mod kill;
#[allow(clippy::unwrap_used, reason = "shared with tests")]
#[path = "../../../../tests/foreign/moto.rs"]
mod moto;
mod over;

use std::error::Error;
use std::process::ExitCode;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str =
    "usage: lambda_host over COMMAND… | gateway FLAGS… | kill ROLE | ceiling [SECONDS]";

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = arguments.split_first().ok_or(USAGE)?;
    match (task.as_str(), rest) {
        ("over", [program, rest @ ..]) => over::run(program, rest).await,
        ("gateway", flags) => Err(gateway::run(flags)?.into()),
        ("kill", [role]) => kill::one(role).await.map(|()| ExitCode::SUCCESS),
        ("ceiling", []) => ceiling::measure(3).await.map(|()| ExitCode::SUCCESS),
        ("ceiling", [seconds]) => ceiling::measure(seconds.parse()?)
            .await
            .map(|()| ExitCode::SUCCESS),
        _ => Err(USAGE.into()),
    }
}
