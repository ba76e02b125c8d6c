//! In: a gateway under load and at its end. Out: whether it keeps serving, and stops in order.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use lift_gateway::{
    Answer, ConnectionId, Connections, Function, Gateway, Integration, Invocation, InvokeError,
    Limits, Management, Receipt, Route, Rules, listener,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::script::{Received, Sent};

/// Real time that one wait may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Served {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

pub(crate) async fn serve(rules: Rules, integration: Integration) -> Served {
    serve_gateway(Gateway::new(rules, integration)).await
}

pub(crate) async fn serve_gateway(gateway: Gateway) -> Served {
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let (serving, stop) = (gateway.clone(), shutdown.clone());
    tasks.spawn(async move { serving.serve(listener, stop).await.unwrap() });
    Served {
        gateway,
        address,
        shutdown,
        tasks,
    }
}

pub(crate) async fn dial(address: SocketAddr) -> std::io::Result<Client> {
    let stream = Box::new(TcpStream::connect(address).await?);
    Client::connect(stream, "localhost", "/", &[]).await
}

impl Served {
    pub(crate) async fn open(&self) -> Client {
        let mut client = dial(self.address).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 101);
        client
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let stopped = timeout(DEADLINE, async {
            while self.tasks.join_next().await.is_some() {}
        });
        stopped.await.expect("serve returns after its drain");
        assert!(self.gateway.connections().is_empty());
        assert_eq!(self.gateway.connections().queued_bytes(), 0);
    }
}

pub(crate) fn echo() -> Integration {
    Integration::new(tower::service_fn(async |invocation: Invocation| {
        let event: serde_json::Value = serde_json::from_slice(&invocation.event.json()).unwrap();
        let answer = serde_json::json!({ "statusCode": 200, "body": event["body"] });
        Ok::<_, InvokeError>(Answer::from(answer.to_string()))
    }))
}

pub(crate) fn text(text: &str) -> Sent {
    Sent::Text(vec![text.as_bytes().to_vec()])
}

