//! A command of a scenario comes in; that it has succeeded, or why not, goes out.

use std::{collections::BTreeMap, io, process::ExitStatus, time::Duration};

use tokio::time::timeout;

use super::process::{Output, Process};
use crate::scenario::Command;

/// A command that takes longer is killed.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It cannot be run.
    #[error("`{program}` cannot be run: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("`{program}` ended with {status}{}", super::shown(said))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line of its standard error.
        said: String,
    },
    /// It took longer than [`COMMAND_WITHIN`], and was killed.
    #[error("`{program}` did not end within {} s{}", COMMAND_WITHIN.as_secs(), super::shown(said))]
    Late {
        /// The program.
        program: String,
        /// The last line of its standard error.
        said: String,
    },
}

/// Runs a command in a process group of its own, which ends with it.
///
/// # Errors
/// It cannot be run, fails, or takes too long.
pub async fn run(command: &Command) -> Result<(), CommandError> {
    let program = command.command.first().cloned().unwrap_or_default();
    let spawned = Process::spawn(&command.command, &BTreeMap::new(), &Output::Null);
    let mut process = match spawned {
        Ok(process) => process,
        Err(source) => return Err(CommandError::Spawn { program, source }),
    };
    match timeout(COMMAND_WITHIN, process.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(CommandError::Failed {
            program,
            status,
            said: process.last_lines(1).await,
        }),
        Ok(Err(source)) => Err(CommandError::Spawn { program, source }),
        Err(_) => {
            process.kill().await;
            let said = process.last_lines(1).await;
            Err(CommandError::Late { program, said })
        }
    }
}
