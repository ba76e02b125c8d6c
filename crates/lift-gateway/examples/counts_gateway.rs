//! What one message costs a gateway: a scenario and a number of messages come in, the messages are carried and the program ends.
//!
//! `cargo x counts` runs it under Valgrind with two numbers of messages; the difference between the
//! two counts of instructions is the messages' own. All of it is one thread and one pipe in memory:
//! bytes of frames → session (limits, route key) → a function in this process → bytes of frames.

#![expect(
    clippy::disallowed_methods,
    reason = "the program ends with its one task"
)]

use std::error::Error;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lift_gateway::{Answer, Gateway, Integration, Invocation, InvokeError, Rules};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Characters of a message's payload, as in the benchmark.
const PAYLOAD: usize = 200;
/// Bytes that the pipe takes at once: more than 16 frames.
const PIPE_BYTES: usize = 64 * 1024;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().ok_or("which scenario?")?;
    let messages: usize = args.next().ok_or("how many messages?")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        match scenario.as_str() {
            "echo-1" => echo(messages, 1, false).await,
            "echo-16" => echo(messages, 16, false).await,
            "json-1" => echo(messages, 1, true).await,
            "post" => post(messages).await,
            _ => Err("there is no such scenario".into()),
        }
    })
}

/// So many messages at a time, each answered by a function in this process.
async fn echo(messages: usize, at_once: usize, json: bool) -> Result<()> {
    let (mut client, _gateway) = connected(json).await?;
    let message = format!(
        r#"{{"id":"1","action":"echo","payload":"{}"}}"#,
        "x".repeat(PAYLOAD)
    );
    let sent = frame(&message).repeat(at_once);
    let mut answered = vec![0; (message.len() + 4) * at_once];
    for _ in 0..messages / at_once {
        client.write_all(&sent).await?;
        client.read_exact(&mut answered).await?;
    }
    if answered.ends_with(message.as_bytes()) {
        Ok(())
    } else {
        Err("the answers are not the messages".into())
    }
}

/// As many posts to the connection.
async fn post(messages: usize) -> Result<()> {
    let (mut client, gateway) = connected(false).await?;
    client.write_all(&frame(r#"{"action":"id"}"#)).await?;
    let mut id = [0; 18];
    client.read_exact(&mut id).await?;
    let id = std::str::from_utf8(id.get(2..).unwrap_or_default())?;
    let message = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut posted = vec![0; PAYLOAD + 4];
    for _ in 0..messages {
        gateway.connections().post(id, message.clone())?;
        client.read_exact(&mut posted).await?;
    }
    Ok(())
}

/// A client's end of an upgraded connection.
async fn connected(json: bool) -> Result<(DuplexStream, Gateway)> {
    let echo = tower::service_fn(move |invocation: Invocation| async move {
        if json {
            let event: serde_json::Value = serde_json::from_slice(&invocation.event.json())
                .map_err(|error| InvokeError::FunctionError {
                    message: error.to_string(),
                })?;
            let answer = serde_json::json!({"statusCode": 200, "body": event.get("body")});
            return Ok(Answer::from(answer.to_string()));
        }
        let text = invocation.event.text().cloned().unwrap_or_default();
        let answer = if text.ends_with(r#""id"}"#) {
            invocation.connection_id.to_string().into()
        } else {
            text
        };
        Ok::<_, InvokeError>(Answer::text(answer))
    });
    let rules = Rules::default().two_way("$default").two_way("echo");
    let gateway = Gateway::new(rules, Integration::new(echo));
    let (mut client, server) = tokio::io::duplex(PIPE_BYTES);
    let served = gateway.clone();
    let peer = ([127, 0, 0, 1], 1).into();
    tokio::spawn(async move {
        let service = service_fn(|request: Request<Incoming>| {
            let served = served.clone();
            async move { Ok::<_, std::convert::Infallible>(served.handle(request, peer).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        connection.with_upgrades().await
    });
    let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok((client, gateway))
    } else {
        Err("the upgrade was refused".into())
    }
}

/// A masked text frame of up to 65,535 bytes (RFC 6455 §5.2).
fn frame(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        text.bytes()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}
