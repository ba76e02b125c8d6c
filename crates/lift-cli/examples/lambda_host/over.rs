//! In: a command. Out: its exit status, after it has run over a DynamoDB Local and an S3 that end with it.

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::{Result, dynamodb_local, moto};

/// Names DynamoDB Local's URL to the command.
pub(crate) const DYNAMODB: &str = "LAMBDA_HOST_DYNAMODB";
/// Names the S3's URL to the command.
pub(crate) const S3: &str = "LAMBDA_HOST_S3";
/// From a signal to the command's end: `lift load` reports before it.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(program: &str, arguments: &[String]) -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let (s3, local) = tokio::join!(moto::start(), dynamodb_local::start());
    let (Some(s3), Some(local)) = (s3, local) else {
        return Err("it needs DynamoDB Local and moto: `cargo x aws` brings both".into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(DYNAMODB, local.endpoint())
        .env(S3, &s3.endpoint)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let status = tokio::select! {
        status = child.wait() => Some(status?),
        // A terminal tells the command, too.
        _ = interrupt.recv() => None,
        _ = terminate.recv() => {
            tell(&child);
            None
        }
    };
    let status = match status {
        Some(status) => status,
        None => timeout(ENDS_WITHIN, child.wait()).await??,
    };
    local.stop().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn tell(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(process) = id.and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = kill_process(process, Signal::TERM);
    }
}
