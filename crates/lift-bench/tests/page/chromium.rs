//! A page comes in; what a real browser says of it goes out, by way of the DevTools protocol.

use std::{path::PathBuf, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    runtime::Builder,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// Longest time that a browser may take for all of a test.
const WITHIN: Duration = Duration::from_secs(120);

/// One page at one width.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) width: u32,
    /// Errors and warnings of the console, exceptions.
    pub(crate) complaints: Vec<String>,
    /// What it asked the network for, besides itself.
    pub(crate) requests: Vec<String>,
    /// What the given expression found.
    pub(crate) measured: Value,
}

/// A browser of this test's own.
pub(crate) struct Chromium {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    dir: TempDir,
    last: u64,
}

impl Chromium {
    /// Runs a test with a browser; nothing where there is none.
    pub(crate) fn with<T>(test: impl AsyncFnOnce(Self) -> T) -> Option<T> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let within = tokio::time::timeout(WITHIN, async {
                let browser = Self::start().await?;
                Some(test(browser).await)
            });
            within.await.expect("a browser is done in time")
        })
    }

    async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let started = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--remote-debugging-address=127.0.0.1",
                "--remote-debugging-port=0",
            ])
            .arg(format!(
                "--user-data-dir={}",
                dir.path().join("profile").display()
            ))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: there is no `chromium`: {error}");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("chromium ended: {said}");
            };
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                break url.to_owned();
            }
            said.push_str(&line);
        };
        let address = url
            .strip_prefix("ws://")
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(&url, stream).await.unwrap();
        Some(Self {
            child,
            socket,
            dir,
            last: 0,
        })
    }

    /// Opens a page, waits until it is loaded, and asks it for a value.
    pub(crate) async fn open(&mut self, page: &str, width: u32, expression: &str) -> Seen {
        let file: PathBuf = self.dir.path().join("page.html");
        std::fs::write(&file, page).unwrap();
        let url = format!("file://{}", file.display());
        let mut events = Vec::new();
        let target = json!({ "url": "about:blank" });
        let target = self
            .call("", "Target.createTarget", target, &mut events)
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self
            .call("", "Target.attachToTarget", attach, &mut events)
            .await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Network", "Runtime", "Log", "Page"] {
            let method = format!("{domain}.enable");
            self.call(&session, &method, json!({}), &mut events).await;
        }
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        let method = "Emulation.setDeviceMetricsOverride";
        self.call(&session, method, size, &mut events).await;
        events.clear();
        let navigate = json!({ "url": url });
        self.call(&session, "Page.navigate", navigate, &mut events)
            .await;
        while !events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.next().await;
            events.push(event);
        }
        let expression = json!({ "expression": expression, "returnByValue": true });
        let result = self
            .call(&session, "Runtime.evaluate", expression, &mut events)
            .await;
        let measured = result["result"]["value"].as_str();
        let measured = measured.unwrap_or_else(|| panic!("nothing was measured: {result}"));
        let close = json!({ "targetId": target["targetId"] });
        self.call("", "Target.closeTarget", close, &mut events)
            .await;
        Seen {
            width,
            complaints: events.iter().filter_map(complaint).collect(),
            requests: events
                .iter()
                .filter_map(|event| request(event, &url))
                .collect(),
            measured: serde_json::from_str(measured).unwrap(),
        }
    }

    /// Ends the browser and waits for that.
    pub(crate) async fn close(mut self) {
        self.last += 1;
        let close = json!({ "id": self.last, "method": "Browser.close" });
        self.socket
            .send(Message::text(close.to_string()))
            .await
            .unwrap();
        self.child.wait().await.unwrap();
    }

    async fn call(
        &mut self,
        session: &str,
        method: &str,
        params: Value,
        events: &mut Vec<Value>,
    ) -> Value {
        self.last += 1;
        let mut call = json!({ "id": self.last, "method": method, "params": params });
        if !session.is_empty() {
            call["sessionId"] = session.into();
        }
        self.socket
            .send(Message::text(call.to_string()))
            .await
            .unwrap();
        loop {
            let mut answer = self.next().await;
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            events.push(answer);
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = self
                .socket
                .next()
                .await
                .expect("the browser is there")
                .unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

fn complaint(event: &Value) -> Option<String> {
    let method = event["method"].as_str()?;
    let said = [
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
    ];
    said.contains(&method).then(|| event.to_string())
}

fn request(event: &Value, page: &str) -> Option<String> {
    let url = event["params"]["request"]["url"].as_str()?;
    let asked = event["method"] == "Network.requestWillBeSent";
    (asked && url != page && !url.starts_with("data:")).then(|| url.to_owned())
}
