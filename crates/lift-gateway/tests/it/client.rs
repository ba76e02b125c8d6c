//! In: what a test's client says, rules kept or broken. Out: bytes on a TCP socket, and frames read from it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::script::{Http, Received, Request, Sent};

/// Where bytes come and go: TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A WebSocket client that does as it is told.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// The first byte of a message's first frame, and what came of it so far.
    fragments: Vec<u8>,
}

impl Client {
    /// Asks for an upgrade; `response` waits for the answer.
    pub(crate) async fn connect(
        mut stream: Box<dyn Stream>,
        host: &str,
        target: &str,
        headers: &[(String, String)],
    ) -> io::Result<Self> {
        let mut head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.flush().await?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            fragments: Vec::new(),
        })
    }

    /// Sends a request that asks for no connection, or not rightly.
    pub(crate) async fn request(
        mut stream: Box<dyn Stream>,
        host: &str,
        request: Request<'_>,
    ) -> io::Result<Self> {
        let Request {
            method,
            target,
            headers,
            body,
        } = request;
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let named = |name: &str| headers.iter().any(|(known, _)| known == name);
        let usual = [
            ("Host", host.to_owned()),
            ("Connection", "close".to_owned()),
        ];
        let length = (!body.is_empty()).then(|| ("Content-Length", body.len().to_string()));
        for (name, value) in usual.into_iter().chain(length) {
            if !named(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| value != "(absent)") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.flush().await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            fragments: Vec::new(),
        })
    }

    /// The response to the request, its body included.
    pub(crate) async fn response(&mut self) -> io::Result<Http> {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect::<Vec<_>>();
                break String::from_utf8_lossy(&head).into_owned();
            }
            self.fill().await?;
        };
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut response = Http {
            status: status.ok_or_else(|| io::Error::other(head.clone()))?,
            headers: lines.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            body: String::new(),
        };
        if response.status == 101 {
            // RFC 6455 §1.3 has this answer to the key above.
            let accept = response.header("Sec-WebSocket-Accept");
            return match accept {
                Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") => Ok(response),
                other => Err(io::Error::other(format!("accepts the key as {other:?}"))),
            };
        }
        let length = response.header("Content-Length");
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.buffer.len() < length {
            self.fill().await?;
        }
        let body = self.buffer.drain(..length).collect::<Vec<_>>();
        response.body = String::from_utf8_lossy(&body).into_owned();
        Ok(response)
    }

    pub(crate) async fn send(&mut self, sent: Sent) -> io::Result<()> {
        match sent {
            Sent::Text(frames) => {
                let last = frames.len() - 1;
                for (index, payload) in frames.iter().enumerate() {
                    let opcode = if index == 0 { 1 } else { 0 };
                    let fin = if index == last { 0x80 } else { 0 };
                    self.frame(fin | opcode, payload).await?;
                }
                Ok(())
            }
            Sent::Binary(payload) => self.frame(0x82, &payload).await,
            Sent::Broken(bytes) => {
                self.stream.write_all(&bytes).await?;
                self.stream.flush().await
            }
            Sent::Ping => self.frame(0x89, b"").await,
            Sent::Close(None) => self.frame(0x88, b"").await,
            Sent::Close(Some((code, reason))) => {
                self.frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
                    .await
            }
            Sent::Drop => self.stream.shutdown().await,
        }
    }

    /// The next message or control frame; a close frame is answered, as RFC 6455 §5.5.1 asks.
    pub(crate) async fn received(&mut self) -> io::Result<Received> {
        loop {
            if let Some((first, payload)) = self.parse() {
                if let Some(received) = self.take(first, payload).await? {
                    return Ok(received);
                }
                continue;
            }
            match self.fill().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Received::End);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What a frame means, with the fragments before it; nothing if more are to come.
    async fn take(&mut self, first: u8, payload: Vec<u8>) -> io::Result<Option<Received>> {
        let text = |payload| String::from_utf8(payload).map_err(io::Error::other);
        Ok(Some(match first {
            0x81 => Received::Text(text(payload)?),
            0x82 => Received::Binary(payload),
            0x01 | 0x02 => {
                self.fragments = vec![first];
                self.fragments.extend(payload);
                return Ok(None);
            }
            0x00 => {
                self.fragments.extend(payload);
                return Ok(None);
            }
            0x80 => {
                self.fragments.extend(payload);
                let mut whole = std::mem::take(&mut self.fragments);
                match whole.first() {
                    Some(0x01) => Received::Text(text(whole.split_off(1))?),
                    Some(0x02) => Received::Binary(whole.split_off(1)),
                    _ => return Err(io::Error::other("a continuation of nothing")),
                }
            }
            0x8a => Received::Pong,
            0x88 => {
                // The gateway may have closed its half already.
                _ = self.frame(0x88, &payload).await;
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or(b""));
                Received::Close(code.map(|code| (code, reason.into_owned())))
            }
            other => return Err(io::Error::other(format!("frame {other:#x}"))),
        }))
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// One unmasked frame from the front of the buffer, if it is whole.
    fn parse(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(
            second & 0x80,
            0,
            "a server's frames are not masked (RFC 6455 §5.1)"
        );
        let (length, header) = match second {
            126 => (
                u16::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?) as usize,
                4,
            ),
            127 => (
                u64::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?) as usize,
                10,
            ),
            length => (length as usize, 2),
        };
        let payload = self.buffer.get(header..header + length)?.to_vec();
        self.buffer.drain(..header + length);
        Some((first, payload))
    }

    /// Reads at most so many bytes, and makes nothing of them.
    pub(crate) async fn skip(&mut self, bytes_max: u64) -> io::Result<()> {
        let mut some = (&mut self.stream).take(bytes_max);
        some.read_buf(&mut self.buffer).await?;
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
