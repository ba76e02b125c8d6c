//! A provider of keys that is down, slow or asked without need: the server starts, serves and asks
//! rarely.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use streamer::auth::Algorithm;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::forge::Pair;
use crate::siege::crowd;
use crate::support::home::{Home, Server};
use crate::support::{connection::Connection, within};
use crate::tokens::now;

/// How far apart two fetches begin at least.
const APART: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(5);

/// Serves a set of keys, counting.
struct Provider {
    asked: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Provider {
    fn start(listener: TcpListener, pair: &Pair) -> Self {
        let body = json!({"keys": [pair.jwk("k")]}).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (asked, mut task) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let count = Arc::clone(&asked);
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { asked, _task: task }
    }
}

async fn status(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server
        .upgrade("/", &[("authorization", &bearer)])
        .await
        .status
}

async fn accepted_some_time(server: &Server, token: &str) {
    let accepted = async {
        while status(server, token).await != 101 {
            tokio::task::yield_now().await;
        }
    };
    within("a token is accepted", accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_storm_of_unknown_keys_is_one_question_to_the_provider() {
    let (home, pair) = (Home::new(), Pair::new(Algorithm::ES256));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let provider = Provider::start(listener, &pair);
    let server = home.start(&["--jwks-url", &url]).await;
    let token = pair.token(Some("k"), &now(&[]));
    let mut good = within("a connection", Connection::open(&server.address, &token))
        .await
        .unwrap();
    let begun = Instant::now();
    let statuses = crowd(100, 1_000, async |index| {
        let junk = pair.token(Some(&format!("junk-{index}")), &now(&[]));
        status(&server, &junk).await
    });
    let echoes = async {
        loop {
            let echo = tokio::time::timeout(Duration::from_secs(1), good.call("echo", json!(1)));
            assert!(echo.await.is_ok(), "no echo within a second");
        }
    };
    let statuses = tokio::select! {
        statuses = statuses => statuses,
        () = echoes => unreachable!(),
    };
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let (asked, took) = (provider.asked.load(Ordering::SeqCst), begun.elapsed());
    let most = 2 + usize::try_from(took.as_secs() / APART.as_secs()).unwrap();
    assert!(asked <= most, "asked {asked} times in {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_is_down_at_the_start_and_later_stops_nobody() {
    let (home, pair) = (Home::new(), Pair::new(Algorithm::ES256));
    // Bound and not listened on by anyone: refused, and nobody else takes the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let url = format!("http://{address}/jwks.json");
    let server = home.start(&["--jwks-url", &url]).await;
    let token = pair.token(Some("k"), &now(&[]));
    assert_eq!(status(&server, &token).await, 401, "no keys yet");
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
    let provider = Provider::start(socket.listen(16).unwrap(), &pair);
    accepted_some_time(&server, &token).await;
    // And down again: its keys stay in force.
    drop(provider);
    assert_eq!(status(&server, &token).await, 101);
    let junk = pair.token(Some("other"), &now(&[]));
    assert_eq!(status(&server, &junk).await, 401);
    assert_eq!(status(&server, &token).await, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_never_answers_costs_a_handshake_five_seconds_and_no_start() {
    let (home, pair) = (Home::new(), Pair::new(Algorithm::ES256));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", silent.local_addr().unwrap());
    let server = home.start(&["--jwks-url", &url]).await;
    let token = pair.token(Some("k"), &now(&[]));
    let begun = Instant::now();
    let statuses = crowd(50, 50, async |_| status(&server, &token).await).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let took = begun.elapsed();
    assert!(took >= FETCH && took < FETCH * 2, "{took:?}");
    // Its answer comes after all, to the next question.
    let provider = Provider::start(silent, &pair);
    accepted_some_time(&server, &token).await;
    drop(provider);
}
