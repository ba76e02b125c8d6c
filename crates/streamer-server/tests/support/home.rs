//! A data directory and the servers that run on it, one after the other.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use streamer::auth::{Keys, MintRequest, mint};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::connection::Connection;
use super::http::{self, Response};
use super::within;

/// A directory for one test.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Another home with a copy of everything that lies in this one: new inodes, the same times.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::new();
        let copied = std::process::Command::new("cp")
            .args(["-a", "--no-preserve=links", "--reflink=auto"])
            .args([self.data(), copy.data()])
            .status();
        assert!(copied.unwrap().success());
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// The folder of a tenant's objects, made if need be.
    pub(crate) fn objects(&self, tenant: &str) -> PathBuf {
        let folder = self.data().join("objects").join(tenant);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Folders of requests, and reservations of names, that are still there. A name with `#` is a
    /// write of the object store's own that a kill cut short; the store shows it to nobody.
    pub(crate) fn left_of_work(&self) -> Vec<String> {
        let work = self.data().join("work");
        let names = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        let folders = names(work.clone()).filter(|name| name != ".names");
        let reserved = names(work.join(".names/acme")).filter(|name| !name.contains('#'));
        folders.chain(reserved).collect()
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// What the servers said on standard error.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The binary with these arguments and this data directory, under a tool such as `strace`.
    pub(crate) fn command(&self, under: &[&str], args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_streamer");
        let mut command = match under.split_first() {
            Some((tool, tool_args)) => {
                let mut command = Command::new(tool);
                command.args(tool_args).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STREAMER_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the binary to its end.
    pub(crate) async fn output(&self, args: &[&str]) -> Output {
        let mut command = self.command(&[], args);
        within("the end of the process", command.output())
            .await
            .unwrap()
    }

    pub(crate) async fn start(&self, args: &[&str]) -> Server {
        self.start_at("127.0.0.1:0", &[], args).await
    }

    /// Starts a server and waits until it listens.
    pub(crate) async fn start_at(&self, listen: &str, under: &[&str], args: &[&str]) -> Server {
        let log = File::options().append(true).create(true).open(self.log());
        let mut command = self.command(under, args);
        command
            .args(["--listen", listen, "--log-level", "warn"])
            .stderr(log.unwrap());
        let mut process = command.spawn().expect("the server starts");
        let stdout = process.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let line = within("the server's first line", lines.next_line())
            .await
            .unwrap();
        let line = line.unwrap_or_else(|| panic!("no server: {}", self.logged()));
        let (_, url) = line
            .split_once(" listens on ")
            .expect("a line with the URL");
        let (_, address) = url.split_once("://").unwrap();
        let (url, address) = (url.to_owned(), address.to_owned());
        Server {
            process,
            _output: lines,
            url,
            address,
        }
    }

    /// A token as `lift token mint` makes it, good for ten minutes.
    pub(crate) fn token(&self, user: &str, tenant: &str) -> String {
        self.token_with(user, tenant, |_| {})
    }

    /// A token of which something is special.
    pub(crate) fn token_with(
        &self,
        user: &str,
        tenant: &str,
        change: impl FnOnce(&mut MintRequest),
    ) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "the binary under test has the real clock"
        )]
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let mut request = MintRequest {
            sub: user.to_owned(),
            tenant: Some(tenant.to_owned()),
            permissions: None,
            issuer: None,
            audience: None,
            expires_in: Duration::from_secs(600),
            now_ms: u64::try_from(now.as_millis()).unwrap(),
        };
        change(&mut request);
        let keys = Keys::open(&self.data().join("keys")).unwrap();
        mint(&keys, &request).unwrap()
    }
}

/// A running server; it dies with this value.
pub(crate) struct Server {
    process: Child,
    /// Kept open: a server whose output is closed cannot say anything.
    _output: Lines<BufReader<ChildStdout>>,
    pub(crate) url: String,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("the server runs")
    }

    pub(crate) async fn connect(&self, token: &str) -> Connection {
        within("a connection", Connection::open(&self.address, token))
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        within(path, http::get(&self.address, path, headers))
            .await
            .unwrap()
    }

    /// What an upgrade with these headers is answered.
    pub(crate) async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let upgrade = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        self.get(path, &[&upgrade, headers].concat()).await
    }

    /// SIGKILL, and the end of the process.
    pub(crate) async fn kill(&mut self) {
        within("the end of a killed server", self.process.kill())
            .await
            .unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the end of the server", self.process.wait())
            .await
            .unwrap()
    }
}
