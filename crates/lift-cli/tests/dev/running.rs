//! In: a template's path and flags. Out: `lift dev` as a process, its lines, and connections to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
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
    pub(crate) urls: Vec<String>,
    pub(crate) management: Vec<String>,
}

impl Running {
    pub(crate) async fn start(template: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
        command
            .args(["dev", "--json", "--listen", "127.0.0.1:0", "--template"])
            .arg(template)
            .args(flags)
            .env(
                "LIFT_DYNAMODB_LOCAL",
                root().join("tests/dynamodb-local/jars"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Self {
            child,
            lines,
            urls: Vec::new(),
            management: Vec::new(),
        };
        let first = running.find(|line| line.get("url").is_some());
        let first = within_time(BUILT_WITHIN, "the first API", first).await;
        running.urls.push(first["url"].as_str().unwrap().to_owned());
        let management = first["management_url"].as_str().unwrap();
        running.management.push(management.to_owned());
        running
    }

    /// The next line of output that is meant.
    pub(crate) async fn line(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        within("a line of lift dev", self.find(is_meant)).await
    }

    async fn find(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.next_line().await.unwrap();
            let line = line.expect("lift dev ended before its line");
            let line: Value = serde_json::from_str(&line).unwrap();
            eprintln!("{line}");
            if is_meant(&line) {
                return line;
            }
        }
    }

    pub(crate) async fn client(&self, query: &str) -> Client {
        let client = self.try_client(query).await;
        client.unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    pub(crate) async fn try_client(&self, query: &str) -> Result<Client, tungstenite::Error> {
        let url = format!("{}{query}", self.urls[0]);
        let authority = url.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(authority).await.unwrap();
        let connecting = tokio_tungstenite::client_async(&url, stream);
        let (socket, _) = within("the handshake", connecting).await?;
        Ok(Client { socket })
    }

    /// Ends as Ctrl-C does; its exit status.
    pub(crate) async fn stop(mut self) -> std::process::ExitStatus {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        let reading = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let (status, ()) = within("the end", async {
            tokio::join!(self.child.wait(), reading)
        })
        .await;
        status.unwrap()
    }
}

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
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

    /// The code that the connection is closed with.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match within("the close", self.socket.next()).await {
            Some(Ok(Message::Close(frame))) => frame.map(|frame| frame.code.into()),
            other => panic!("no close: {other:?}"),
        }
    }
}
