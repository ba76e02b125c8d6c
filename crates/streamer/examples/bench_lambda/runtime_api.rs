//! In: events. Out: a bootstrap gets them from Lambda's Runtime API, and what it does is told with its moment.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lift::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Result;

/// How long a bootstrap may take for its next step, under a quota as well.
const STEP_DEADLINE: Duration = Duration::from_secs(30);
/// What an invocation has.
const INVOCATION_MS: u64 = 29_000;

/// One bootstrap's Runtime API; dropping it ends it.
pub(crate) struct RuntimeApi {
    /// `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: String,
    seen: mpsc::Receiver<Seen>,
    events: mpsc::Sender<Bytes>,
    _serving: JoinSet<()>,
}

/// What a bootstrap did.
enum Seen {
    /// It asked for an event.
    Next(Instant),
    /// It answered one.
    Answered(Instant, Bytes),
    /// It says that it failed.
    Failed(Bytes),
}

struct Shared {
    seen: mpsc::Sender<Seen>,
    events: Mutex<mpsc::Receiver<Bytes>>,
    count: AtomicU64,
    clock: Clock,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (tell, seen) = mpsc::channel(4);
        let (events, waiting) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            seen: tell,
            events: Mutex::new(waiting),
            count: AtomicU64::new(0),
            clock: Clock::system(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, shared));
        Ok(Self {
            address,
            seen,
            events,
            _serving: serving,
        })
    }

    /// Waits until the bootstrap asks for an event.
    pub(crate) async fn next(&mut self) -> Result<Instant> {
        match self.step().await? {
            Seen::Next(at) => Ok(at),
            Seen::Answered(..) => Err("an answer to no event".into()),
            Seen::Failed(why) => Err(failed(&why)),
        }
    }

    /// Gives it one and waits until it is answered.
    pub(crate) async fn answer(&mut self, event: &Bytes) -> Result<(Instant, Bytes)> {
        self.events.send(event.clone()).await?;
        match self.step().await? {
            Seen::Answered(at, answer) => Ok((at, answer)),
            Seen::Next(_) => Err("no answer to an event".into()),
            Seen::Failed(why) => Err(failed(&why)),
        }
    }

    async fn step(&mut self) -> Result<Seen> {
        let seen = timeout(STEP_DEADLINE, self.seen.recv()).await;
        let seen = seen.map_err(|_late| "the bootstrap does not get on")?;
        seen.ok_or_else(|| "the Runtime API has ended".into())
    }
}

fn failed(why: &[u8]) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the bootstrap failed: {}", String::from_utf8_lossy(why)).into()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        // Without it answers to kept connections wait for acknowledgments.
        _ = socket.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| shared.serve(request));
            // Whoever is at the other end is killed in the end.
            _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let now = Instant::now();
        let path = head.uri.path();
        let answered = match (&head.method, path.rsplit('/').next()) {
            (&Method::GET, Some("next")) if path.starts_with("/2018-06-01/runtime/") => {
                self.tell(Seen::Next(now)).await;
                self.event().await
            }
            (&Method::POST, Some("response")) => {
                self.tell(Seen::Answered(now, body)).await;
                status(StatusCode::ACCEPTED)
            }
            (&Method::POST, Some("error")) => {
                self.tell(Seen::Failed(body)).await;
                status(StatusCode::ACCEPTED)
            }
            (&Method::POST, Some("register")) => {
                let registered = Response::builder().header("lambda-extension-identifier", "1");
                registered.body(Full::default()).unwrap_or_default()
            }
            // What an extension waits for, until it is killed.
            (&Method::GET, Some("next")) => std::future::pending().await,
            _ => status(StatusCode::NOT_FOUND),
        };
        Ok(answered)
    }

    async fn tell(&self, seen: Seen) {
        // Nobody hears what a bootstrap does after its last event.
        _ = self.seen.send(seen).await;
    }

    async fn event(&self) -> Response<Full<Bytes>> {
        let Some(event) = self.events.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let until = self.clock.now().as_millis() + INVOCATION_MS;
        let id = format!("8476a536-e9f4-11e8-9739-{n:012}");
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:bench";
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", id)
            .header("lambda-runtime-deadline-ms", until)
            .header("lambda-runtime-invoked-function-arn", arn)
            .body(Full::from(event))
            .unwrap_or_default()
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
