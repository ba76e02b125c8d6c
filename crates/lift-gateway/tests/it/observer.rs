//! In: connections of a gateway that is watched. Out: what its observer sees of them, in order.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use lift_gateway::session::outbox::Frame;
use lift_gateway::{
    Answer, ConnectionId, Connections, Gateway, Integration, Invocation, InvokeError, Observer,
    Rules, Seen,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::script::{Received, Sent};
use crate::serving::{dial, echo, serve_gateway};

const DEADLINE: Duration = Duration::from_secs(10);

type Log = Arc<Mutex<Vec<(ConnectionId, String)>>>;

fn observer(log: &Log) -> Observer {
    let log = Arc::clone(log);
    Observer::new(move |connection, seen| {
        let line = match seen {
            Seen::Sent(Frame::Text(text)) => format!("out {}", text.as_str()),
            Seen::Sent(Frame::Binary(bytes)) => format!("out {} bytes", bytes.len()),
            other => format!("{other:?}"),
        };
        log.lock().unwrap().push((connection, line));
    })
}

/// What is seen of a connection whose client sends these, and for which `hello` is posted.
async fn check(sent: Vec<Sent>, post: Option<&'static [u8]>, expected: &[&str]) {
    let log = Log::default();
    let function = tower::service_fn(async |invocation: Invocation| {
        let text = invocation.event.text().cloned().unwrap_or_default();
        Ok::<_, InvokeError>(Answer::text(text))
    });
    let rules = Rules::default().two_way("$default");
    let gateway = Gateway::observed(rules, Integration::new(function), observer(&log));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let (serving, stop) = (gateway.clone(), shutdown.clone());
    tasks.spawn(async move { serving.serve(listener, stop).await.unwrap() });
    let talk = async {
        let mut client = dial(address).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 101);
        if let Some(post) = post {
            let id = log.lock().unwrap()[0].0;
            gateway
                .connections()
                .post(id.as_str(), post.into())
                .unwrap();
            client.received().await.unwrap();
        }
        for sent in sent {
            let is_last = matches!(sent, Sent::Close(_) | Sent::Drop | Sent::Binary(_));
            client.send(sent).await.unwrap();
            if !is_last {
                client.received().await.unwrap();
            }
        }
        while !matches!(client.received().await, Ok(Received::End) | Err(_)) {}
        shutdown.cancel();
        while tasks.join_next().await.is_some() {}
    };
    tokio::time::timeout(DEADLINE, talk).await.unwrap();
    let log = log.lock().unwrap();
    let lines: Vec<_> = log.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, expected);
    assert!(log.iter().all(|(connection, _)| *connection == log[0].0));
}

fn text(text: &str) -> Sent {
    Sent::Text(vec![text.as_bytes().to_vec()])
}

#[tokio::test]
async fn messages_and_who_ended_are_seen_in_order() {
    check(
        vec![
            text("hello"),
            Sent::Ping,
            Sent::Close(Some((4001, "enough".to_owned()))),
        ],
        None,
        &[
            "Accepted",
            r#"Received(Text("hello"))"#,
            "out hello",
            "Received(Ping)",
            r#"Closed { by: Client, code: 4001, reason: "enough" }"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn posts_and_the_gateways_close_are_seen() {
    check(
        vec![Sent::Binary(vec![1, 2])],
        Some(b"\xff\xfe\xfd"),
        &[
            "Accepted",
            "out 3 bytes",
            "Received(Binary)",
            r#"Closed { by: Gateway, code: 1003, reason: "Binary is not supported" }"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_seen_as_its_end() {
    check(
        vec![Sent::Drop],
        None,
        &[
            "Accepted",
            r#"Closed { by: Client, code: 1006, reason: "Connection closed abnormally" }"#,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_may_post_to_the_connection_that_it_sees() {
    let connections = Arc::new(OnceLock::<Connections>::new());
    let shared = Arc::clone(&connections);
    let observer = Observer::new(move |connection, seen| {
        if let Seen::Received(_) = seen {
            let connections = shared.get().unwrap();
            connections
                .post(connection.as_str(), "seen".into())
                .unwrap();
        }
    });
    let rules = Rules::default().one_way("$default");
    let served = serve_gateway(Gateway::observed(rules, echo(), observer)).await;
    connections.set(served.gateway.connections()).unwrap();
    let mut client = served.open().await;
    client.send(text("x")).await.unwrap();
    let received = tokio::time::timeout(DEADLINE, client.received()).await;
    assert_eq!(
        received.unwrap().unwrap(),
        Received::Text("seen".to_owned())
    );
    drop(client);
    served.stop().await;
}

#[tokio::test]
async fn an_observer_that_panics_ends_no_connection() {
    let observer = Observer::new(|_, _| panic!("as planned"));
    let rules = Rules::default().two_way("$default");
    let served = serve_gateway(Gateway::observed(rules, echo(), observer)).await;
    let mut client = served.open().await;
    client.send(text("x")).await.unwrap();
    let received = client.received().await.unwrap();
    assert_eq!(received, Received::Text("x".to_owned()));
    drop(client);
    served.stop().await;
}
