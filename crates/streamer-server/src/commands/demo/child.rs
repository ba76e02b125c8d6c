//! The server as a process of its own, so that it can be killed as nothing in one process can.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{self, ChildStdout, Command};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Child {
    process: process::Child,
    /// Kept open: a server whose output is closed cannot say anything.
    _output: Lines<BufReader<ChildStdout>>,
    pub(super) url: String,
    pub(super) address: String,
}

impl Child {
    /// Starts this binary's `serve` and waits until it listens.
    pub(super) async fn start(dir: &Path, address: &str) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("this binary cannot be found")?;
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            // The demonstration is the same whatever this terminal's settings are.
            if name.to_string_lossy().starts_with("STREAMER_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            .args(["serve", "--listen", address, "--log-level", "error"])
            .args(["--process-checkpoint-every", "100ms", "--data-dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the server cannot be started")?;
        let stdout = process.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once("ws://") {
                    return Ok(address.trim().to_owned());
                }
            }
            anyhow::bail!("the server ended before it listened")
        };
        let address = tokio::time::timeout(STARTS_WITHIN, listening).await;
        let address = address.context("the server did not start in time")??;
        Ok(Self {
            process,
            _output: lines,
            url: format!("ws://{address}"),
            address,
        })
    }

    /// Kills it as the kernel does when memory runs out: SIGKILL.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process
            .kill()
            .await
            .context("the server cannot be killed")
    }

    /// Asks it to drain and waits for its end.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().context("the server is gone")?;
        let sent = Command::new("kill")
            .arg("-TERM")
            .arg(id.to_string())
            .status()
            .await;
        ensure!(
            sent.is_ok_and(|sent| sent.success()),
            "the server cannot be told to stop"
        );
        let ended = tokio::time::timeout(STOPS_WITHIN, self.process.wait()).await;
        let ended = ended.context("the server did not stop in time")??;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }
}
