//! Options and a token come in, an open WebSocket or the reason why there is none goes out.
//!
//! The upgrade (RFC 6455 §4.1) is written here, because a server that chooses none of the subprotocols offered is
//! still one to talk to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Uri, header};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use streamer_protocol::limits::FRAME_BYTES_MAX;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    error::{Error, Source},
    options::{Observer, Options, Seen, Token},
};

/// Name lookup, TCP, TLS and upgrade together; a token must come as fast.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Largest head of the server's answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of the server's answer.
const HEADERS_MAX: usize = 64;
/// Largest server message that is read; Streamer's are at most 128 KiB.
const INCOMING_BYTES_MAX: usize = 1024 * 1024;

pub(crate) type Socket = WebSocketStream<Box<dyn Io>>;

/// A handshake that was accepted.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) subprotocol: Option<String>,
}

/// Has the port chosen when it is known whom the connection is to: to find one that nobody has at all takes long where
/// thousands are taken (`IP_BIND_ADDRESS_NO_PORT`, ip(7)). A system that cannot do it chooses as always.
#[cfg(target_os = "linux")]
fn port_when_connected(socket: &TcpSocket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    let set = setsockopt(socket, IpBindAddressNoPort, &true);
    if let Err(error) = set {
        tracing::debug!(%error, "a port is chosen before its connection");
    }
}

#[cfg(not(target_os = "linux"))]
fn port_when_connected(_: &TcpSocket) {}

/// A byte stream, plain or encrypted.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The same would happen again.
    Refused(u16),
    /// The server's own trouble, or too many at a time: it may pass.
    Unavailable(u16),
    /// It may pass.
    Unreachable(Source),
}

impl<E: Into<Source>> From<E> for Failed {
    fn from(source: E) -> Self {
        Self::Unreachable(source.into())
    }
}

/// The length of an answer's head, and the subprotocol that it chose.
type Head = (usize, Option<String>);

/// Where and how to connect, checked.
pub(crate) struct Target {
    host: String,
    port: u16,
    authority: String,
    path: String,
    subprotocols: Vec<String>,
    /// Lines of the request that the options ask for.
    headers: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token: Option<Token>,
    from: Option<IpAddr>,
    observer: Option<Observer>,
}

