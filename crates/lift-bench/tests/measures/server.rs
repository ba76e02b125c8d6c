//! What to answer to which text comes in, a WebSocket server that does so and logs its times goes out.
//!
//! It has a thread of its own, so that a generator that is starved does not starve it, too.

use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};
use tokio_util::sync::CancellationToken;

/// One thing that a server does when it heard a text.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    Say(String),
    /// Says it after the answer to the next text of this connection.
    Hold(String),
    Wait(Duration),
    Close(u16),
    /// Ends the TCP connection without a word.
    Break,
}

/// What a connection is answered with: 0 is the one that looks whether there is a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Upgrade {
    Accept,
    Status(u16),
    /// Ends the TCP connection without an answer.
    HangUp,
    /// Neither answers nor ends.
    Ignore,
}

type Script = dyn Fn(usize, &str) -> Vec<Do> + Send + Sync;

pub(crate) struct Rules {
    /// The connection, by its turn, and the text.
    script: Box<Script>,
    upgrade: Box<dyn Fn(usize) -> Upgrade + Send + Sync>,
    /// When after the first text every answer waits, and until when.
    stall: Option<(Duration, Duration)>,
    handshakes: Mutex<Vec<Request>>,
}

impl Rules {
    pub(crate) fn new(script: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(script),
            upgrade: Box::new(|_| Upgrade::Accept),
            stall: None,
            handshakes: Mutex::default(),
        }
    }

    pub(crate) fn echo() -> Self {
        Self::new(|_, text| vec![Do::Say(text.to_owned())])
    }

    /// Echoes, but for what `fault` says of a client's message.
    pub(crate) fn faulty(
        fault: impl Fn(u64, u32) -> Option<Vec<Do>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_, text| {
            let (client, seq) = id_of(text).unwrap();
            fault(client, seq).unwrap_or_else(|| vec![Do::Say(text.to_owned())])
        })
    }

    pub(crate) fn upgrade(
        mut self,
        upgrade: impl Fn(usize) -> Upgrade + Send + Sync + 'static,
    ) -> Self {
        self.upgrade = Box::new(upgrade);
        self
    }

    pub(crate) fn stall(mut self, from: Duration, lasts: Duration) -> Self {
        self.stall = Some((from, from + lasts));
        self
    }
}

/// A text, when it came and when its first answer left.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) text: String,
    pub(crate) came: Instant,
    pub(crate) left: Option<Instant>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    rules: Arc<Rules>,
    log: Arc<Mutex<Vec<Logged>>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(rules: Rules) -> Self {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        bound.set_nonblocking(true).unwrap();
        let address = bound.local_addr().unwrap();
        let (log, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (logged, stopped) = (Arc::clone(&log), stop.clone());
        let rules = Arc::new(rules);
        let followed = Arc::clone(&rules);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let bound = TcpListener::from_std(bound).unwrap();
                tokio::select! {
                    () = accept(bound, followed, &logged) => {}
                    () = stopped.cancelled() => {}
                }
            });
        });
        Self {
            url: format!("ws://{address}/"),
            rules,
            log,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn log(&self) -> Vec<Logged> {
        self.log.lock().unwrap().clone()
    }

    /// What asked for a connection, in turn.
    pub(crate) fn handshakes(&self) -> Vec<Request> {
        self.rules.handshakes.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()),
            "the server failed"
        );
    }
}

async fn accept(bound: TcpListener, rules: Arc<Rules>, log: &Arc<Mutex<Vec<Logged>>>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (tcp, _) = bound.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        connections.spawn(serve(tcp, number, Arc::clone(&rules), Arc::clone(log)));
        while let Some(ended) = connections.try_join_next() {
            ended.unwrap();
        }
    }
}

async fn upgraded(
    tcp: TcpStream,
    number: usize,
    rules: &Rules,
) -> Option<WebSocketStream<TcpStream>> {
    let upgrade = (rules.upgrade)(number);
    if matches!(upgrade, Upgrade::HangUp) {
        return None;
    }
    if matches!(upgrade, Upgrade::Ignore) {
        sleep(Duration::from_secs(60)).await;
    }
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let answer = |request: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
        rules.handshakes.lock().unwrap().push(request.clone());
        if let Upgrade::Status(status) = upgrade {
            let mut refused = ErrorResponse::new(None);
            *refused.status_mut() = status.try_into().unwrap();
            return Err(refused);
        }
        let offered = request.headers().get("Sec-WebSocket-Protocol");
        if offered.is_some_and(|offered| offered == "streamer.v1") {
            let chosen = "streamer.v1".parse().unwrap();
            answer
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", chosen);
        }
        Ok(answer)
    };
    accept_hdr_async(tcp, answer).await.ok()
}

async fn serve(tcp: TcpStream, number: usize, rules: Arc<Rules>, log: Arc<Mutex<Vec<Logged>>>) {
    let Some(mut socket) = upgraded(tcp, number, &rules).await else {
        return;
    };
    let mut held = Vec::new();
    while let Some(Ok(heard)) = socket.next().await {
        let Message::Text(text) = heard else { continue };
        let place = {
            let mut log = log.lock().unwrap();
            log.push(Logged {
                text: text.to_string(),
                came: Instant::now(),
                left: None,
            });
            log.len() - 1
        };
        if let Some((from, until)) = rules.stall {
            let began = log.lock().unwrap()[0].came;
            if began.elapsed() >= from && began.elapsed() < until {
                sleep_until((began + until).into()).await;
            }
        }
        let due = std::mem::take(&mut held);
        for step in (rules.script)(number, &text).into_iter().chain(due) {
            let said = match step {
                Do::Say(text) => {
                    log.lock().unwrap()[place]
                        .left
                        .get_or_insert(Instant::now());
                    socket.send(Message::text(text)).await
                }
                Do::Hold(text) => {
                    held.push(Do::Say(text));
                    Ok(())
                }
                Do::Wait(wait) => {
                    sleep(wait).await;
                    Ok(())
                }
                Do::Close(code) => {
                    let frame = CloseFrame {
                        code: code.into(),
                        reason: "".into(),
                    };
                    socket.send(Message::Close(Some(frame))).await
                }
                Do::Break => return,
            };
            if said.is_err() {
                return;
            }
        }
    }
}

/// The client and the number of a plain message: `… lift:CLIENT.SEQ; …`.
pub(crate) fn id_of(text: &str) -> Option<(u64, u32)> {
    let (_, rest) = text.split_once("lift:")?;
    let (id, _) = rest.split_once(';')?;
    let (client, seq) = id.split_once('.')?;
    Some((client.parse().ok()?, seq.parse().ok()?))
}
