//! First figures, each against a floor measured in the same run: nothing comes in, a table goes out.
//!
//! `cargo build --release && cargo run --release -p streamer-server --example bench -- [SECONDS] [PART]`
//!
//! A part is one of `messages`, `latency`, `connections`, `broadcasts`, `memory` and `durable`; all of
//! them without one.
//!
//! Servers are processes of their own, so that their CPU time and memory are theirs alone; one
//! client drives all of them with the same code. The machine should have nothing else to do.
#![expect(clippy::print_stdout, reason = "the table is the output")]

mod requests;
mod servers;
mod wire;

use std::error::Error;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use streamer::auth::{Keys, MintRequest, mint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;

use crate::wire::{frame, open, read_frame, tcp};

/// As in `streamer`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured, in this order.
const PARTS: [&str; 6] = [
    "messages",
    "latency",
    "connections",
    "broadcasts",
    "memory",
    "durable",
];
/// Connections that each have one message under way.
const TALKING: usize = 16;
/// Connections that only are there.
const IDLE: u32 = 10_000;
/// Messages that a connection has under way at a time.
const DEPTHS: [usize; 2] = [1, 16];
/// Connections that hear a broadcast, and how many broadcasts.
const LISTENING: u32 = 8_000;
const BROADCASTS: u32 = 10;
/// Messages per second of the open loop, over so many connections.
const PACE: u32 = 1_000;
const PACED: usize = 100;
/// The rules of `streamer` that a benchmark from one user and one address does without.
const RELAXED: [&str; 7] = [
    "--connection-rate=off",
    "--user-rate=off",
    "--tenant-rate=off",
    "--user-connect-rate=off",
    "--tenant-connect-rate=off",
    "--connections-per-user-max=100000",
    "--connections-per-tenant-max=100000",
];
/// Characters of a message's payload.
const PAYLOAD: usize = 200;
/// Clock ticks per second in `/proc/PID/stat`: fixed by Linux's ABI (`USER_HZ`).
const TICKS: f64 = 100.0;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.first().map(String::as_str) {
        Some("tcp-echo") => runtime.block_on(servers::tcp_echo()),
        Some("ws-echo") => runtime.block_on(servers::ws_echo()),
        Some("fan-out") => runtime.block_on(servers::fan_out()),
        Some("gateway-echo") => runtime.block_on(servers::gateway_echo()),
        Some("gateway-json-echo") => runtime.block_on(servers::gateway_json_echo()),
        Some("app") => {
            runtime.block_on(servers::app(Path::new(args.get(1).ok_or("no directory")?)))
        }
        seconds => {
            let seconds = seconds.map_or(Ok(5), str::parse)?;
            let part = args.get(1).map(String::as_str);
            runtime.block_on(figures(Duration::from_secs(seconds), part))
        }
    }
}

async fn figures(time: Duration, part: Option<&str>) -> Result<()> {
    // Two sockets' ends and a little.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    println!("`streamer` runs with {}", RELAXED.join(" "));
    if let Some(part) = part.filter(|part| !PARTS.contains(part)) {
        return Err(format!("`{part}` is none of {}", PARTS.join(", ")).into());
    }
    for name in PARTS {
        if part.is_some_and(|part| part != name) {
            continue;
        }
        match name {
            "messages" => messages(dir, time).await?,
            "latency" => latency(dir, time).await?,
            "connections" => connections(dir).await?,
            "broadcasts" => broadcasts(dir).await?,
            "memory" => memory(dir).await?,
            _ => requests::requests(dir, time).await?,
        }
    }
    Ok(())
}

