//! A certificate that changes under a running server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lift::app::App;
use lift::error::Error;
use lift_server::server::{Options, Server, Tls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
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
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let stream = TcpStream::connect(address).await?;
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
