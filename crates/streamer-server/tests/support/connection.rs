//! A WebSocket as a client sees it that knows the protocol's text and nothing of our client's code.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::within;

/// One connection. Dropping it cuts the TCP connection without a close frame.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    sent: u32,
    /// Read while something else was waited for.
    news: VecDeque<Value>,
}

/// How a request ended, and what was said until then.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) message: Value,
    pub(crate) progress: Vec<Value>,
}

impl Connection {
    /// Opens one with the token in the header; an error where the server is away or refuses.
    pub(crate) async fn open(address: &str, token: &str) -> Result<Self, Error> {
        Self::open_with(address, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn open_with(
        address: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{address}/").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await?;
        Ok(Self {
            socket,
            sent: 0,
            news: VecDeque::new(),
        })
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        // A connection that the server closed meanwhile shows in what is read next.
        let _ = self.socket.send(message).await;
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// The next text as it came; none once the connection is gone. Cancel-safe.
    pub(crate) async fn try_text(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        let text = within("a message", self.try_text()).await;
        text.expect("the connection is open")
    }

    async fn read(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("a message is JSON")
    }

    /// The next message, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        match self.news.pop_front() {
            Some(message) => message,
            None => self.read().await,
        }
    }

    /// The code of the close frame, after whatever comes before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match within("a close frame", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }

    /// Sends a message, with an `id` if it has none, and gives its direct answer.
    pub(crate) async fn ask(&mut self, mut message: Value) -> Value {
        self.sent += 1;
        if message["id"].is_null() {
            message["id"] = json!(format!("m-{}", self.sent));
        }
        self.send(&message).await;
        loop {
            let answer = self.read().await;
            let direct = match answer["type"].as_str().unwrap() {
                "response" | "acknowledgment" | "pong" => true,
                "error" => answer["seq"].is_null(),
                _ => false,
            };
            if direct && answer["id"] == message["id"] {
                return answer;
            }
            self.news.push_back(answer);
        }
    }

    /// The data of the `response` to an action.
    pub(crate) async fn call(&mut self, action: &str, payload: Value) -> Value {
        let mut answer = self
            .ask(json!({"action": action, "payload": payload}))
            .await;
        assert_eq!(answer["type"], "response", "{answer}");
        answer["data"].take()
    }

    /// The error that an action is refused with, before it became a request.
    pub(crate) async fn refused(&mut self, action: &str, payload: Value) -> Value {
        let mut answer = self
            .ask(json!({"action": action, "payload": payload}))
            .await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["error"].take()
    }

    /// The id of a request that is acknowledged.
    pub(crate) async fn submit(&mut self, action: &str, payload: Value) -> String {
        let answer = self
            .ask(json!({"action": action, "payload": payload}))
            .await;
        assert_eq!(answer["type"], "acknowledgment", "{answer}");
        answer["request_id"].as_str().unwrap().to_owned()
    }

    /// Waits for the next progress of a request.
    pub(crate) async fn progress(&mut self, request_id: &str) -> Value {
        loop {
            let message = self.next().await;
            assert!(
                message["request_id"] != request_id || message["type"] == "progress",
                "ended before it said anything: {message}"
            );
            if message["request_id"] == request_id {
                return message;
            }
        }
    }

    /// Waits for the terminal message of a request; `seq` and percentage must not go backwards.
    pub(crate) async fn ended(&mut self, request_id: &str) -> End {
        let mut progress: Vec<Value> = Vec::new();
        loop {
            let message = self.next().await;
            if message["request_id"] != request_id {
                continue;
            }
            let above = |name: &str| {
                let last = progress.last().map(|last| last[name].as_f64().unwrap());
                last.is_none_or(|last| last <= message[name].as_f64().unwrap())
            };
            assert!(above("seq"), "{message} after {progress:?}");
            if message["type"] != "progress" {
                return End { message, progress };
            }
            assert!(above("percentage"), "{message} after {progress:?}");
            progress.push(message);
        }
    }

    pub(crate) async fn resume(&mut self, request_id: &str, after_seq: u64) -> Value {
        let one = json!({"request_id": request_id, "after_seq": after_seq});
        let mut data = self
            .call("request.resume", json!({"requests": [one]}))
            .await;
        data["requests"][0].take()
    }
}
