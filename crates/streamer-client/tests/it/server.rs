//! A script comes in, one side of a WebSocket conversation on a port of its own goes out.

use std::{future::Future, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use streamer_client::options::{Options, Token};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, WebSocketConfig},
    },
};

/// Longest time that any test may take.
const TEST_WITHIN: Duration = Duration::from_secs(20);

/// Runs the server's script and the client's side by side, to the end of both.
pub(crate) fn play<S, C>(script: impl FnOnce(Server) -> S, client: impl FnOnce(Options) -> C)
where
    S: Future<Output = ()>,
    C: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let options = Options::new(url).token(Token::fixed("t1"));
        let both = async { tokio::join!(script(Server { listener }), client(options)) };
        tokio::time::timeout(TEST_WITHIN, both)
            .await
            .expect("the test ends in time");
    });
}

/// Where clients connect.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
}

impl Server {
    pub(crate) async fn tcp(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Accepts a client, choosing `streamer.v1` as Streamer does; a frame over 32 KiB is an error, as on API Gateway.
    pub(crate) async fn accept(&self) -> Connection {
        let (mut authorization, mut offered) = (String::new(), String::new());
        let header = |request: &Request, name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let upgrade =
            |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                authorization = header(request, "Authorization");
                offered = header(request, "Sec-WebSocket-Protocol");
                if offered.contains("streamer.v1") {
                    let chosen = "streamer.v1".parse().unwrap();
                    response
                        .headers_mut()
                        .insert("Sec-WebSocket-Protocol", chosen);
                }
                Ok(response)
            };
        let limits = WebSocketConfig::default().max_frame_size(Some(32 * 1024));
        let socket = accept_hdr_async_with_config(self.tcp().await, upgrade, Some(limits))
            .await
            .unwrap();
        Connection {
            socket,
            authorization,
            offered,
        }
    }

    /// Answers one upgrade with a status, and returns its request.
    pub(crate) async fn refuse(&self, status: &str) -> String {
        let mut tcp = self.tcp().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            tcp.read_buf(&mut request).await.unwrap();
        }
        let body = r#"{"message":"Unauthorized"}"#;
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }
}

/// One client's connection; dropping it breaks it without a close frame.
pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    pub(crate) authorization: String,
    pub(crate) offered: String,
}

impl Connection {
    /// The next message of the client.
    pub(crate) async fn hear(&mut self) -> Value {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next message, which must be for `action`.
    pub(crate) async fn hear_action(&mut self, action: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["action"], action, "{message}");
        message
    }

    /// The client's close code.
    pub(crate) async fn hear_close(&mut self) -> u16 {
        match self.socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                // The answer to the close frame leaves with the next read.
                let _ = self.socket.next().await;
                frame.code.into()
            }
            other => panic!("no close frame but {other:?}"),
        }
    }

    /// The end without a close frame.
    pub(crate) async fn hear_cut(&mut self) {
        let end = self.socket.next().await;
        assert!(matches!(end, None | Some(Err(_))), "{end:?}");
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn respond(&mut self, to: &Value, data: Value) {
        self.say(json!({"type": "response", "id": to["id"], "data": data}))
            .await;
    }

    pub(crate) async fn answer_ping(&mut self) {
        let ping = self.hear_action("ping").await;
        self.answer(&ping).await;
    }

    pub(crate) async fn answer(&mut self, ping: &Value) {
        self.say(json!({"type": "pong", "id": ping["id"], "server_time": "now"}))
            .await;
    }

    pub(crate) async fn acknowledge(&mut self, to: &Value, request_id: &str) {
        let acknowledgment = json!({
            "type": "acknowledgment", "id": to["id"], "request_id": request_id, "status": "queued", "duplicate": false,
        });
        self.say(acknowledgment).await;
    }

    pub(crate) async fn progress(&mut self, request_id: &str, seq: u64, percentage: f64) {
        let progress = json!({
            "type": "progress", "id": "x", "request_id": request_id, "seq": seq, "percentage": percentage, "message": "m",
        });
        self.say(progress).await;
    }

    pub(crate) async fn complete(&mut self, request_id: &str, seq: u64, result: Value) {
        self.say(json!({"type": "complete", "id": "x", "request_id": request_id, "seq": seq, "result": result})).await;
    }

    /// Answers a `request.resume` for one running request.
    pub(crate) async fn resumed(&mut self, to: &Value, request_id: &str) {
        let entry = json!({"request_id": request_id, "state": "running", "recovered": true});
        self.respond(to, json!({"requests": [entry]})).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.socket
            .send(Message::Close(Some(CloseFrame {
                code: code.into(),
                reason: "".into(),
            })))
            .await
            .unwrap();
        while self.socket.next().await.is_some_and(|read| read.is_ok()) {}
    }
}
