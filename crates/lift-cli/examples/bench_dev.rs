//! In: seconds a row. Out: round trips through functions in each language behind `lift dev`, and serverless-offline's beside them.
//!
//! `cargo build --release -p lift-cli --bins --example bench_dev`, then `target/release/examples/bench_dev [SECONDS [FLAGS]]`
//! from the repository's root. The functions are those of `examples/`: `npm install` in `examples/node`, a
//! `.venv` with its requirements in `examples/python`. serverless-offline runs where `npm install` was
//! run in `tests/dev-bench`.

#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

type Out = Lines<BufReader<ChildStdout>>;

/// Rules of an account that a closed loop would meet.
const RELAXED: &[&str] = &["connection-rate", "message-rate", "client-rate"];
const AT_ONCE: [usize; 2] = [1, 32];
const PATIENCE: Duration = Duration::from_secs(600);
const SLS_PORT: u16 = 21_101;
/// Starts that are timed; the middle one counts.
const STARTS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let row = Duration::from_secs(seconds);
    let relaxed = RELAXED.iter().flat_map(|quota| ["--relax", quota]);
    let flags: Vec<_> = relaxed.map(str::to_owned).chain(arguments).collect();
    let place = Path::new("tests/dev-bench");
    println!("lift dev {}; {seconds} s a row", flags.join(" "));
    println!(
        "| function | connections | round trips/s | p50 ms | p99 ms | gateway's CPU µs/event |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    let lift = Server::lift(&place.join("template.yaml"), &flags).await?;
    let mut node = Vec::new();
    for (name, url) in lift.names.iter().zip(&lift.urls) {
        for connections in AT_ONCE {
            let measured = measure(url, connections, row, Some(lift.id()?)).await?;
            println!("{}", measured.row(name, connections));
            if name == "Node" {
                node.push(measured);
            }
        }
    }
    lift.end().await?;
    if place.join("node_modules").exists() {
        let sls = Server::serverless_offline(place).await?;
        for (connections, ours) in AT_ONCE.into_iter().zip(&node) {
            let theirs = measure(sls.url()?, connections, row, None).await?;
            println!("{}", theirs.row("Node, serverless-offline", connections));
            println!(
                "ours: {:.1} × serverless-offline's",
                ours.rate() / theirs.rate()
            );
        }
        sls.end().await?;
    } else {
        println!("serverless-offline is not installed: not measured");
    }
    starts(place).await
}

/// From the command to the first connection, with a Rust function that is built already.
async fn starts(place: &Path) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let lift = Server::lift(&place.join("start.yaml"), &[]).await?;
        let _socket = open(lift.url()?).await?;
        took.push(started.elapsed());
        lift.end().await?;
    }
    took.sort();
    println!(
        "start to first connection, Rust: {:?} (middle of {STARTS}: {took:?})",
        took.get(STARTS / 2).ok_or("no start")?
    );
    Ok(())
}

/// Round trips of one row.
struct Measured {
    took: Vec<Duration>,
    within: Duration,
    cpu: Option<Duration>,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.took.len() as f64 / self.within.as_secs_f64()
    }

    fn row(&self, name: &str, connections: usize) -> String {
        let at = |share: usize| {
            let at = self.took.get(self.took.len() * share / 1000);
            at.map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        let cpu = self
            .cpu
            .map(|cpu| cpu.as_secs_f64() * 1e6 / self.took.len() as f64);
        let cpu = cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.0}"));
        let (rate, p50, p99) = (self.rate(), at(500), at(990));
        format!("| {name} | {connections} | {rate:.0} | {p50:.2} | {p99:.2} | {cpu} |")
    }
}

/// Each connection sends when its last answer came; the first second is not counted.
async fn measure(
    url: &str,
    connections: usize,
    row: Duration,
    process: Option<u32>,
) -> Result<Measured> {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        sockets.push(open(url).await?);
    }
    // An environment starts for each message that is under way.
    let warm = Duration::from_secs(if connections > 1 { 30 } else { 2 });
    (sockets, _) = run(sockets, warm).await?;
    let before = process.map(cpu).transpose()?;
    let started = Instant::now();
    let (_sockets, mut took) = run(sockets, row).await?;
    let within = started.elapsed();
    let after = process.map(cpu).transpose()?;
    took.sort();
    let cpu = after.zip(before).map(|(after, before)| after - before);
    if took.is_empty() {
        return Err(format!("{url} answers nothing").into());
    }
    Ok(Measured { took, within, cpu })
}

