//! Servers that refuse, lie or are not there come in; typed errors go out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::HeaderName;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use streamer_client::{
    Client, Error,
    options::{Options, Terms, Token},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_tungstenite::tungstenite::Message;

use crate::server::play;

/// Tokens `t1`, `t2`, … and how many were asked for.
fn tokens() -> (Token, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let token = Token::from_fn(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(format!("t{number}")) }
    });
    (token, asked)
}

#[test]
fn a_refused_token_is_final() {
    for (status, code) in [
        ("401 Unauthorized", 401),
        ("403 Forbidden", 403),
        ("404 Not Found", 404),
    ] {
        play(
            |server| async move {
                let request = server.refuse(status).await.to_ascii_lowercase();
                assert!(
                    request.starts_with("get / http/1.1\r\nhost: 127.0.0.1:"),
                    "{request}"
                );
                assert!(
                    request.contains("authorization: bearer t1\r\n"),
                    "{request}"
                );
            },
            |options| async move {
                let refused = Client::connect(options).await.map(drop);
                assert!(
                    matches!(refused, Err(Error::Refused { status }) if status == code),
                    "{refused:?}"
                );
            },
        );
    }
}

#[test]
fn a_refused_token_is_replaced_once_if_there_is_another() {
    play(
        |server| async move {
            server.refuse("401 Unauthorized").await;
            let mut connection = server.accept().await;
            assert_eq!(connection.authorization, "Bearer t2");
            connection.hear_close().await;
        },
        |options| async move {
            Client::connect(options.token(tokens().0))
                .await
                .unwrap()
                .close()
                .await;
        },
    );
    play(
        |server| async move {
            server.refuse("401 Unauthorized").await;
            server.refuse("401 Unauthorized").await;
        },
        |options| async move {
            let (token, asked) = tokens();
            let refused = Client::connect(options.token(token)).await.map(drop);
            assert!(
                matches!(refused, Err(Error::Refused { status: 401 })),
                "{refused:?}"
            );
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        },
    );
}

#[test]
fn what_may_pass_is_tried_again() {
    play(
        |server| async move {
            server.refuse("503 Service Unavailable").await;
            server.refuse("429 Too Many Requests").await;
            server
                .tcp()
                .await
                .write_all(b"SSH-2.0-hello\r\n\r\n")
                .await
                .unwrap();
            drop(server.tcp().await);
            server.accept().await.hear_close().await;
        },
        |options| async move {
            Client::connect(options).await.unwrap().close().await;
        },
    );
}

#[test]
fn an_upgrade_that_breaks_the_standard_is_no_connection() {
    let accepts =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let cases = [
        (
            format!("{accepts}Sec-WebSocket-Accept: bm90IHRoZSBrZXk=\r\n\r\n"),
            "did not accept the WebSocket key",
        ),
        (format!("{accepts}\r\n"), "did not accept the WebSocket key"),
        (
            format!("HTTP/1.1 101 x\r\nA: {}\r\n\r\n", "a".repeat(20_000)),
            "did not accept the WebSocket key",
        ),
        (
            format!("HTTP/1.1 101 x\r\nA: {}", "a".repeat(20_000)),
            "over 16384 bytes",
        ),
    ];
    for (answer, why) in cases {
        play(
            |server| async move {
                let mut tcp = server.tcp().await;
                tcp.write_all(answer.as_bytes()).await.unwrap();
                // Held open until the client has given up.
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut Vec::new()).await;
            },
            |options| async move {
                match Client::connect(options.patience(Duration::ZERO)).await {
                    Err(Error::Unreachable(source)) => {
                        assert!(source.to_string().contains(why), "{source}")
                    }
                    other => panic!("{other:?}"),
                }
            },
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable_after_one_attempt() {
    play(
        |server| async move { drop(server) },
        |options| async move {
            tokio::task::yield_now().await;
            let error = Client::connect(options.patience(Duration::ZERO))
                .await
                .map(drop);
            assert!(matches!(error, Err(Error::Unreachable(_))), "{error:?}");
        },
    );
}

#[test]
fn a_server_that_chooses_no_subprotocol_will_do() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            assert_eq!(connection.offered, "other.v1, bearer.x");
            connection.hear_close().await;
        },
        |options| async move {
            let options = options.subprotocols(vec!["other.v1".into(), "bearer.x".into()]);
            Client::connect(options).await.unwrap().close().await;
        },
    );
}

