//! The servers that are measured beside `streamer`: nothing comes in, each serves until it is killed.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Result;

pub(crate) async fn tcp_echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on tcp://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(async move {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                let Some(read) = bytes.get(..count) else {
                    return;
                };
                if stream.write_all(read).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A WebSocket echo by hand, for clients that keep to RFC 6455: one read, its frames turned round, one write.
pub(crate) async fn ws_echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on ws://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(async move {
            upgrade(&mut stream).await?;
            let (mut read, mut written) = (Vec::with_capacity(8192), Vec::with_capacity(8192));
            while stream.read_buf(&mut read).await? > 0 {
                let mut done = 0;
                while let Some(used) =
                    turn_round(read.get(done..).unwrap_or_default(), &mut written)
                {
                    done += used;
                }
                read.drain(..done);
                stream.write_all(&written).await?;
                written.clear();
            }
            Result::Ok(())
        });
    }
}

/// A broadcast by hand: whatever one connection says, all get this frame, one after the other.
pub(crate) async fn fan_out() -> Result<()> {
    const NEWS: &[u8] = b"\x81\x0f{\"type\":\"news\"}";
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on ws://{}", listener.local_addr()?);
    let (all, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let all = Arc::clone(&all);
        tasks.spawn(async move {
            upgrade(&mut stream).await?;
            let (mut read, write) = stream.into_split();
            let write = Arc::new(write);
            all.lock().await.push(Arc::clone(&write));
            let mut said = Vec::with_capacity(1024);
            while read.read_buf(&mut said).await? > 0 {
                said.clear();
                // The last in the place of an answer.
                for socket in all.lock().await.iter().chain([&write]) {
                    while socket.try_write(NEWS).is_err() {
                        socket.writable().await?;
                    }
                }
            }
            Result::Ok(())
        });
    }
}

/// Answers a handshake; the clients of this benchmark do not check the key's answer.
async fn upgrade(stream: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("no handshake".into());
        }
    }
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    Ok(stream.write_all(answer).await?)
}

/// Writes the first frame back unmasked; its length, unless it is not whole yet.
fn turn_round(bytes: &[u8], written: &mut Vec<u8>) -> Option<usize> {
    let (short, rest) = (bytes.get(1)? & 0x7f, bytes.get(2..)?);
    let (length, rest, head) = match short {
        126 => (
            usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            rest.get(2..)?,
            4,
        ),
        short => (usize::from(short), rest, 2),
    };
    let mask = rest.first_chunk::<4>()?;
    let payload = rest.get(4..4 + length)?;
    written.push(*bytes.first()?);
    written.push(short);
    written.extend(bytes.get(2..head)?);
    let masks = mask.iter().cycle();
    written.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    Some(head + 4 + length)
}

pub(crate) async fn gateway_echo() -> Result<()> {
    use lift_gateway::{Answer, Gateway, Integration, Invocation, InvokeError, Rules};
    let echo = tower::service_fn(async |invocation: Invocation| {
        let text = invocation.event.text().cloned();
        Ok::<_, InvokeError>(Answer::text(text.unwrap_or_default()))
    });
    let rules = Rules::default().two_way("$default").two_way("echo");
    let gateway = Gateway::new(rules, Integration::new(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on ws://{}", listener.local_addr()?);
    Ok(gateway.serve(listener, CancellationToken::new()).await?)
}

pub(crate) async fn gateway_json_echo() -> Result<()> {
    use lift_gateway::{Answer, Gateway, Integration, Invocation, InvokeError, Rules};
    #[derive(serde::Deserialize)]
    struct Event {
        body: String,
    }
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Proxy {
        status_code: u16,
        body: String,
    }
    let echo = tower::service_fn(async |invocation: Invocation| {
        let failed = |error: serde_json::Error| InvokeError::FunctionError {
            message: error.to_string(),
        };
        let Event { body } = serde_json::from_slice(&invocation.event.json()).map_err(failed)?;
        let answer = serde_json::to_vec(&Proxy {
            status_code: 200,
            body,
        })
        .map_err(failed)?;
        Ok::<_, InvokeError>(Answer::from(answer))
    });
    let gateway = Gateway::new(Rules::default().two_way("$default"), Integration::new(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on ws://{}", listener.local_addr()?);
    Ok(gateway.serve(listener, CancellationToken::new()).await?)
}

/// An app without limits of rates, for whoever comes.
pub(crate) async fn app(dir: &Path) -> Result<()> {
    use lift::outbound::{Broadcast, Outbound, To};
    let mut limits = lift::limits::Limits::default();
    (limits.running_max, limits.running_per_owner_max) = (256, 256);
    let shout = async |owner: lift::id::Owner, out: Outbound| {
        let news = To::Tenant(owner.tenant);
        Ok::<Broadcast, lift::error::Error>(out.broadcast(news, r#"{"type":"news"}"#).await?)
    };
    let app = lift::app::App::new()
        .limits(limits)
        .on("shout", shout)
        .task("no-op", async |payload: lift::json::Json| {
            Ok::<_, lift::error::Error>(payload)
        });
    let any = "127.0.0.1:0".parse()?;
    let server =
        lift_server::server::Server::start(app, any, lift_server::server::Options::new(dir))
            .await?;
    println!("listens on {}", server.url());
    server.run(CancellationToken::new()).await;
    Ok(())
}
