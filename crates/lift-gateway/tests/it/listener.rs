//! In: HTTP clients that take their time. Out: how long each is put up with, under a paused clock, and who makes room.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use lift_gateway::listener::{self, Accepted, HttpLimits, Visit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Real time that one wait may take.
const DEADLINE: Duration = Duration::from_secs(10);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A body that no pipe of these tests takes at once.
const LARGE: usize = 1024 * 1024;

async fn large(_: Request<Incoming>) -> Response<Full<Bytes>> {
    Response::new(Bytes::from(vec![b'x'; LARGE]).into())
}

async fn never(_: Request<Incoming>) -> Response<Full<Bytes>> {
    std::future::pending().await
}

/// How long a connection with this client lives.
async fn lives<F, Fut, C>(answer: F, client: impl FnOnce(DuplexStream) -> C) -> Duration
where
    F: Fn(Request<Incoming>) -> Fut,
    Fut: Future<Output = Response<Full<Bytes>>>,
    C: Future<Output = Infallible> + Send + 'static,
{
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut clients = JoinSet::new();
    clients.spawn(client(ours));
    let visit = Visit::alone(HttpLimits::default(), CancellationToken::new()).await;
    let begun = Instant::now();
    visit.http(theirs, answer).await;
    begun.elapsed()
}

async fn rest(_stream: DuplexStream) -> Infallible {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn no_client_is_waited_for_longer_than_its_turn() {
    let silent = lives(large, rest).await;
    assert_eq!(silent, Duration::from_secs(10), "no head");
    let slow = lives(large, |mut stream| async move {
        let mut pace = interval(Duration::from_secs(1));
        for byte in GET.iter().cycle() {
            pace.tick().await;
            _ = stream.write_all(&[*byte & 0x5f]).await;
        }
        rest(stream).await
    });
    assert_eq!(slow.await, Duration::from_secs(10), "a byte a second");
    let deaf = lives(large, |mut stream| async move {
        stream.write_all(GET).await.unwrap();
        rest(stream).await
    });
    assert_eq!(
        deaf.await,
        Duration::from_secs(60),
        "nothing of the response is read"
    );
    let tired = lives(large, |mut stream| async move {
        let mut pace = interval(Duration::from_secs(5));
        stream.write_all(GET).await.unwrap();
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await.is_ok() {
            pace.tick().await;
        }
        rest(stream).await
    });
    assert_eq!(
        tired.await,
        Duration::from_secs(60),
        "a KiB every five seconds"
    );
    let idle = lives(large, |mut stream| async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stream.write_all(GET).await.unwrap();
            let mut left = vec![0; LARGE];
            stream.read_exact(&mut left).await.unwrap();
        }
        rest(stream).await
    });
    assert_eq!(
        idle.await,
        Duration::from_secs(25),
        "ten seconds after the last of three"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_found_in_time_is_504() {
    let lived = lives(never, |mut stream| async move {
        stream.write_all(GET).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 504");
        rest(stream).await
    });
    assert_eq!(lived.await, Duration::from_secs(75 + 10));
}

#[tokio::test]
async fn who_is_silent_longest_makes_room() {
    let mut limits = HttpLimits::default();
    (limits.unupgraded_max, limits.unupgraded_patience) = (2, Duration::ZERO);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let stopped = stop.clone();
    tasks.spawn(async move {
        listener::accept(
            listener,
            limits,
            stopped.cancelled(),
            |accepted| async move {
                let Accepted { stream, visit, .. } = accepted;
                visit.http(stream, large).await;
            },
        )
        .await;
    });
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    // Asked and answered: its silence begins anew.
    let mut answered = vec![0; LARGE];
    for stream in [&mut second, &mut first] {
        stream.write_all(GET).await.unwrap();
        stream.read_exact(&mut answered).await.unwrap();
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    let closed = timeout(DEADLINE, second.read_to_end(&mut rest));
    _ = closed.await.expect("the second is closed");
    for stream in [&mut first, &mut third] {
        stream.write_all(GET).await.unwrap();
        stream.read_exact(&mut answered).await.unwrap();
    }
    stop.cancel();
    timeout(DEADLINE, tasks.join_all())
        .await
        .expect("accepting ends");
}