fn with(name: &str, value: &str) -> Options {
    let mut options = Options::new("ws://localhost/");
    let name: HeaderName = name.parse().unwrap();
    options.headers.insert(name, value.parse().unwrap());
    options
}

#[test]
fn headers_go_with_every_handshake() {
    play(
        |server| async move {
            for _ in 0..2 {
                let request = server.refuse("503 Service Unavailable").await;
                assert!(request.contains("\r\ncookie: a=\u{e9}\r\n"), "{request}");
            }
            server.accept().await.hear_close().await;
        },
        |mut options| async move {
            options.headers = with("Cookie", "a=\u{e9}").headers;
            Client::connect(options).await.unwrap().close().await;
        },
    );
}

#[test]
fn options_that_cannot_work_are_refused_before_anything_is_sent() {
    let cases = [
        (Options::new("http://localhost/"), "does not start with"),
        (Options::new("localhost:80"), "does not start with"),
        (Options::new("ws:///path"), "URL"),
        (Options::new("ws://a b/"), "cannot be read"),
        (
            Options::new("ws://localhost/").subprotocols(vec!["a b".into()]),
            "not a token",
        ),
        (with("Host", "a"), "`host` is set by the handshake itself"),
        (with("sec-websocket-key", "a"), "-key` is set"),
        (with("content-length", "1"), "`content-length` is set"),
        (
            with("authorization", "a").token(Token::fixed("t")),
            "from the token",
        ),
        (
            Options::new("wss://localhost/")
                .roots_pem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
            "certificate",
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (options, why) in cases {
        assert!(matches!(options.check(), Err(Error::Options(_))), "{why}");
        match runtime.block_on(Client::connect(options)) {
            Err(Error::Options(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_token_that_no_header_may_have_is_never_shown() {
    play(
        |_server| async move {},
        |options| async move {
            let options = options
                .token(Token::fixed("secret\r\nX-Evil: 1"))
                .patience(Duration::ZERO);
            assert!(!format!("{options:?}").contains("secret"));
            match Client::connect(options).await {
                Err(Error::Unreachable(source)) => {
                    assert!(!source.to_string().contains("secret"), "{source}")
                }
                other => panic!("{other:?}"),
            }
        },
    );
}

/// A server for one connection over TLS with the certificate of `localhost`, which echoes.
async fn echo_over_tls(listener: TcpListener) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let tcp = listener.accept().await.unwrap().0;
    let Ok(tls) = tokio_rustls::TlsAcceptor::from(Arc::new(config))
        .accept(tcp)
        .await
    else {
        return;
    };
    let mut socket = tokio_tungstenite::accept_async(tls).await.unwrap();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let ask: Value = serde_json::from_str(&text).unwrap();
        let answer = json!({"type": "response", "id": ask["id"], "data": ask["payload"]});
        socket
            .send(Message::text(answer.to_string()))
            .await
            .unwrap();
    }
}

#[test]
fn a_secure_url_is_verified() {
    let trusted = include_str!("tls/cert.pem");
    for (roots, reached) in [(trusted, true), ("", false)] {
        play(
            |server| echo_over_tls(server.listener),
            |options| async move {
                let url = options.url.replace("ws://127.0.0.1", "wss://localhost");
                let options = Options::new(url).roots_pem(roots).patience(Duration::ZERO);
                match Client::connect(options).await {
                    Ok(client) => {
                        assert!(reached, "an unknown certificate was taken");
                        assert_eq!(
                            client
                                .call("echo", &7, Terms::default())
                                .await
                                .unwrap()
                                .get(),
                            "7"
                        );
                        client.close().await;
                    }
                    Err(error) => assert!(
                        !reached && matches!(error, Error::Unreachable(_)),
                        "{error:?}"
                    ),
                }
            },
        );
    }
}
