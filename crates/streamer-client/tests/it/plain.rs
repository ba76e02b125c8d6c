//! Servers that choose a subprotocol or none come in; a client, or a plain connection, goes out.

use std::time::Duration;

use streamer_client::{
    Error,
    options::Terms,
    plain::{self, Heard, Opened, Plain},
};

use crate::server::play;

/// More than a frame holds, so that it goes out in several.
const LONG: usize = 100_000;

#[test]
fn a_server_that_chooses_the_protocol_is_a_clients_over_the_same_connection() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            let ask = connection.hear_action("echo").await;
            connection.respond(&ask, 1.into()).await;
            assert_eq!(connection.hear_close().await, 1000);
        },
        |options| async move {
            let Opened::Streamer(client) = plain::open(options).await.unwrap() else {
                panic!("the server chose the protocol");
            };
            let answer = client.call("echo", "x", Terms::default()).await.unwrap();
            assert_eq!(answer.get(), "1");
            client.close().await;
        },
    );
}

#[test]
fn one_that_chooses_none_hears_and_says_texts_as_they_are() {
    play(
        |server| async move {
            let mut connection = server.accept().await;
            connection.say_text(r#"{"type":"pong"}"#).await;
            let heard = connection.hear().await;
            connection.say(heard).await;
            connection.close(4001).await;
        },
        |options| async move {
            let opened = plain::open(options.subprotocols(vec![])).await.unwrap();
            let Opened::Plain(mut plain) = opened else {
                panic!("nothing was offered");
            };
            assert_eq!(plain.subprotocol, None);
            let first = plain.incoming.next().await;
            assert_eq!(first, Heard::Text(r#"{"type":"pong"}"#.to_owned()));
            let long = serde_json::Value::from("x".repeat(LONG)).to_string();
            plain.outgoing.room().await;
            plain.outgoing.send(&*long).unwrap();
            assert_eq!(plain.incoming.next().await, Heard::Text(long));
            let Heard::Closed(Some(closing)) = plain.incoming.next().await else {
                panic!("the server closed");
            };
            assert_eq!(closing.code, 4001);
            assert_eq!(plain.incoming.next().await, Heard::Closed(None));
            let too_large = plain.outgoing.send("x".repeat(200_000));
            assert!(matches!(too_large, Err(Error::Invalid(_))), "{too_large:?}");
            plain.close().await;
        },
    );
}

#[test]
fn any_status_ends_the_first_attempt_and_a_broken_one_does_not() {
    play(
        |server| async move {
            server.refuse("502 Bad Gateway").await;
            drop(server.tcp().await);
            let mut connection = server.accept().await;
            assert_eq!(connection.hear_close().await, 1000);
        },
        |options| async move {
            let options = options.patience(Duration::from_secs(10));
            let refused = Plain::connect(options.clone()).await.map(drop);
            assert!(
                matches!(refused, Err(Error::Refused { status: 502 })),
                "{refused:?}"
            );
            let plain = Plain::connect(options).await.unwrap();
            assert_eq!(plain.subprotocol.as_deref(), Some("streamer.v1"));
            plain.close().await;
        },
    );
}
