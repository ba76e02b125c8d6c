//! A certificate that changes under a running server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lift::app::App;
use lift::error::Error;
use lift::extract::Payload;
use lift_gateway::Limits;
use lift_server::server::{Options, Server, Tls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// A certificate for this machine, in the files that the server reads.
fn write(files: &Tls) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// A handshake that trusts this certificate alone.
async fn handshake(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake_on(TcpStream::connect(address).await?, trusted).await
}

async fn handshake_on(
    stream: TcpStream,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn served_some_time(address: SocketAddr, trusted: &CertificateDer<'static>) {
    let served = async {
        while handshake(address, trusted).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, served)
        .await
        .expect("the certificate is served");
}

#[tokio::test]
async fn a_changed_certificate_is_served_to_whoever_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| Path::join(dir.path(), name);
    let files = Tls {
        cert: path("cert.pem"),
        key: path("key.pem"),
    };
    let first = write(&files);
    let mut options = Options::new(path("data"));
    options.tls = Some(files.clone());
    options.tls_look_every = Duration::from_millis(10);
    let app = App::new().on("echo", async |payload: lift::json::Json| {
        Ok::<_, Error>(payload)
    });
    let server = Server::start(app, "127.0.0.1:0".parse().unwrap(), options)
        .await
        .unwrap();
    let (address, certificate) = (server.address(), server.certificate().unwrap());
    let (shutdown, mut running) = (CancellationToken::new(), JoinSet::new());
    running.spawn(server.run(shutdown.clone()));

    let stream = handshake(address, &first).await.unwrap();
    let (mut old, _) = tokio_tungstenite::client_async(format!("wss://{address}/"), stream)
        .await
        .unwrap();
    let second = write(&files);
    served_some_time(address, &second).await;
    assert!(
        handshake(address, &first).await.is_err(),
        "the first is gone"
    );
    old.send(Message::text(r#"{"action":"ping"}"#))
        .await
        .unwrap();
    let pong = timeout(DEADLINE, old.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        pong.to_text().unwrap().contains("pong"),
        "the connection of before lives"
    );

    // A key that is not the certificate's, and then no certificate at all.
    let third = write(&files);
    served_some_time(address, &third).await;
    for broken in [&files.key, &files.cert] {
        std::fs::write(broken, "nothing of the kind").unwrap();
        certificate.reload();
        handshake(address, &third)
            .await
            .expect("the last good one stays");
    }
    let fourth = write(&files);
    served_some_time(address, &fourth).await;
    shutdown.cancel();
    timeout(DEADLINE, running.join_all())
        .await
        .expect("the server stops");
}

/// An end without `close_notify` looks to the client as one that somebody else made.
#[tokio::test]
async fn a_close_by_the_gateway_ends_tls_too() {
    let limits = |limits: &mut Limits| limits.closing = Duration::from_millis(200);
    let served = Served::start(limits).await;
    let binary = [0x82, 0x80, 0, 0, 0, 0];
    let close = [0x88, 0x80, 0, 0, 0, 0];
    for answer in [&close[..], &[]] {
        let stream = TcpStream::connect(served.address).await.unwrap();
        let mut stream = served.open(stream).await.into_inner();
        stream.write_all(&binary).await.unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[2..], 1003_u16.to_be_bytes());
        stream.write_all(answer).await.unwrap();
        let ended = timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
        ended.unwrap().expect("the server says that it ends");
    }
    served.stop().await;
}

/// As over TCP (`crates/lift-gateway/tests/it/room.rs`): what TLS holds must leave in small parts, too.
#[tokio::test]
async fn a_client_that_reads_slowly_and_steadily_stays() {
    const ANSWERS: usize = 3;
    let limits = |limits: &mut Limits| limits.stalled = Duration::from_secs(2);
    let served = Served::start(limits).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = served
        .open(socket.connect(served.address).await.unwrap())
        .await;
    for _ in 0..ANSWERS {
        let ask = r#"{"action":"large","payload":102400}"#;
        socket.send(Message::text(ask)).await.unwrap();
    }
    let mut stream = socket.into_inner();
    let (mut read, mut some) = (Vec::new(), [0; 2048]);
    let (began, mut rhythm) = (Instant::now(), interval(Duration::from_millis(100)));
    while began.elapsed() < Duration::from_secs(6) {
        rhythm.tick().await;
        let count = stream.read(&mut some).await.unwrap();
        read.extend_from_slice(&some[..count]);
    }
    while read.len() < ANSWERS * 102_400 {
        let count = timeout(DEADLINE, stream.read(&mut some)).await.unwrap();
        let count = count.expect("the server closes nothing");
        assert!(count > 0, "closed after {} bytes", read.len());
        read.extend_from_slice(&some[..count]);
    }
    drop(stream);
    served.stop().await;
}

/// An app with large answers, behind TLS.
struct Served {
    _dir: tempfile::TempDir,
    trusted: CertificateDer<'static>,
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinSet<()>,
}

impl Served {
    async fn start(limits: impl FnOnce(&mut Limits)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| Path::join(dir.path(), name);
        let files = Tls {
            cert: path("cert.pem"),
            key: path("key.pem"),
        };
        let trusted = write(&files);
        let mut options = Options::new(path("data"));
        options.tls = Some(files);
        limits(&mut options.rules.limits);
        let app = App::new().on("large", async |Payload(bytes): Payload<usize>| {
            Ok::<_, Error>("x".repeat(bytes))
        });
        let server = Server::start(app, "127.0.0.1:0".parse().unwrap(), options)
            .await
            .unwrap();
        let address = server.address();
        let (shutdown, mut running) = (CancellationToken::new(), JoinSet::new());
        let stop = shutdown.clone();
        running.spawn(async move { server.run(stop).await });
        Self {
            _dir: dir,
            trusted,
            address,
            shutdown,
            running,
        }
    }

    async fn open(&self, stream: TcpStream) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = handshake_on(stream, &self.trusted).await.unwrap();
        let url = format!("wss://{}/", self.address);
        let opened = tokio_tungstenite::client_async(url, stream).await;
        opened.unwrap().0
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.running.join_all())
            .await
            .expect("the server stops");
    }
}
