//! In: a template's path and flags. Out: `lift dev` as a process, its lines, and connections to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

/// Longest wait for one thing: a cold start of every function beside other tests is within it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for code to be built, from nothing: a compiler and all dependencies.
const BUILT_WITHIN: Duration = Duration::from_secs(15 * 60);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(PATIENCE, what, future).await
}

async fn within_time<T>(time: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(time, future).await;
    done.unwrap_or_else(|_late| panic!("{what} did not come in {time:?}"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A `lift dev` that accepts connections; ended by its drop.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// A line that was looked at and is to be found again.
    kept: Option<Value>,
    /// Where APIs accept; without one, where the first function is invoked.
    pub(crate) urls: Vec<String>,
    pub(crate) management: Vec<String>,
}

impl Running {
    pub(crate) async fn start(template: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
        command
            .args(["dev", "--json", "--template"])
            .arg(template)
            .args(flags)
            .env(
                "LIFT_DYNAMODB_LOCAL",
                root().join("tests/dynamodb-local/jars"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Self {
            child,
            lines,
            kept: None,
            urls: Vec::new(),
            management: Vec::new(),
        };
        let first = within_time(BUILT_WITHIN, "the first line", running.read()).await;
        if let Some(url) = first["invoke_url"].as_str() {
            running.urls.push(url.to_owned());
            return running;
        }
        running.urls.push(first["url"].as_str().unwrap().to_owned());
        let management = first["management_url"].as_str().unwrap();
        running.management.push(management.to_owned());
        running
    }

    async fn read(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap();
        let line = line.expect("lift dev ended before its line");
        let line: Value = serde_json::from_str(&line).unwrap();
        eprintln!("{line}");
        line
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The next line of output that is meant.
    pub(crate) async fn line(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        if let Some(kept) = self.kept.take()
            && is_meant(&kept)
        {
            return kept;
        }
        let looking = async {
            loop {
                let line = self.read().await;
                if is_meant(&line) {
                    return line;
                }
            }
        };
        within("a line of lift dev", looking).await
    }

    /// The next line of output that is meant; it is found again by the next look.
    pub(crate) async fn peek(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        let line = self.line(is_meant).await;
        self.kept = Some(line.clone());
        line
    }

    /// The next thing of this kind that happened.
    pub(crate) async fn entry(&mut self, kind: &str) -> Value {
        self.line(|line| line["kind"] == kind).await
    }

    /// The next problem; its text.
    pub(crate) async fn problem(&mut self) -> String {
        let problem = self.entry("problem").await;
        problem["text"].as_str().unwrap().to_owned()
    }

    /// One HTTP request to the first API's port; its status and body.
    pub(crate) async fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let authority = self.authority();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let asking = async {
            let mut stream = TcpStream::connect(authority).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        };
        let response = within("an HTTP response", asking).await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Posts to a connection; the answer's status.
    pub(crate) async fn post(&self, connection: &str, text: &str) -> u16 {
        let path = format!("/dev/@connections/{connection}");
        self.http("POST", &path, text).await.0
    }

    /// Sets these faults, from this seed.
    pub(crate) async fn set_faults(&self, seed: u64, faults: &[&str]) {
        let asked = serde_json::json!({ "seed": seed, "faults": faults }).to_string();
        let (status, body) = self.http("PUT", "/_lift/faults", &asked).await;
        assert_eq!((status, body), (200, asked_back(&asked)));
    }

    pub(crate) fn authority(&self) -> &str {
        self.urls[0].split('/').nth(2).unwrap()
    }

    pub(crate) async fn client(&self, query: &str) -> Client {
        let client = self.try_client(query).await;
        client.unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    pub(crate) async fn try_client(&self, query: &str) -> Result<Client, tungstenite::Error> {
        Client::connect(&format!("{}{query}", self.urls[0])).await
    }

    /// Its exit status, once it has ended by itself.
    pub(crate) async fn ended(mut self) -> std::process::ExitStatus {
        within("the end", self.child.wait()).await.unwrap()
    }

    /// Ends as Ctrl-C does, and nobody reads what it still says; its exit status.
    pub(crate) async fn stop_unread(mut self) -> std::process::ExitStatus {
        self.interrupt();
        within("the end", self.child.wait()).await.unwrap()
    }

    /// Ends as Ctrl-C does; its exit status.
    pub(crate) async fn stop(mut self) -> std::process::ExitStatus {
        self.interrupt();
        let reading = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let (status, ()) = within("the end", async {
            tokio::join!(self.child.wait(), reading)
        })
        .await;
        status.unwrap()
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        interrupt(&self.child);
    }
}

/// `lift dev` as a person runs it: its lines on stderr, and a client of the API that it names first.
pub(crate) struct Shown {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Shown {
    pub(crate) fn start(home: &tempfile::TempDir, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
        command
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(flags)
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = within("a line", self.lines.next_line()).await.unwrap();
        let line = line.expect("lift dev ended before its line");
        eprintln!("{line}");
        line
    }

    /// A client of the API `chat`, whose line is the next one.
    pub(crate) async fn client(&mut self) -> Client {
        self.try_client().await.unwrap()
    }

    pub(crate) async fn try_client(&mut self) -> Result<Client, tungstenite::Error> {
        let first = self.line().await;
        let mut words = first.split_whitespace();
        assert_eq!(words.next(), Some("chat"), "{first}");
        Client::connect(words.next().unwrap()).await
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        interrupt(&self.child);
    }
}

fn interrupt(child: &Child) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    let process = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
}

/// As `GET` shows a set of faults: in the order of their kinds.
fn asked_back(asked: &str) -> String {
    let asked: Value = serde_json::from_str(asked).unwrap();
    serde_json::json!({ "faults": asked["faults"], "seed": asked["seed"] }).to_string()
}

/// A directory with these files, for a template in it.
pub(crate) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    home
}

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self, tungstenite::Error> {
        let authority = url.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(authority).await.unwrap();
        let connecting = tokio_tungstenite::client_async(url, stream);
        let (socket, _) = within("the handshake", connecting).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> String {
        let next = within("a message", self.socket.next()).await;
        match next.expect("the connection ended").unwrap() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Closes with this code and reason.
    pub(crate) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = tungstenite::protocol::CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let closing = async {
            self.socket.close(Some(frame)).await.unwrap();
            while self.socket.next().await.is_some() {}
        };
        within("the close", closing).await;
    }

    /// The code that the connection is closed with.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match within("the close", self.socket.next()).await {
            Some(Ok(Message::Close(frame))) => frame.map(|frame| frame.code.into()),
            other => panic!("no close: {other:?}"),
        }
    }
}