async fn messages(dir: &Path, time: Duration) -> Result<()> {
    let bare = TcpEcho::start()?;
    println!(
        "\nEcho of {PAYLOAD} characters, {TALKING} connections; CPU of the server's process\n"
    );
    println!(
        "| server | under way | messages/s | CPU µs/message | messages per CPU second against the WebSocket echo |"
    );
    println!("|---|--:|--:|--:|--:|");
    bare.talk("bare tokio TCP echo", time).await?;
    for depth in DEPTHS {
        let mut floor = None;
        for (name, mode) in [
            ("hand-written WebSocket echo", "ws-echo"),
            ("gateway, in-process echo", "gateway-echo"),
            ("gateway, the same by event JSON", "gateway-json-echo"),
        ] {
            let server = Server::example(&[mode])?;
            let cpu = server.talk_frames(name, None, time, depth, floor).await?;
            floor.get_or_insert(cpu);
        }
        let (streamer, token) = streamer(&dir.join(format!("streamer-{depth}")))?;
        streamer
            .talk_frames("streamer, action `echo`", Some(&token), time, depth, floor)
            .await?;
    }
    Ok(())
}

async fn latency(dir: &Path, time: Duration) -> Result<()> {
    println!(
        "\nLatency of an echo at {PACE} messages/s, open loop, from the intended time; {PACED} connections\n"
    );
    println!("| server | p50 ms | p99 ms | max ms |");
    println!("|---|--:|--:|--:|");
    let server = Server::example(&["ws-echo"])?;
    server
        .paced("hand-written WebSocket echo", None, time * 2)
        .await?;
    drop(server);
    let (streamer, token) = streamer(&dir.join("paced"))?;
    streamer
        .paced("streamer, action `echo`", Some(&token), time * 2)
        .await
}

async fn connections(dir: &Path) -> Result<()> {
    println!("\nConnections: TLS off, token verified, registered\n");
    println!("| connections/s | CPU µs/connection |");
    println!("|--:|--:|");
    let (streamer, token) = streamer(&dir.join("connects"))?;
    streamer.connects(&token).await
}

async fn broadcasts(dir: &Path) -> Result<()> {
    println!(
        "\n{BROADCASTS} broadcasts to a tenant's {LISTENING} connections, one after the other\n"
    );
    println!(
        "| server | deliveries/s | deliveries per CPU second of the server | against the loop by hand | all received after ms |"
    );
    println!("|---|--:|--:|--:|--:|");
    let server = Server::example(&["fan-out"])?;
    let floor = server.broadcast("a loop by hand", None).await?;
    drop(server);
    let dir = dir.join("broadcast");
    let server = Server::example(&["app", dir.to_str().ok_or("not UTF-8")?])?;
    server
        .broadcast("`Outbound::broadcast`", Some(floor))
        .await?;
    Ok(())
}

async fn memory(dir: &Path) -> Result<()> {
    println!("\nMemory per idle connection, {IDLE} of them\n");
    println!("| server | KiB/connection | against TCP echo |");
    println!("|---|--:|--:|");
    let bare = TcpEcho::start()?;
    let floor = bare.0.idle("bare tokio TCP echo", None, None).await?;
    // The first start makes a store, and what that took is given back while others are measured.
    let place = dir.join("idle");
    drop(streamer(&place)?);
    let (streamer, token) = streamer(&place)?;
    streamer
        .idle("streamer, authenticated", Some(&token), Some(floor))
        .await?;
    Ok(())
}