#[tokio::test]
async fn a_client_of_another_library_hears_its_echo() {
    let served = serve(Rules::default().two_way("$default"), echo()).await;
    let stream = TcpStream::connect(served.address).await.unwrap();
    let url = format!("ws://{}/", served.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for n in 0..100 {
        socket
            .feed(Message::text(format!("message {n}")))
            .await
            .unwrap();
    }
    socket.flush().await.unwrap();
    for n in 0..100 {
        let echoed = timeout(DEADLINE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(echoed, Message::text(format!("message {n}")));
    }
    assert_eq!(served.gateway.connections().len(), 1);
    socket.close(None).await.unwrap();
    while timeout(DEADLINE, socket.next()).await.unwrap().is_some() {}
    served.stop().await;
}

#[tokio::test]
async fn posts_after_the_receipt_come_after_the_answer() {
    /// Posts when it is dropped.
    struct PostOnDrop(Arc<Mutex<Option<Connections>>>, ConnectionId);
    impl Drop for PostOnDrop {
        fn drop(&mut self) {
            let connections = self.0.lock().unwrap().clone().unwrap();
            connections.post(self.1.as_str(), "posted".into()).unwrap();
        }
    }
    let connections = Arc::new(Mutex::new(None));
    let shared = Arc::clone(&connections);
    let integration = Integration::new(tower::service_fn(move |invocation: Invocation| {
        let token = PostOnDrop(Arc::clone(&shared), invocation.connection_id);
        let body = r#"{"statusCode":200,"body":"answered"}"#.into();
        let answer = Answer {
            body,
            receipt: Some(Receipt::new(token)),
        };
        async move { Ok::<_, InvokeError>(answer) }
    }));
    let served = serve(Rules::default().two_way("$default"), integration).await;
    *connections.lock().unwrap() = Some(served.gateway.connections());
    let mut client = served.open().await;
    client.send(text("x")).await.unwrap();
    for expected in ["answered", "posted"] {
        assert_eq!(
            client.received().await.unwrap(),
            Received::Text(expected.to_owned())
        );
    }
    drop(client);
    served.stop().await;
}

#[tokio::test]
async fn a_panic_in_the_integration_is_an_internal_error() {
    let integration = Integration::new(tower::service_fn(async |invocation: Invocation| {
        if let Function::Message { .. } = invocation.function {
            panic!("as planned");
        }
        Ok::<_, InvokeError>(Answer::from(r#"{"statusCode":200}"#))
    }));
    let served = serve(
        Rules::default().one_way("$connect").one_way("$default"),
        integration,
    )
    .await;
    let mut client = served.open().await;
    client.send(text("x")).await.unwrap();
    let Received::Text(frame) = client.received().await.unwrap() else {
        panic!("no error frame")
    };
    assert!(
        frame.starts_with(r#"{"message": "Internal server error", "#),
        "{frame}"
    );
    drop(client);
    served.stop().await;
}

/// The scripts say it to the millisecond on a clock that the test moves; here real time passes.
#[tokio::test]
async fn an_hour_of_use_and_two_hours_of_life_pass_in_seconds() {
    const SPEED: u32 = 900;
    let ping = Duration::from_secs(3 * 60) / SPEED;
    let (hour, idle) = (Duration::from_secs(3600), Duration::from_secs(600));
    let mut rules = Rules::default().route("ping", Route::mock("pong").two_way());
    rules.limits = Limits::api_gateway();
    rules.limits.speed = NonZeroU32::new(SPEED).unwrap();
    let served = serve(rules, echo()).await;
    let lived = async |used: Duration| {
        let mut client = served.open().await;
        let (opened, mut rhythm) = (Instant::now(), interval(ping));
        loop {
            tokio::select! {
                _ = rhythm.tick(), if opened.elapsed() < used / SPEED => {
                    client.send(text(r#"{"action":"ping"}"#)).await.unwrap();
                }
                received = client.received() => match received.unwrap() {
                    Received::Text(pong) => assert_eq!(pong, "pong"),
                    closed => break (opened.elapsed() * SPEED, closed),
                },
            }
        }
    };
    let both = async { tokio::join!(lived(hour), lived(3 * hour)) };
    let (idled, aged) = timeout(2 * DEADLINE, both).await.expect("both are closed");
    for closed in [&idled.1, &aged.1] {
        assert_eq!(
            *closed,
            Received::Close(Some((1001, "Going away".to_owned())))
        );
    }
    assert!(hour + idle / 2 < idled.0 && idled.0 < 2 * hour, "{idled:?}");
    assert!(aged.0 >= 2 * hour, "{aged:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_drain_refuses_upgrades_and_lets_messages_finish() {
    let (invoked, mut invocations) = mpsc::channel::<Function>(8);
    let release = CancellationToken::new();
    let released = release.clone();
    let integration = Integration::new(tower::service_fn(move |invocation: Invocation| {
        let (invoked, released) = (invoked.clone(), released.clone());
        async move {
            invoked.send(invocation.function.clone()).await.unwrap();
            if let Function::Message { .. } = invocation.function {
                released.cancelled().await;
            }
            Ok::<_, InvokeError>(Answer::from(r#"{"statusCode":200,"body":"finished"}"#))
        }
    }));
    let rules = Rules::default().two_way("$default").one_way("$disconnect");
    let served = serve(rules, integration).await;
    let (mut busy, mut idle) = (served.open().await, served.open().await);
    busy.send(text("x")).await.unwrap();
    assert!(matches!(
        invocations.recv().await,
        Some(Function::Message { .. })
    ));

    served.shutdown.cancel();
    let restart = Received::Close(Some((1012, "Service restart".to_owned())));
    assert_eq!(idle.received().await.unwrap(), restart);
    assert_eq!(invocations.recv().await, Some(Function::Disconnect));
    let mut late = dial(served.address).await.unwrap();
    assert_eq!(late.response().await.unwrap().status, 503);

    release.cancel();
    assert_eq!(
        busy.received().await.unwrap(),
        Received::Text("finished".to_owned())
    );
    assert_eq!(busy.received().await.unwrap(), restart);
    assert_eq!(invocations.recv().await, Some(Function::Disconnect));
    drop((busy, idle, late));
    served.stop().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off_in_real_time() {
    let (disconnected, mut codes) = mpsc::channel(8);
    let integration = Integration::new(tower::service_fn(move |invocation: Invocation| {
        let disconnected = disconnected.clone();
        async move {
            let event: serde_json::Value =
                serde_json::from_slice(&invocation.event.json()).unwrap();
            if invocation.function == Function::Disconnect {
                let code = event["requestContext"]["disconnectStatusCode"].clone();
                disconnected.send(code).await.unwrap();
            }
            let answer = serde_json::json!({ "statusCode": 200, "body": event["body"] });
            Ok::<_, InvokeError>(Answer::from(answer.to_string()))
        }
    }));
    let mut rules = Rules::default().one_way("$disconnect").two_way("$default");
    rules.limits.stalled = Duration::from_millis(100);
    rules.limits.closing = Duration::from_millis(100);
    let served = serve(rules, integration).await;
    let mut client = served.open().await;
    // It asks for echoes that it never reads, until the gateway reads no more from it.
    let asks = async {
        while client
            .send(Sent::Text(vec![vec![b'x'; 32768]]))
            .await
            .is_ok()
        {}
    };
    timeout(DEADLINE, asks)
        .await
        .expect("the reader is cut off");
    assert_eq!(codes.recv().await, Some(serde_json::json!(1013)));
    served.stop().await;
}

#[tokio::test]
async fn slow_and_absent_handshakes_are_cut_off() {
    let mut rules = Rules::default();
    rules.limits.handshake = Duration::from_millis(50);
    let served = serve(rules, echo()).await;
    for head in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        ended.expect("the gateway hangs up").unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_call_whose_body_never_comes_is_cut_off() {
    let mut rules = Rules::default();
    rules.management = Management::Unsigned;
    rules.limits.handshake = Duration::from_millis(50);
    let served = serve(rules, echo()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head =
        "POST /@connections/JC1dgf9yoAMCK-g= HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    ended.expect("the gateway hangs up").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"));
    served.stop().await;
}

#[tokio::test]
async fn rules_that_api_gateway_would_not_take_are_not_served() {
    let gateway = Gateway::new(Rules::default().one_way("$join"), echo());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = gateway.serve(listener, CancellationToken::new());
    let refused = timeout(DEADLINE, served).await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "a route's key cannot be `$join`");
}

#[tokio::test]
async fn connections_over_the_limit_are_refused() {
    let mut rules = Rules::default();
    rules.limits.connections_max = 1;
    let served = serve(rules, echo()).await;
    let client = served.open().await;
    let mut second = dial(served.address).await.unwrap();
    assert_eq!(second.response().await.unwrap().status, 503);
    drop(client);
    let again = timeout(DEADLINE, async {
        loop {
            let mut third = dial(served.address).await.unwrap();
            if third.response().await.unwrap().status == 101 {
                break;
            }
        }
    });
    again.await.expect("the place is free again");
    served.stop().await;
}

/// Runs itself again with few descriptors, so that the limit holds for no other test.
#[test]
fn running_out_of_descriptors_is_survived() {
    const CHILD: &str = "LIFT_GATEWAY_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(exhaust_descriptors());
    }
    let test = "serving::running_out_of_descriptors_is_survived";
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -n 48 && exec "$0" --exact "$1""#])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

async fn exhaust_descriptors() {
    let served = serve(Rules::default(), echo()).await;
    let mut clients = Vec::new();
    // The last ones are connected by the kernel, but the gateway cannot accept them.
    while let Ok(Ok(client)) = timeout(DEADLINE, dial(served.address)).await {
        clients.push(client);
        tokio::task::yield_now().await;
    }
    assert!(clients.len() > 10, "{} clients", clients.len());
    drop(clients);
    let open = timeout(DEADLINE, served.open());
    drop(open.await.expect("the gateway accepts again"));
    served.stop().await;
}
