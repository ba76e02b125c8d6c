//! How to start a server comes in; the server under test, its end, and what it used go out.

mod command;
mod process;

use std::{io, process::ExitStatus, time::Duration};

use http::Uri;
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use self::process::Process;
pub use self::{
    command::{COMMAND_WITHIN, CommandError, run},
    process::Output,
};
use crate::{
    machine::{Family, family},
    report::ServerUse,
    scenario::{self, split_target},
};

/// From SIGTERM to SIGKILL.
pub const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether it accepts connections, or whether what was killed is gone.
const PAUSE: Duration = Duration::from_millis(10);
/// One try to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// What its killed children have to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its standard error in an error message.
const LINES: usize = 20;

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The target is no URL.
    #[error("the target `{0}` is no `ws://` or `wss://` URL with a host")]
    Target(String),
    /// What accepts connections at the target is not what was to be started.
    #[error("another process accepts connections at `{0}` already")]
    Occupied(String),
    /// It cannot be run, or its output cannot be written.
    #[error("`{program}` cannot be run")]
    Spawn {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ended before it accepted connections.
    #[error(
        "`{program}` ended with {status} before it accepted connections at `{at}`{}",
        shown(said)
    )]
    Ended {
        /// The program.
        program: String,
        /// Host and port.
        at: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error, or of its output where that went to a file.
        said: String,
    },
    /// It took too long, and was killed.
    #[error(
        "`{program}` did not accept connections at `{at}` within {within:?}{}",
        shown(said)
    )]
    Late {
        /// The program.
        program: String,
        /// Host and port.
        at: String,
        /// How long it had.
        within: Duration,
        /// The last lines of its standard error, or of its output where that went to a file.
        said: String,
    },
}

fn shown(said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    format!(": {said}")
}

/// What a server uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Processor time since the start, of those that were killed, too.
    pub cpu: Duration,
    /// Resident memory now. What two of its processes share counts twice.
    pub memory_bytes: u64,
}

/// The server under test: a process group that ends with this.
///
/// What leaves its process group, as daemons do, is not ended.
#[derive(Debug)]
pub struct Server {
    described: scenario::Server,
    at: Address,
    output: Output,
    running: Option<Process>,
    /// What those before have used.
    cpu_before: Duration,
    cpu_now: Duration,
    memory_max_bytes: u64,
    kills: u64,
}