impl Target {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let bad = |why: &str| Error::Options(format!("the URL `{}` {why}", options.url));
        let uri: Uri = options
            .url
            .parse()
            .map_err(|e| bad(&format!("cannot be read: {e}")))?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(bad("does not start with `ws://` or `wss://`")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| bad("has no host"))?;
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let authority = uri
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        for name in &options.subprotocols {
            let token = |b: u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(Error::Options(format!(
                    "the subprotocol `{name}` is not a token of HTTP"
                )));
            }
        }
        let tls = if secure {
            let name = ServerName::try_from(bare.clone())
                .map_err(|e| bad(&format!("has no name for TLS: {e}")))?;
            Some((connector(options.roots_pem.as_deref())?, name))
        } else {
            None
        };
        Ok(Self {
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            host: bare,
            authority,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            subprotocols: options.subprotocols.clone(),
            headers: lines(options)?,
            tls,
            token: options.token.clone(),
            from: options.from,
            observer: options.observer.clone(),
        })
    }

    /// Connects with a fresh token; if it is refused, with another, once.
    pub(crate) async fn dial(self: Arc<Self>) -> Result<Accepted, Failed> {
        let token = self.fetch_token().await?;
        let refused = match self.open(token.as_deref()).await {
            Err(Failed::Refused(status @ (401 | 403))) => status,
            other => return other,
        };
        match self.fetch_token().await? {
            Some(fresh) if token.as_ref() != Some(&fresh) => self.open(Some(&fresh)).await,
            _ => Err(Failed::Refused(refused)),
        }
    }

    async fn fetch_token(&self) -> Result<Option<String>, Failed> {
        match &self.token {
            Some(source) => Ok(Some(timeout(CONNECT_WITHIN, source.fetch()).await??)),
            None => Ok(None),
        }
    }

    async fn open(&self, token: Option<&str>) -> Result<Accepted, Failed> {
        let opened = self.try_open(token).await;
        self.see(match &opened {
            Ok(_) => Seen::Opened,
            Err(Failed::Refused(status) | Failed::Unavailable(status)) => Seen::Answered(*status),
            Err(Failed::Unreachable(_)) => Seen::Unanswered,
        });
        opened
    }

    pub(crate) fn see(&self, seen: Seen<'_>) {
        if let Some(observer) = &self.observer {
            observer.see(seen);
        }
    }

    async fn try_open(&self, token: Option<&str>) -> Result<Accepted, Failed> {
        timeout(CONNECT_WITHIN, async {
            let tcp = self.tcp().await?;
            tcp.set_nodelay(true)?;
            let io: Box<dyn Io> = match &self.tls {
                Some((tls, name)) => Box::new(tls.connect(name.clone(), tcp).await?),
                None => Box::new(tcp),
            };
            self.upgrade(io, token).await
        })
        .await?
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let Some(from) = self.from else {
            return TcpStream::connect((self.host.as_str(), self.port)).await;
        };
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for to in lookup_host((self.host.as_str(), self.port)).await? {
            if to.is_ipv4() != from.is_ipv4() {
                continue;
            }
            let socket = if to.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            port_when_connected(&socket);
            socket.bind(SocketAddr::new(from, 0))?;
            match socket.connect(to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn upgrade(&self, mut io: Box<dyn Io>, token: Option<&str>) -> Result<Accepted, Failed> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let key = BASE64_STANDARD.encode(nonce);
        io.write_all(self.request(&key, token)?.as_bytes()).await?;
        io.flush().await?;
        let mut read = BytesMut::with_capacity(1024);
        loop {
            if io.read_buf(&mut read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some((head_bytes, subprotocol)) = self.check_answer(&read, &key)? {
                let config = WebSocketConfig::default()
                    .read_buffer_size(8 * 1024)
                    .write_buffer_size(0)
                    .max_write_buffer_size(4 * FRAME_BYTES_MAX)
                    .max_message_size(Some(INCOMING_BYTES_MAX))
                    .max_frame_size(Some(INCOMING_BYTES_MAX));
                let rest = read.split_off(head_bytes).to_vec();
                let socket =
                    WebSocketStream::from_partially_read(io, rest, Role::Client, Some(config));
                return Ok(Accepted {
                    socket: socket.await,
                    subprotocol,
                });
            }
            if read.len() > HEAD_BYTES_MAX {
                return Err(format!("the answer's head is over {HEAD_BYTES_MAX} bytes").into());
            }
        }
    }

    fn request(&self, key: &str, token: Option<&str>) -> Result<String, Failed> {
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            self.path, self.authority
        );
        if let Some(token) = token {
            let bearer = format!("Bearer {token}");
            HeaderValue::from_str(&bearer)
                .map_err(|_secret| "the token has characters that no header may have")?;
            text.push_str(&format!("Authorization: {bearer}\r\n"));
        }
        if !self.subprotocols.is_empty() {
            text.push_str(&format!(
                "Sec-WebSocket-Protocol: {}\r\n",
                self.subprotocols.join(", ")
            ));
        }
        text.push_str(&self.headers);
        text.push_str("\r\n");
        Ok(text)
    }

    /// The length of the head, and the subprotocol chosen, if it is there and accepts the upgrade.
    fn check_answer(&self, read: &[u8], key: &str) -> Result<Option<Head>, Failed> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = answer.parse(read)? else {
            return Ok(None);
        };
        match answer.code.unwrap_or_default() {
            101 => {}
            status @ (408 | 425 | 429 | 500..) => return Err(Failed::Unavailable(status)),
            status => return Err(Failed::Refused(status)),
        }
        let value = |name: &str| {
            let header = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            header
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .map(str::trim)
        };
        if value("Sec-WebSocket-Accept") != Some(&derive_accept_key(key.as_bytes())) {
            return Err("the server did not accept the WebSocket key".into());
        }
        if !value("Upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
            return Err("the server switched to another protocol".into());
        }
        let chosen = value("Sec-WebSocket-Protocol");
        if chosen.is_some_and(|chosen| !self.subprotocols.iter().any(|p| p == chosen)) {
            return Err("the server chose a subprotocol that was not offered".into());
        }
        if value("Sec-WebSocket-Extensions").is_some() {
            return Err("the server chose an extension that was not offered".into());
        }
        Ok(Some((head_bytes, chosen.map(str::to_owned))))
    }
}

/// The options' headers, as they are sent.
fn lines(options: &Options) -> Result<String, Error> {
    let mut lines = String::new();
    for (name, value) in &options.headers {
        let bad = |why| Error::Options(format!("the header `{name}` {why}"));
        if is_own(name) {
            return Err(bad("is set by the handshake itself"));
        }
        if *name == header::AUTHORIZATION && options.token.is_some() {
            return Err(bad("is set by the handshake itself, from the token"));
        }
        let value = std::str::from_utf8(value.as_bytes());
        let value = value.map_err(|_secret| bad("has a value that is not UTF-8"))?;
        lines.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(lines)
}

/// Whether the upgrade sets it (RFC 6455 §4.1), or it would give the request a body.
fn is_own(name: &HeaderName) -> bool {
    [
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ]
    .contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

fn connector(roots_pem: Option<&str>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in CertificateDer::pem_slice_iter(roots_pem.unwrap_or_default().as_bytes()) {
        let added = certificate
            .map_err(|e| e.to_string())
            .and_then(|c| roots.add(c).map_err(|e| e.to_string()));
        added.map_err(|e| Error::Options(format!("a certificate to trust cannot be read: {e}")))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Options(format!("TLS cannot be used: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