/// A server in its own process; it is killed with this value.
struct Server {
    process: Child,
    address: String,
    _output: std::io::BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut output = std::io::BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line)?;
        let (_, address) = line
            .trim()
            .rsplit_once("://")
            .ok_or("the server did not start")?;
        let address = address.to_owned();
        Ok(Self {
            process,
            address,
            _output: output,
        })
    }

    /// This example again, as one of its servers.
    fn example(args: &[&str]) -> Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).args(args))
    }

    /// User and system time so far.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in parentheses may hold spaces; time in user mode is field 14, in the kernel 15.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no fields")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<std::result::Result<f64, _>>()? / TICKS)
    }

    /// Resident memory, in KiB.
    fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .ok_or("no VmRSS")?
            .parse()?)
    }

    async fn talk_frames(
        &self,
        name: &str,
        token: Option<&str>,
        time: Duration,
        depth: usize,
        floor: Option<f64>,
    ) -> Result<f64> {
        let message = format!(
            r#"{{"id":"1","action":"echo","payload":"{}"}}"#,
            "x".repeat(PAYLOAD)
        );
        let mut talking = JoinSet::new();
        let (started, cpu) = (Instant::now(), self.cpu()?);
        for _ in 0..TALKING {
            let mut socket = open(&self.address, token).await?;
            let messages = frame(&message).repeat(depth);
            talking.spawn(async move {
                let mut count = 0_u32;
                while started.elapsed() < time {
                    socket.get_mut().write_all(&messages).await?;
                    for _ in 0..depth {
                        read_frame(&mut socket).await?;
                        count += 1;
                    }
                }
                Result::Ok(count)
            });
        }
        let messages = total(talking).await?;
        let cpu = (self.cpu()? - cpu) * 1e6 / messages;
        println!(
            "| {name} | {depth} | {:.0} | {cpu:.1} | {:.2} |",
            messages / started.elapsed().as_secs_f64(),
            floor.unwrap_or(cpu) / cpu
        );
        Ok(cpu)
    }

    /// Sends at set times, whether answers come or not.
    async fn paced(&self, name: &str, token: Option<&str>, time: Duration) -> Result<()> {
        let message = format!(
            r#"{{"id":"1","action":"echo","payload":"{}"}}"#,
            "x".repeat(PAYLOAD)
        );
        let each = Duration::from_secs(1) * u32::try_from(PACED)? / PACE;
        let (mut reading, started) = (JoinSet::new(), tokio::time::Instant::now());
        for n in 0..PACED {
            let (mut read, mut write) = open(&self.address, token).await?.into_inner().into_split();
            let first = started
                + Duration::from_millis(500)
                + each * u32::try_from(n)? / u32::try_from(PACED)?;
            let count = u32::try_from(time.as_micros() / each.as_micros())?;
            let message = frame(&message);
            reading.spawn(async move {
                let send = async {
                    for n in 0..count {
                        tokio::time::sleep_until(first + each * n).await;
                        write.write_all(&message).await?;
                    }
                    Result::Ok(())
                };
                let mut latencies = Vec::new();
                let mut socket = BufReader::new(&mut read);
                let hear = async {
                    for n in 0..count {
                        read_frame(&mut socket).await?;
                        latencies.push((first + each * n).elapsed());
                    }
                    Result::Ok(())
                };
                tokio::try_join!(send, hear)?;
                Result::Ok(latencies)
            });
        }
        let mut all = Vec::new();
        while let Some(latencies) = reading.join_next().await {
            all.extend(latencies??);
        }
        all.sort_unstable();
        let at = |percent: usize| {
            all.get((all.len() - 1) * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            ms(at(50)),
            ms(at(99)),
            ms(at(100))
        );
        Ok(())
    }

    /// Opens connections, 16 at a time, and closes them.
    async fn connects(&self, token: &str) -> Result<()> {
        const EACH: u32 = 250;
        let (started, cpu) = (Instant::now(), self.cpu()?);
        let mut connecting = JoinSet::new();
        for _ in 0..TALKING {
            let (address, token) = (self.address.clone(), token.to_owned());
            connecting.spawn(async move {
                for _ in 0..EACH {
                    open(&address, Some(&token)).await?;
                }
                Result::Ok(EACH)
            });
        }
        let connections = total(connecting).await?;
        let rate = connections / started.elapsed().as_secs_f64();
        println!(
            "| {rate:.0} | {:.0} |",
            (self.cpu()? - cpu) * 1e6 / connections
        );
        Ok(())
    }

    /// Has one connection's messages sent to all; deliveries for each second of CPU time.
    async fn broadcast(&self, name: &str, floor: Option<f64>) -> Result<f64> {
        let mut shouter = open(&self.address, None).await?;
        let (heard, mut hearing) = tokio::sync::mpsc::channel::<()>(1_024);
        let mut listening = JoinSet::new();
        for _ in 1..LISTENING {
            let (mut socket, heard) = (open(&self.address, None).await?, heard.clone());
            listening.spawn(async move {
                while read_frame(&mut socket).await.is_ok() {
                    if heard.send(()).await.is_err() {
                        return;
                    }
                }
            });
        }
        let message = frame(r#"{"id":"1","action":"shout"}"#);
        let (started, cpu) = (Instant::now(), self.cpu()?);
        let mut slowest = Duration::ZERO;
        for _ in 0..BROADCASTS {
            let began = Instant::now();
            shouter.get_mut().write_all(&message).await?;
            for _ in 1..LISTENING {
                hearing.recv().await.ok_or("nobody listens")?;
            }
            slowest = slowest.max(began.elapsed());
            // Its own, and the answer.
            for _ in 0..2 {
                read_frame(&mut shouter).await?;
            }
        }
        let deliveries = f64::from(LISTENING * BROADCASTS);
        let each = deliveries / (self.cpu()? - cpu);
        println!(
            "| {name} | {:.0} | {each:.0} | {:.2} | {:.0} |",
            deliveries / started.elapsed().as_secs_f64(),
            each / floor.unwrap_or(each),
            slowest.as_secs_f64() * 1e3
        );
        Ok(each)
    }

    /// Opens many connections and leaves them alone.
    async fn idle(&self, name: &str, token: Option<&str>, floor: Option<f64>) -> Result<f64> {
        let is_socket = floor.is_some();
        let mut sockets = Vec::new();
        // What the first connections of a process make for good is not counted to any.
        let warm = 100;
        let mut before = 0.0;
        for n in 0..IDLE + warm {
            if n == warm {
                before = self.resident()?;
            }
            let socket = match is_socket {
                true => open(&self.address, token).await?,
                false => tcp(&self.address).await?,
            };
            sockets.push(socket);
        }
        let each = (self.resident()? - before) / f64::from(IDLE);
        match floor {
            Some(floor) => println!("| {name} | {each:.1} | {:.1} |", each / floor),
            None => println!("| {name} | {each:.1} | 1 |"),
        }
        drop(sockets);
        Ok(each)
    }
}

async fn total(mut talking: JoinSet<Result<u32>>) -> Result<f64> {
    let mut messages = 0.0;
    while let Some(count) = talking.join_next().await {
        messages += f64::from(count??);
    }
    Ok(messages)
}

/// The floor: bytes that come back as they are.
struct TcpEcho(Server);

impl TcpEcho {
    fn start() -> Result<Self> {
        Server::example(&["tcp-echo"]).map(Self)
    }

    async fn talk(&self, name: &str, time: Duration) -> Result<()> {
        let mut talking = JoinSet::new();
        let (started, cpu) = (Instant::now(), self.0.cpu()?);
        for _ in 0..TALKING {
            let mut socket = tcp(&self.0.address).await?;
            talking.spawn(async move {
                let (message, mut answer, mut count) = ([b'x'; PAYLOAD], [0; PAYLOAD], 0_u32);
                while started.elapsed() < time {
                    socket.get_mut().write_all(&message).await?;
                    socket.read_exact(&mut answer).await?;
                    count += 1;
                }
                Result::Ok(count)
            });
        }
        let messages = total(talking).await?;
        let cpu = (self.0.cpu()? - cpu) * 1e6 / messages;
        println!(
            "| {name} | 1 | {:.0} | {cpu:.1} | |",
            messages / started.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// The binary beside this example, and a token for it.
fn streamer(dir: &Path) -> Result<(Server, String)> {
    let example = std::env::current_exe()?;
    let target = example
        .parent()
        .and_then(Path::parent)
        .ok_or("no target directory")?;
    let binary = target.join("streamer");
    if !binary.exists() {
        return Err("build the binary first: cargo build --release".into());
    }
    let mut command = Command::new(binary);
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "warn",
            "--data-dir",
        ])
        .arg(dir)
        .args(RELAXED);
    let server = Server::start(&mut command)?;
    #[expect(clippy::disallowed_methods, reason = "the server has the real clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let request = MintRequest {
        sub: "ada".to_owned(),
        tenant: Some("acme".to_owned()),
        permissions: None,
        issuer: None,
        audience: None,
        expires_in: Duration::from_secs(3600),
        now_ms: u64::try_from(now.as_millis())?,
    };
    Ok((server, mint(&Keys::open(&dir.join("keys"))?, &request)?))
}
