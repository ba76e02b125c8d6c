//! What a script says comes in, frames on a real socket go out, and the reverse.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};

/// Where the binary connects.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Accepts a client as Streamer does: it chooses `streamer.v1` where that is offered.
    pub(crate) async fn accept(&self) -> Connection {
        self.accept_choosing("streamer.v1").await
    }

    /// Accepts a client as a server that knows no subprotocol.
    pub(crate) async fn accept_plain(&self) -> Connection {
        self.accept_choosing("").await
    }

    async fn accept_choosing(&self, subprotocol: &str) -> Connection {
        let (tcp, _) = self.listener.accept().await.unwrap();
        let (mut authorization, mut offered) = (String::new(), String::new());
        let header = |request: &Request, name: &str| {
            let value = request.headers().get(name);
            value
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let upgrade =
            |request: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
                authorization = header(request, "Authorization");
                offered = header(request, "Sec-WebSocket-Protocol");
                let chooses = offered.split(", ").any(|name| name == subprotocol);
                if chooses && !subprotocol.is_empty() {
                    let chosen = subprotocol.parse().unwrap();
                    answer
                        .headers_mut()
                        .insert("Sec-WebSocket-Protocol", chosen);
                }
                Ok(answer)
            };
        let socket = accept_hdr_async(tcp, upgrade).await.unwrap();
        Connection {
            socket,
            authorization,
            offered,
        }
    }

    /// Ends one TCP connection without an answer.
    pub(crate) async fn hang_up(&self) {
        drop(self.listener.accept().await.unwrap());
    }

    /// Answers one upgrade with a status.
    pub(crate) async fn refuse(&self, status: &str) {
        let (mut tcp, _) = self.listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            tcp.read_buf(&mut request).await.unwrap();
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        tcp.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// One connection; dropping it breaks it without a close frame.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    pub(crate) authorization: String,
    pub(crate) offered: String,
}

impl Connection {
    pub(crate) async fn hear_text(&mut self) -> String {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next text; none once the client has closed, or is gone.
    pub(crate) async fn hear_text_or_end(&mut self) -> Option<String> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Some(text.to_string()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => None,
            other => panic!("no text but {other:?}"),
        }
    }

    /// The next message, which must be for `action`.
    pub(crate) async fn hear(&mut self, action: &str) -> Value {
        let message: Value = serde_json::from_str(&self.hear_text().await).unwrap();
        assert_eq!(message["action"], action, "{message}");
        message
    }

    /// Reads to the end of the connection.
    pub(crate) async fn hear_end(mut self) {
        while self.socket.next().await.is_some_and(|read| read.is_ok()) {}
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn respond(&mut self, to: &Value, data: &str) {
        self.say(&format!(
            r#"{{"type":"response","id":{},"data":{data}}}"#,
            to["id"]
        ))
        .await;
    }

    pub(crate) async fn acknowledge(&mut self, to: &Value, request_id: &str) {
        self.say(&acknowledgment(to["id"].as_str().unwrap(), request_id))
            .await;
    }

    /// Answers a `request.resume` for one running request.
    pub(crate) async fn resumed(&mut self, to: &Value, request_id: &str) {
        let entry = json!({"request_id": request_id, "state": "running", "recovered": true});
        self.respond(to, &json!({"requests": [entry]}).to_string())
            .await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    pub(crate) async fn close(self, code: u16) {
        self.close_saying(code, "").await;
    }

    pub(crate) async fn close_without_code(mut self) {
        self.socket.send(Message::Close(None)).await.unwrap();
        self.hear_end().await;
    }

    pub(crate) async fn close_saying(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket.send(Message::Close(Some(frame))).await.unwrap();
        self.hear_end().await;
    }
}

pub(crate) fn acknowledgment(id: &str, request_id: &str) -> String {
    format!(
        r#"{{"type":"acknowledgment","id":"{id}","request_id":"{request_id}","status":"queued"}}"#
    )
}

pub(crate) fn progress(id: &str, request_id: &str, seq: u64, percentage: u64) -> String {
    format!(
        r#"{{"type":"progress","id":"{id}","request_id":"{request_id}","seq":{seq},"percentage":{percentage},"message":"m"}}"#
    )
}

pub(crate) fn complete(id: &str, request_id: &str, seq: u64) -> String {
    format!(
        r#"{{"type":"complete","id":"{id}","request_id":"{request_id}","seq":{seq},"result":{{"rows":1.0}}}}"#
    )
}
