//! One client's socket: an address comes in, frames go out and come back.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Result;

pub(crate) type Socket = BufReader<TcpStream>;

pub(crate) async fn tcp(address: &str) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// A WebSocket by hand (RFC 6455): the client's own cost stays near that of plain TCP.
pub(crate) async fn open(address: &str, token: Option<&str>) -> Result<Socket> {
    let mut socket = tcp(address).await?;
    let bearer = token
        .map(|token| format!("authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{bearer}\r\n"
    );
    socket.get_mut().write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101") {
        true => Ok(socket),
        false => Err(String::from_utf8_lossy(&answer).into_owned().into()),
    }
}

/// A masked text frame; the mask is zero.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    [
        &[0x81, 0x80 | 126],
        length.as_slice(),
        &[0; 4],
        text.as_bytes(),
    ]
    .concat()
}

pub(crate) async fn read_frame(socket: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let _kind = socket.read_u8().await?;
    let length = match socket.read_u8().await? {
        126 => usize::from(socket.read_u16().await?),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await?;
    Ok(payload)
}
