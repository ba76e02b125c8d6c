//! A result too large for a message, over real sockets: a URL goes out, the bytes come from it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lift::app::App;
use lift::error::Error;
use lift::limits::Limits;
use lift_server::server::{Options, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const LARGE: usize = 150 * 1024;

/// Serves an app whose task gives a large result, and asks for one.
async fn asked(url_for: Duration) -> (JoinSet<()>, tempfile::TempDir, String, Value) {
    let mut limits = Limits::default();
    limits.result_url_for = url_for;
    let large = async |_: lift::json::Json| Ok::<_, Error>("x".repeat(LARGE));
    let app = App::new().limits(limits).task("large", large);
    let dir = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(app, any, Options::new(dir.path()))
        .await
        .unwrap();
    let address = server.address().to_string();
    let mut running = JoinSet::new();
    running.spawn(server.run(CancellationToken::new()));
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/"), stream)
        .await
        .unwrap();
    socket
        .send(Message::text(json!({"action": "large"}).to_string()))
        .await
        .unwrap();
    let complete = loop {
        let read = tokio::time::timeout(Duration::from_secs(30), socket.next()).await;
        let text = read
            .expect("an answer in time")
            .unwrap()
            .unwrap()
            .into_text()
            .unwrap();
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "complete" {
            break message;
        }
    };
    (running, dir, address, complete)
}

async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    (status.unwrap(), body.to_owned())
}

fn path<'a>(address: &str, complete: &'a Value) -> &'a str {
    let url = complete["result_url"]
        .as_str()
        .expect("a URL in place of the result");
    url.strip_prefix(&format!("http://{address}"))
        .expect("the address listened on")
}

#[tokio::test]
async fn a_large_result_is_behind_its_url_for_whoever_has_it() {
    let (_running, _dir, address, complete) = asked(Duration::from_secs(60)).await;
    assert!(
        complete["result"].is_null() && complete["expires_at"].is_string(),
        "{complete}"
    );
    let path = path(&address, &complete);
    let (status, body) = get(&address, path).await;
    assert_eq!(status, 200);
    assert_eq!(body, format!("\"{}\"", "x".repeat(LARGE)));
    let (token, tag) = path.rsplit_once('.').unwrap();
    let altered = if tag.starts_with('A') {
        tag.replacen('A', "B", 1)
    } else {
        format!("A{}", &tag[1..])
    };
    for wrong in [
        format!("{token}.{altered}"),
        token.to_owned(),
        "/results/x".to_owned(),
    ] {
        assert_eq!(
            get(&address, &wrong).await,
            (404, r#"{"message":"Not Found"}"#.to_owned()),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_url_that_has_expired_says_so() {
    let (_running, _dir, address, complete) = asked(Duration::ZERO).await;
    let answer = get(&address, path(&address, &complete)).await;
    assert_eq!(answer, (410, r#"{"message":"Gone"}"#.to_owned()));
}
