//! A server as a process of its own in a directory of its own, and clients for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamer::auth::{Keys, MintRequest, mint};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("{what} took over {PATIENCE:?}"))
}

/// A directory for one server's data, kept while servers come and go.
pub(crate) struct Data(TempDir);

impl Data {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn object(&self, tenant: &str, name: &str) -> PathBuf {
        let dir = self.path().join("objects").join(tenant);
        std::fs::create_dir_all(&dir).unwrap();
        dir.join(name)
    }

    /// Writes orders for tenant `acme`.
    pub(crate) fn orders(&self, rows: u64) {
        let mut file = File::create(self.object("acme", "orders.csv")).unwrap();
        streamer::generate::generate_csv(rows, 3, &mut file).unwrap();
    }

    pub(crate) fn token(&self, sub: &str, tenant: &str) -> String {
        let keys = Keys::open(&self.path().join("keys")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "tokens for a real server")]
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let request = MintRequest {
            sub: sub.to_owned(),
            tenant: Some(tenant.to_owned()),
            permissions: None,
            issuer: None,
            audience: None,
            expires_in: Duration::from_secs(600),
            now_ms: u64::try_from(now.as_millis()).unwrap(),
        };
        mint(&keys, &request).unwrap()
    }

    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_streamer"));
        command.arg("--data-dir").arg(self.path());
        command
    }

    pub(crate) async fn serve(&self) -> Server {
        self.serve_with(&["--listen", "127.0.0.1:0"]).await
    }

    pub(crate) async fn serve_with(&self, args: &[&str]) -> Server {
        let mut command = self.command();
        command
            .args(["--log-level", "error", "--process-checkpoint-every", "20ms"])
            .args(args);
        Server::spawn(Command::from(command)).await
    }
}

/// A server that listens; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) async fn spawn(mut command: Command) -> Self {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = spawned.unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = in_time("starting", async {
            loop {
                let line = output.next_line().await.unwrap().expect("the server ended");
                if let Some((_, address)) = line.split_once("ws://") {
                    return address.trim().to_owned();
                }
            }
        });
        let address = address.await;
        Self {
            process,
            address,
            _output: output,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &id])
            .status();
        assert!(sent.unwrap().success());
    }

    pub(crate) async fn connect(&self, token: &str) -> Socket {
        match self
            .try_connect("/", &[("authorization", &format!("Bearer {token}"))])
            .await
        {
            Ok(socket) => socket,
            Err((status, body)) => panic!("refused with {status} {body}"),
        }
    }

    pub(crate) async fn try_connect(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, (u16, String)> {
        let url = format!("ws://{}{path}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match in_time("connecting", connect_async(request)).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((
                    response.status().as_u16(),
                    String::from_utf8_lossy(&body).into_owned(),
                ))
            }
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// `GET path` with these headers: status and body.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        in_time("an answer", stream.read_to_string(&mut response))
            .await
            .unwrap();
        let status = response.split(' ').nth(1).unwrap().parse().unwrap();
        let body = response.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }
}

/// One client's connection, frames as they come.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn send(&mut self, message: &Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message, or the close code (1006 where there was no close frame).
    pub(crate) async fn read(&mut self) -> Result<Value, u16> {
        loop {
            match in_time("a message", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(1006),
            }
        }
    }

    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self
                .read()
                .await
                .unwrap_or_else(|code| panic!("closed with {code}"));
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Sends an action and gives its direct answer.
    pub(crate) async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.send(&json!({"id": action, "action": action, "payload": payload}))
            .await;
        self.until(|message| message["id"] == action && message.get("seq").is_none())
            .await
    }

    pub(crate) async fn submit(&mut self, payload: Value) -> String {
        let answer = self.ask("process_data", payload).await;
        assert_eq!(answer["type"], "acknowledgment", "{answer}");
        answer["request_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn resume(&mut self, request_id: &str) -> Value {
        let payload = json!({"requests": [{"request_id": request_id}]});
        self.ask("request.resume", payload).await["data"]["requests"][0].clone()
    }

    pub(crate) async fn ended(&mut self, request_id: &str) -> Value {
        self.until(|message| {
            message["request_id"] == request_id
                && message.get("seq").is_some()
                && message["type"] != "progress"
        })
        .await
    }
}

pub(crate) fn deduplicate(output: &str) -> Value {
    json!({
        "input": "orders.csv",
        "operations": [{"op": "deduplicate", "by": ["order_id"]}],
        "output": {"name": output},
    })
}