type Socket = WebSocketStream<TcpStream>;

async fn run(sockets: Vec<Socket>, time: Duration) -> Result<(Vec<Socket>, Vec<Duration>)> {
    let mut trips = JoinSet::new();
    for mut socket in sockets {
        trips.spawn(async move {
            let (started, mut took) = (Instant::now(), Vec::new());
            while started.elapsed() < time {
                let sent = Instant::now();
                let echo = Message::text(r#"{"action":"echo","text":"hello"}"#);
                socket.send(echo.clone()).await?;
                let next = tokio::time::timeout(PATIENCE, socket.next()).await?;
                let answer = next.ok_or("the connection ended")??;
                if answer != echo {
                    return Err(format!("not the echo: {answer}").into());
                }
                took.push(sent.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>((socket, took))
        });
    }
    let (mut sockets, mut took) = (Vec::new(), Vec::new());
    while let Some(done) = trips.join_next().await {
        let (socket, of_one) = done??;
        sockets.push(socket);
        took.extend(of_one);
    }
    Ok((sockets, took))
}

async fn open(url: &str) -> Result<Socket> {
    let authority = url
        .trim_start_matches("ws://")
        .split('/')
        .next()
        .unwrap_or_default();
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    Ok(tokio_tungstenite::client_async(url, stream).await?.0)
}

/// A line of `lift dev --json`.
#[derive(serde::Deserialize)]
struct Endpoint {
    api: String,
    url: String,
}

/// What listens, ended by [`Server::end`] or its drop.
struct Server {
    child: Child,
    urls: Vec<String>,
    names: Vec<String>,
}

impl Server {
    async fn lift(template: &Path, flags: &[String]) -> Result<Self> {
        let beside = std::env::current_exe()?;
        let target = beside.ancestors().nth(2).ok_or("no target directory")?;
        let mut command = Command::new(target.join("lift"));
        command.args([
            "dev",
            "--json",
            "--quiet",
            "--watch",
            "off",
            "--listen",
            "127.0.0.1:0",
            "--template",
        ]);
        command.arg(template);
        command.args(flags);
        let (child, mut lines) = spawn(&mut command)?;
        let mut server = Self {
            child,
            urls: Vec::new(),
            names: Vec::new(),
        };
        let apis = std::fs::read_to_string(template)?
            .matches("::WebSocketApi")
            .count();
        while server.urls.len() < apis {
            let line = next(&mut lines).await?;
            let Endpoint { api, url } = serde_json::from_str(&line)?;
            server.urls.push(url);
            server.names.push(api);
        }
        Ok(server)
    }

    async fn serverless_offline(place: &Path) -> Result<Self> {
        let mut command = Command::new("node_modules/.bin/serverless");
        let port = |of: u16| (SLS_PORT + of).to_string();
        command
            .current_dir(place)
            .env("SLS_TELEMETRY_DISABLED", "1");
        command.args(["offline", "start", "--host", "127.0.0.1"]);
        command.args([
            "--websocketPort",
            &port(0),
            "--httpPort",
            &port(1),
            "--lambdaPort",
            &port(2),
        ]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.kill_on_drop(true).spawn()?;
        let url = format!("ws://127.0.0.1:{SLS_PORT}");
        let started = Instant::now();
        while open(&url).await.is_err() {
            if started.elapsed() > PATIENCE {
                return Err("serverless-offline does not listen".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(Self {
            child,
            urls: vec![url],
            names: Vec::new(),
        })
    }

    fn url(&self) -> Result<&str> {
        Ok(self.urls.first().ok_or("no API")?)
    }

    fn id(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| "the server ended".into())
    }

    async fn end(mut self) -> Result<()> {
        let id = i32::try_from(self.id()?)?;
        let process = rustix::process::Pid::from_raw(id).ok_or("no process")?;
        rustix::process::kill_process(process, rustix::process::Signal::INT)?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }
}

fn spawn(command: &mut Command) -> Result<(Child, Out)> {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    Ok((child, BufReader::new(out).lines()))
}

async fn next(lines: &mut Out) -> Result<String> {
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
    line.ok_or_else(|| "lift dev ended".into())
}

/// User and system time of a process without its children, by `/proc/PID/stat`.
fn cpu(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_name, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = ticks(11).zip(ticks(12)).ok_or("no times in stat")?;
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
}
