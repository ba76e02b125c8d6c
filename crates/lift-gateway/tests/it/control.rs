//! In: control frames and the end of input where messages wait. Out: whether they are seen and answered.

use lift_gateway::{Answer, Function, Integration, Invocation, InvokeError, Rules};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::script::{Received, Sent};
use crate::serving::{DEADLINE, Served, echo, serve};

async fn received(client: &mut Client) -> Received {
    let received = timeout(DEADLINE, client.received()).await;
    received.expect("something is heard").unwrap()
}

/// One segment: a ping with `x`, and a binary message of no bytes.
const PING_AND_BINARY: [u8; 13] = [0x89, 0x81, 1, 2, 3, 4, b'x' ^ 1, 0x82, 0x80, 1, 2, 3, 4];

#[tokio::test]
async fn a_ping_is_answered_before_the_gateway_closes() {
    let served = serve(Rules::default(), echo()).await;
    let mut client = served.open().await;
    let sent = Sent::Broken(PING_AND_BINARY.to_vec());
    client.send(sent).await.unwrap();
    assert_eq!(received(&mut client).await, Received::Pong);
    let Received::Close(Some((1003, _))) = received(&mut client).await else {
        panic!("no close for a binary message")
    };
    drop(client);
    served.stop().await;
}

/// One segment: a binary message of no bytes, and a close frame with 4000.
const BINARY_AND_CLOSE: [u8; 14] = [0x82, 0x80, 1, 2, 3, 4, 0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0];

#[tokio::test]
async fn a_close_frame_right_behind_what_breaks_a_rule_does_not_hide_the_rule() {
    let served = serve(Rules::default(), echo()).await;
    let mut client = served.open().await;
    let sent = Sent::Broken(BINARY_AND_CLOSE.to_vec());
    client.send(sent).await.unwrap();
    let closed = received(&mut client).await;
    assert!(
        matches!(closed, Received::Close(Some((1003, _)))),
        "{closed:?}"
    );
    drop(client);
    served.stop().await;
}

/// A gateway whose handler answers no message until it is released, and what it is asked.
async fn slow(
    in_flight_max: usize,
    release: &CancellationToken,
) -> (Served, mpsc::Receiver<Function>) {
    let (invoked, invocations) = mpsc::channel(8);
    let release = release.clone();
    let integration = Integration::new(tower::service_fn(move |invocation: Invocation| {
        let (invoked, released) = (invoked.clone(), release.clone());
        async move {
            invoked.send(invocation.function.clone()).await.unwrap();
            if let Function::Message { .. } = invocation.function {
                released.cancelled().await;
            }
            Ok::<_, InvokeError>(Answer::from(r#"{"statusCode":200}"#))
        }
    }));
    let mut rules = Rules::default().two_way("$default").one_way("$disconnect");
    rules.limits.in_flight_max = in_flight_max;
    (serve(rules, integration).await, invocations)
}

/// Opens a connection whose messages in flight let no further message be read, has its client do
/// this, and waits for `$disconnect`.
async fn check(
    (bytes, in_flight_max): (usize, usize),
    ends: &[(Sent, Option<Received>)],
    is_draining: Drain,
) {
    let release = CancellationToken::new();
    let (served, mut invocations) = slow(in_flight_max, &release).await;
    let mut client = served.open().await;
    let half = vec![b'x'; bytes / 2];
    client
        .send(Sent::Text(vec![half.clone(), half]))
        .await
        .unwrap();
    let invoked = timeout(DEADLINE, invocations.recv()).await.unwrap();
    assert!(matches!(invoked, Some(Function::Message { .. })));
    if let Drain::Begun = is_draining {
        served.shutdown.cancel();
    }
    for (sent, expected) in ends {
        client.send(sent.clone()).await.unwrap();
        if let Some(expected) = expected {
            assert_eq!(received(&mut client).await, *expected);
        }
    }
    let invoked = timeout(DEADLINE / 2, invocations.recv()).await;
    assert_eq!(
        invoked.expect("the end is seen"),
        Some(Function::Disconnect)
    );
    release.cancel();
    served.stop().await;
}

#[derive(Clone, Copy)]
enum Drain {
    Begun,
    No,
}

#[tokio::test]
async fn pings_and_ends_are_seen_while_no_message_is_read() {
    let bye = Some((4001, "bye".to_owned()));
    let ping = (Sent::Ping, Some(Received::Pong));
    let ends = [
        vec![(Sent::Drop, None)],
        vec![(Sent::Close(bye.clone()), Some(Received::Close(bye)))],
        vec![ping.clone(), ping, (Sent::Drop, None)],
    ];
    for ends in ends {
        check((64_512, 128), &ends, Drain::No).await;
        check((2, 1), &ends, Drain::No).await;
        check((2, 128), &ends, Drain::Begun).await;
    }
}
