//! An app in a test: messages go in, replies come out, over the gateway that serves sockets, in
//! memory and under a clock that the test moves. Two hours pass in milliseconds.
//!
//! ```
//! use lift::app::App;
//! use lift_server::test_app::TestApp;
//! use serde_json::json;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() {
//!     let app = App::new().on("greet", async || Ok::<_, lift::error::Error>("hello"));
//!     let test = TestApp::start(app);
//!     let mut ada = test.connect().await;
//!     assert_eq!(ada.call("greet", json!(null)).await, json!("hello"));
//! }
//! ```

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a `serde_json::Value` gives `null`"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use lift::app::{App, Runtime};
use lift::clock::{Clock, Timestamp};
use lift::task::memory::{MemoryResults, MemoryTasks};
use lift_gateway::Rules;
use lift_gateway::listener::{HttpLimits, Visit};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::host::Host;
use crate::host::rules;
use crate::http::{Site, router};
use crate::listen;

/// Bytes that wait between the two ends of a connection.
const PIPE_BYTES: usize = 64 * 1024;
/// Virtual time after which something that was expected counts as missing: longer than the
/// longest deadline of a request.
const PATIENCE: Duration = Duration::from_secs(25 * 3600);
/// When tests begin: 2026-01-01T00:00:00Z, in milliseconds since the epoch.
const START_MS: u64 = 1_767_225_600_000;

/// An app in a test.
#[derive(Debug)]
pub struct TestApp {
    runtime: Runtime,
    host: tokio::sync::Mutex<Host>,
    router: Router,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl TestApp {
    /// Starts an app on memory backends. Tokio's clock should be paused.
    pub fn start(app: App) -> Self {
        Self::with(app, rules(), MemoryTasks::default())
    }

    /// Starts an app under these rules, on requests that an earlier `TestApp` may have left: that
    /// is what a restarted process finds.
    pub fn with(app: App, rules: Rules, requests: MemoryTasks) -> Self {
        let clock = Clock::starting_at(Timestamp::from_millis(START_MS));
        let results = Arc::new(MemoryResults::default());
        let host = Host::start(app, rules, Arc::new(requests), results, clock);
        let site = Site {
            runtime: host.runtime.clone(),
            gateway: host.gateway.clone(),
            results: None,
            metrics: None,
            draining: CancellationToken::new(),
            writable: Arc::new(|| true),
        };
        Self {
            runtime: host.runtime.clone(),
            router: router(site),
            host: tokio::sync::Mutex::new(host),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The app on its backends.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Lets virtual time pass.
    pub async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    /// Opens a connection.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(&self) -> TestConnection {
        match self.connect_with(&[]).await {
            Ok(connection) => connection,
            Err(status) => panic!("the handshake was refused with {status}"),
        }
    }

    /// Opens a connection with these headers.
    ///
    /// # Errors
    /// The HTTP status that refused it.
    ///
    /// # Panics
    /// When a header cannot be sent.
    pub async fn connect_with(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<TestConnection, u16> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let visit = Visit::alone(HttpLimits::default(), self.stop.clone()).await;
        let router = self.router.clone();
        self.tasks
            .spawn(listen::connection(theirs, peer, visit, router));
        let mut request = "ws://localhost/"
            .into_client_request()
            .expect("the URL is valid");
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, value.parse().expect("a header value"));
        }
        match tokio_tungstenite::client_async(request, ours).await {
            Ok((socket, _)) => Ok(TestConnection {
                socket,
                messages_sent: 0,
            }),
            Err(WsError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// Drains as a server does on SIGTERM.
    pub async fn drain(&self, within: Duration) {
        self.host.lock().await.drain(within).await;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

/// One client's connection in a test.
#[derive(Debug)]
pub struct TestConnection {
    socket: WebSocketStream<DuplexStream>,
    messages_sent: u32,
}

impl TestConnection {
    /// Sends text as it is.
    pub async fn send_text(&mut self, text: &str) {
        // A connection that the server closed meanwhile shows in what is read next.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// The next message.
    ///
    /// # Panics
    /// When the connection closes instead, or nothing comes for a virtual day.
    pub async fn next(&mut self) -> Value {
        match self.read().await {
            Some(Message::Text(text)) => {
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
            }
            other => panic!("expected a message, got {other:?}"),
        }
    }

    async fn read(&mut self) -> Option<Message> {
        let read = tokio::time::timeout(PATIENCE, self.socket.next()).await;
        read.expect("nothing came for a virtual day")?.ok()
    }

    /// Sends an action and gives the data of its `response`.
    ///
    /// # Panics
    /// When it is answered otherwise.
    pub async fn call(&mut self, action: &str, payload: Value) -> Value {
        let answer = self.ask(action, payload).await;
        assert_eq!(answer["type"], "response", "unexpected answer {answer}");
        answer["data"].clone()
    }

    /// Sends an action and gives the error that it is refused with.
    ///
    /// # Panics
    /// When it is answered otherwise.
    pub async fn refused(&mut self, action: &str, payload: Value) -> Value {
        let answer = self.ask(action, payload).await;
        assert_eq!(answer["type"], "error", "unexpected answer {answer}");
        answer["error"].clone()
    }

    /// Sends an action that is deferred and gives its request id.
    ///
    /// # Panics
    /// When it is answered otherwise.
    pub async fn submit(&mut self, action: &str, payload: Value) -> String {
        let answer = self.ask(action, payload).await;
        assert_eq!(
            answer["type"], "acknowledgment",
            "unexpected answer {answer}"
        );
        answer["request_id"]
            .as_str()
            .expect("an acknowledgment names its request")
            .to_owned()
    }

    /// Waits for the end of a request: its result, after the percentages told until then.
    ///
    /// # Panics
    /// When it ends otherwise, or a percentage is below an earlier one.
    pub async fn completed(&mut self, request_id: &str) -> (Value, Vec<f64>) {
        let (end, percentages) = self.ended(request_id).await;
        assert_eq!(end["type"], "complete", "unexpected end {end}");
        (end["result"].clone(), percentages)
    }

    /// Waits for the terminal message of a request, after the percentages told until then.
    ///
    /// # Panics
    /// When a percentage is below an earlier one.
    pub async fn ended(&mut self, request_id: &str) -> (Value, Vec<f64>) {
        let mut percentages: Vec<f64> = Vec::new();
        loop {
            let message = self.next().await;
            if message["request_id"] != request_id {
                continue;
            }
            if message["type"] != "progress" {
                return (message, percentages);
            }
            let percentage = message["percentage"]
                .as_f64()
                .expect("a percentage is a number");
            assert!(
                percentages.last().is_none_or(|last| *last <= percentage),
                "progress went down"
            );
            percentages.push(percentage);
        }
    }

    /// Waits for the connection to be closed, and gives the code.
    ///
    /// # Panics
    /// When it ends without a close frame.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.read().await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(Message::Text(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }

    async fn ask(&mut self, action: &str, payload: Value) -> Value {
        self.messages_sent += 1;
        let id = format!("t-{}", self.messages_sent);
        self.send(json!({"id": id, "action": action, "payload": payload}))
            .await;
        loop {
            let message = self.next().await;
            // News of earlier requests may come in between.
            let news = matches!(
                message["type"].as_str(),
                Some("progress" | "complete" | "cancelled")
            );
            if message["id"] == id && !news {
                return message;
            }
        }
    }
}
