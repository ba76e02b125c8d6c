//! In: a program and what it trusts. Out: its process, in an environment such as the template's, and what that has used.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::Result;
use crate::quota::Quota;
use crate::stand_in::StandIn;

/// Clock ticks per second in `/proc/PID/stat`: fixed by Linux's ABI (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Whose certificates a bootstrap trusts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trusted {
    /// A file with the stand-in's authority alone: what roots cost that are built in.
    One,
    /// A file with the machine's roots as well: what roots cost on Lambda that are read there.
    Many,
}

/// A program to measure.
pub(crate) struct Bootstrap {
    pub(crate) name: String,
    path: PathBuf,
    trusted: Trusted,
}

impl Bootstrap {
    pub(crate) fn new(name: &str, path: &Path, trusted: Trusted) -> Self {
        let roots = match trusted {
            Trusted::One => "one root",
            Trusted::Many => "the system's roots",
        };
        Self {
            name: format!("{name}, {roots}"),
            path: path.to_owned(),
            trusted,
        }
    }

    /// Starts it with all that the CPU has to give.
    pub(crate) fn spawn(
        &self,
        handler: &str,
        runtime_api: &str,
        stand_in: &StandIn,
    ) -> Result<Running> {
        let mut command = Command::new(&self.path);
        self.environment(&mut command, handler, runtime_api, stand_in);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let at = Instant::now();
        let process = command.spawn()?;
        Ok(Running { at, process })
    }

    /// Starts it under a quota. A shell is under the quota first and becomes the bootstrap when it is told to.
    pub(crate) async fn spawn_under(
        &self,
        quota: &Quota,
        handler: &str,
        runtime_api: &str,
        stand_in: &StandIn,
    ) -> Result<Running> {
        let mut command = Command::new("sh");
        let become_it = r#"echo $$ > "$0" && echo && read -r go && exec "$1" > /dev/null"#;
        command
            .args(["-c", become_it])
            .args([quota.processes().as_path(), &self.path]);
        self.environment(&mut command, handler, runtime_api, stand_in);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut ready = process.stdout.take().ok_or("no output")?;
        ready.read_exact(&mut [0]).await?;
        let mut go = process.stdin.take().ok_or("no input")?;
        let at = Instant::now();
        go.write_all(b"\n").await?;
        Ok(Running { at, process })
    }

    fn environment(
        &self,
        command: &mut Command,
        handler: &str,
        runtime_api: &str,
        stand_in: &StandIn,
    ) {
        let roots = match self.trusted {
            Trusted::One => &stand_in.authority.certificate,
            Trusted::Many => &stand_in.authority.bundle,
        };
        command
            .kill_on_drop(true)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .envs(environment(handler, &stand_in.url))
            .env("SSL_CERT_FILE", roots)
            // Go reads each file of the system's directory as well.
            .env("SSL_CERT_DIR", stand_in.home.path().join("empty"));
        if matches!(self.trusted, Trusted::One) {
            command.env("AWS_CA_BUNDLE", roots);
        }
    }
}

/// The template's variables and Lambda's own, without the Runtime API and roots.
pub(crate) fn environment(handler: &str, url: &str) -> Vec<(&'static str, String)> {
    let fixed = [
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/streamer/bench"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "1"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000"),
        ("POWERTOOLS_SERVICE_NAME", "streamer"),
        ("POWERTOOLS_METRICS_NAMESPACE", "Streamer"),
        ("POWERTOOLS_LOG_LEVEL", "INFO"),
        ("STREAMER_CONNECTIONS_TABLE", "connections"),
        ("STREAMER_REQUESTS_TABLE", "requests"),
        ("STREAMER_BODIES_TABLE", "bodies"),
        ("STREAMER_RATES_TABLE", "rates"),
        ("STREAMER_BUCKET", "bucket"),
        ("STREAMER_USER_RATE", "off"),
        ("STREAMER_TENANT_RATE", "off"),
        ("STREAMER_USER_CONNECT_RATE", "off"),
        ("STREAMER_CONNECTIONS_PER_USER_MAX", "off"),
    ];
    let mut all: Vec<_> = fixed
        .map(|(name, value)| (name, value.to_owned()))
        .into_iter()
        .collect();
    all.push(("_HANDLER", handler.to_owned()));
    all.push(("AWS_ENDPOINT_URL_DYNAMODB", url.to_owned()));
    all.push(("STREAMER_MANAGEMENT_ENDPOINT", format!("{url}/v1")));
    all
}

/// A bootstrap's process; it is killed with this value.
pub(crate) struct Running {
    /// When it was started.
    pub(crate) at: Instant,
    process: Child,
}

impl Running {
    pub(crate) fn id(&self) -> Result<u32> {
        Ok(self.process.id().ok_or("the bootstrap has ended")?)
    }

    /// User and system time so far, in steps of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()?))?;
        // The name in parentheses may hold spaces; time in user mode is field 14, in the kernel 15.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no fields")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
        let ticks = ticks.sum::<std::result::Result<f64, _>>()?;
        Ok(Duration::from_secs_f64(ticks / TICKS))
    }

    /// The time that the threads which there are have run, exactly.
    pub(crate) fn cpu_of_threads(&self) -> Result<Duration> {
        let mut all = Duration::ZERO;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()?))? {
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let run = stat.split(' ').next().ok_or("no fields")?;
            all += Duration::from_nanos(run.parse()?);
        }
        Ok(all)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
    }

    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}