impl Server {
    /// Starts the server, and waits until the target's host and port accept a connection.
    ///
    /// # Errors
    /// It cannot be run, ends, or takes longer than it may; something else is at the target.
    pub async fn start(
        described: &scenario::Server,
        target: &str,
        output: Output,
    ) -> Result<Self, ServerError> {
        let mut server = Self {
            described: described.clone(),
            at: Address::of(target).ok_or_else(|| ServerError::Target(target.to_owned()))?,
            output,
            running: None,
            cpu_before: Duration::ZERO,
            cpu_now: Duration::ZERO,
            memory_max_bytes: 0,
            kills: 0,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Starts it anew after it was killed or ended; one that still runs is ended first.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_again(&mut self) -> Result<(), ServerError> {
        self.end().await;
        if self.at.accepts().await {
            return Err(ServerError::Occupied(self.at.to_string()));
        }
        let described = &self.described;
        let process = Process::spawn(&described.command, &described.environment, &self.output);
        let process = process.map_err(|source| ServerError::Spawn {
            program: self.program(),
            source,
        })?;
        self.running = Some(self.ready(process).await?);
        Ok(())
    }

    async fn ready(&self, mut process: Process) -> Result<Process, ServerError> {
        let within = self.described.ready_within;
        let accepted = async {
            while !self.at.accepts().await {
                sleep(PAUSE).await;
            }
        };
        let ended = tokio::select! {
            () = accepted => return Ok(process),
            ended = process.wait() => Some(ended),
            () = sleep(within) => None,
        };
        let (program, at) = (self.program(), self.at.to_string());
        match ended {
            Some(Ok(status)) => Err(ServerError::Ended {
                program,
                at,
                status,
                said: process.last_lines(LINES).await,
            }),
            Some(Err(source)) => Err(ServerError::Spawn { program, source }),
            None => {
                process.kill().await;
                let said = process.last_lines(LINES).await;
                Err(ServerError::Late {
                    program,
                    at,
                    within,
                    said,
                })
            }
        }
    }

    /// Kills it with all that is in its process group (SIGKILL), and waits until that is gone.
    pub async fn kill(&mut self) {
        if self.ended().is_none() && self.running.is_some() {
            self.kills += 1;
        }
        self.end().await;
    }

    /// How it ended, if it has done so by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.ended()
    }

    /// Looks at what it uses now. It reads a file for each process of the machine.
    pub fn sample(&mut self) -> Sample {
        let family = self.family();
        // A child's time is its parent's only once that has waited for it, so that the sum may fall.
        self.cpu_now = self.cpu_now.max(family.cpu);
        self.memory_max_bytes = self.memory_max_bytes.max(family.memory_bytes);
        Sample {
            cpu: self.cpu_before + self.cpu_now,
            memory_bytes: family.memory_bytes,
        }
    }

    /// What it has used, as far as it was looked at.
    #[must_use]
    pub fn used(&self) -> ServerUse {
        let cpu = self.cpu_before + self.cpu_now;
        ServerUse {
            cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
            memory_max_bytes: self.memory_max_bytes,
            kills: self.kills,
        }
    }

    /// Asks it to end (SIGTERM), and kills it after [`STOPPED_WITHIN`].
    pub async fn stop(mut self) -> ServerUse {
        self.sample();
        if let Some(process) = &mut self.running {
            process.signal(Signal::TERM);
            if timeout(STOPPED_WITHIN, process.wait()).await.is_err() {
                tracing::warn!(program = %self.program(), "it did not end when it was asked to");
            }
        }
        self.end().await;
        self.used()
    }

    /// Kills what runs, and keeps what it used.
    async fn end(&mut self) {
        self.sample();
        let Some(mut process) = self.running.take() else {
            return;
        };
        process.kill().await;
        let deadline = Instant::now() + GONE_WITHIN;
        // Its children hold its port until they are gone, too.
        while family(process.id()).is_ok_and(|family| family.running > 0) {
            if Instant::now() > deadline {
                tracing::warn!(program = %self.program(), "its children do not end");
                break;
            }
            sleep(PAUSE).await;
        }
        self.cpu_before += std::mem::take(&mut self.cpu_now);
    }

    fn family(&self) -> Family {
        let Some(process) = &self.running else {
            return Family::default();
        };
        family(process.id()).unwrap_or_default()
    }

    fn program(&self) -> String {
        self.described.command.first().cloned().unwrap_or_default()
    }
}

/// Where a server accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        // What follows may be a template, which is no part of a URL yet.
        let uri: Uri = split_target(url).0.parse().ok()?;
        let port = match uri.scheme_str()? {
            "ws" => 80,
            "wss" => 443,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(port),
        })
    }

    async fn accepts(&self) -> bool {
        let connected = TcpStream::connect((self.host.as_str(), self.port));
        let Ok(Ok(stream)) = timeout(CONNECT_WITHIN, connected).await else {
            return false;
        };
        // Where nobody listens, Linux may choose this very port to connect from: then a socket talks to itself.
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(here), Ok(there)) => here != there,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_target_is_in_its_url() {
        for (url, expected) in [
            ("ws://127.0.0.1:7070", Some("127.0.0.1:7070")),
            ("ws://localhost/dev", Some("localhost:80")),
            (
                "wss://a.example/dev?token={{ token }}",
                Some("a.example:443"),
            ),
            ("ws://localhost:1/{{ client }}", Some("localhost:1")),
            ("ws://[::1]:9", Some("::1:9")),
            ("http://127.0.0.1:7070", None),
            ("127.0.0.1:7070", None),
            ("ws://", None),
            ("", None),
        ] {
            let address = Address::of(url).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{url}");
        }
    }
}
