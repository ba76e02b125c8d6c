//! Bytes as an attacker likes them go out on a TCP socket; the end that the server gives them comes
//! back.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::within;

/// So small that not to read is soon felt; smaller ones make reading on slow.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame of this code.
    Code(u16),
    /// Without one.
    Cut,
}

impl Raw {
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        Self::connect_with(address, RECEIVE_BUFFER_BYTES).await
    }

    async fn connect_with(address: &str, receive_buffer_bytes: u32) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(receive_buffer_bytes)?;
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let read = Vec::new();
        Ok(Self { stream, read })
    }

    /// A WebSocket whose client then breaks the rules.
    pub(crate) async fn upgraded(address: &str, token: &str) -> Self {
        Self::upgraded_with(address, token, RECEIVE_BUFFER_BYTES).await
    }

    /// Such a WebSocket, for which the kernel keeps so much unread.
    pub(crate) async fn upgraded_with(
        address: &str,
        token: &str,
        receive_buffer_bytes: u32,
    ) -> Self {
        let connecting = Self::connect_with(address, receive_buffer_bytes);
        let mut raw = within("a TCP connection", connecting).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        raw.send(head.as_bytes()).await.unwrap();
        let status = within("an answer to the upgrade", raw.status()).await;
        assert_eq!(status, Some(101));
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The status of an HTTP response, and its head is read; none where the connection ends first.
    pub(crate) async fn status(&mut self) -> Option<u16> {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.more().await => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        head.split(' ').nth(1)?.parse().ok()
    }

    /// Reads to the end. A server's frames are not masked (RFC 6455 §5.1).
    pub(crate) async fn ended(&mut self) -> End {
        loop {
            match self.frame().await {
                Some((0x88, payload)) => {
                    let code = payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code));
                    return End::Code(code);
                }
                Some(_) => {}
                None => return End::Cut,
            }
        }
    }

    /// The next frame: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, short) = (*self.read.first()?, *self.read.get(1)?);
        let (length, header) = match short {
            126 => (
                usize::from(u16::from_be_bytes(*self.read.get(2..)?.first_chunk()?)),
                4,
            ),
            127 => (
                usize::try_from(u64::from_be_bytes(*self.read.get(2..)?.first_chunk()?)).unwrap(),
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = self.read.get(header..header + length)?.to_vec();
        self.read.drain(..header + length);
        Some((first, payload))
    }

    /// Whether the connection had more to give.
    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.read).await, Ok(1..))
    }
}

/// A frame of this first byte, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => bytes.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}
