//! TLS on the same port: certificate and key come in, `wss` goes out.

use rustix::process::Signal;
use serde_json::value::RawValue;
use streamer_client::Client;
use streamer_client::options::{Options, Terms, Token};

use crate::support::home::Home;
use crate::support::within;

#[tokio::test]
async fn a_certificate_and_its_key_make_it_wss() {
    let home = Home::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let args = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let server = home.start(&args).await;
    assert!(server.url.starts_with("wss://"), "{}", server.url);
    let options = Options::new(server.url.clone())
        .token(Token::fixed(home.token("ada", "acme")))
        .roots_pem(made.cert.pem());
    let client = within("a connection over TLS", Client::connect(options))
        .await
        .unwrap();
    let payload = RawValue::from_string("[1,2.50]".to_owned()).unwrap();
    let answer = within("an echo", client.call("echo", &payload, Terms::default())).await;
    assert_eq!(answer.unwrap().get(), "[1,2.50]");
    client.close().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named() {
    let home = Home::new();
    let cert = home.path().join("cert.pem");
    std::fs::write(&cert, "no certificate").unwrap();
    let cert = cert.to_str().unwrap();
    let output = home.output(&["--tls-cert", cert, "--tls-key", cert]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(cert), "{said}");
}

#[tokio::test]
async fn a_hang_up_has_the_certificate_read_again() {
    let home = Home::new();
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let write = || {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    };
    let first = write();
    let files = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let server = home
        .start(&["--tls-cert", files[0], "--tls-key", files[1]])
        .await;
    let connect = async |roots: &str| {
        let options = Options::new(server.url.clone())
            .token(Token::fixed(home.token("ada", "acme")))
            .roots_pem(roots);
        Client::connect(options).await
    };
    let old = within("a connection", connect(&first)).await.unwrap();
    std::fs::write(&cert, "no certificate").unwrap();
    server.signal(Signal::HUP);
    let logged = || home.logged().matches("the old one stays").count();
    let said = async {
        while logged() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("a broken certificate is named", said).await;
    drop(within("another connection", connect(&first)).await.unwrap());
    let second = write();
    server.signal(Signal::HUP);
    let served = async {
        while connect(&second).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within("the second certificate is served", served).await;
    let payload = RawValue::from_string("1".to_owned()).unwrap();
    let answer = within("an echo", old.call("echo", &payload, Terms::default())).await;
    assert_eq!(answer.unwrap().get(), "1", "the connection of before lives");
    assert_eq!(logged(), 1, "{}", home.logged());
}
