//! First figures, each against a floor measured in the same run: nothing comes in, a table goes out.
//!
//! `cargo build --release && cargo run --release -p streamer-server --example bench -- [SECONDS]`
//!
//! Servers are processes of their own, so that their CPU time and memory are theirs alone; one
//! client drives all of them with the same code. The machine should have nothing else to do.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use streamer::auth::{Keys, MintRequest, mint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Connections that each have one message under way.
const TALKING: usize = 16;
/// Connections that only are there.
const IDLE: u32 = 2_000;
/// Connections that each wait for one durable request at a time.
const WAITING: usize = 256;
/// Characters of a message's payload.
const PAYLOAD: usize = 200;
/// What the floor appends: about what one durable step of a request writes.
const APPEND_BYTES: usize = 1024;
/// Clock ticks per second in `/proc/PID/stat`: fixed by Linux's ABI (`USER_HZ`).
const TICKS: f64 = 100.0;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args.first().map(String::as_str) {
        Some("tcp-echo") => runtime.block_on(tcp_echo()),
        Some("gateway-echo") => runtime.block_on(gateway_echo()),
        Some("no-op") => runtime.block_on(no_op(Path::new(args.get(1).ok_or("no directory")?))),
        seconds => {
            let seconds = seconds.map_or(Ok(5), str::parse)?;
            runtime.block_on(figures(Duration::from_secs(seconds)))
        }
    }
}

async fn figures(time: Duration) -> Result<()> {
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
    println!(
        "CPU per message, {TALKING} connections with one message of {PAYLOAD} characters under way each\n"
    );
    println!("| server | messages/s | CPU µs/message | against TCP echo |");
    println!("|---|--:|--:|--:|");
    let bare = TcpEcho::start()?;
    let floor = bare.talk("bare tokio TCP echo", time).await?;
    Server::example(&["gateway-echo"])?
        .talk_frames("gateway, in-process echo", None, time, floor)
        .await?;
    let (streamer, token) = streamer(&dir.path().join("streamer"))?;
    streamer
        .talk_frames("streamer, action `echo`", Some(&token), time, floor)
        .await?;

    println!("\nMemory per idle connection, {IDLE} of them\n");
    println!("| server | KiB/connection | against TCP echo |");
    println!("|---|--:|--:|");
    let bare = TcpEcho::start()?;
    let floor = bare.0.idle("bare tokio TCP echo", None, None).await?;
    let (streamer, token) = self::streamer(&dir.path().join("idle"))?;
    streamer
        .idle("streamer, authenticated", Some(&token), Some(floor))
        .await?;

    println!("\nDurable no-op requests, enqueue to complete, {WAITING} at once\n");
    println!("| requests/s | floor: fdatasync/s | requests / floor | CPU µs/request |");
    println!("|--:|--:|--:|--:|");
    durable(dir.path(), time).await
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
        floor: f64,
    ) -> Result<()> {
        let message = format!(
            r#"{{"id":"1","action":"echo","payload":"{}"}}"#,
            "x".repeat(PAYLOAD)
        );
        let mut talking = JoinSet::new();
        let (started, cpu) = (Instant::now(), self.cpu()?);
        for _ in 0..TALKING {
            let (mut socket, message) = (open(&self.address, token).await?, frame(&message));
            talking.spawn(async move {
                let mut count = 0_u32;
                while started.elapsed() < time {
                    socket.get_mut().write_all(&message).await?;
                    read_frame(&mut socket).await?;
                    count += 1;
                }
                Result::Ok(count)
            });
        }
        let messages = total(talking).await?;
        let cpu = (self.cpu()? - cpu) * 1e6 / messages;
        println!(
            "| {name} | {:.0} | {cpu:.1} | {:.2} |",
            messages / started.elapsed().as_secs_f64(),
            cpu / floor
        );
        Ok(())
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

    async fn talk(&self, name: &str, time: Duration) -> Result<f64> {
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
            "| {name} | {:.0} | {cpu:.1} | 1 |",
            messages / started.elapsed().as_secs_f64()
        );
        Ok(cpu)
    }
}

type Socket = BufReader<TcpStream>;

async fn tcp(address: &str) -> Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// A WebSocket by hand (RFC 6455): the client's own cost stays near that of plain TCP.
async fn open(address: &str, token: Option<&str>) -> Result<Socket> {
    let mut socket = tcp(address).await?;
    let bearer = token
        .map(|token| format!("authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{bearer}\r\n"
    );
    socket.get_mut().write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101") {
        true => Ok(socket),
        false => Err(String::from_utf8_lossy(&answer).into_owned().into()),
    }
}

/// A masked text frame; the mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    [
        &[0x81, 0x80 | 126],
        length.as_slice(),
        &[0; 4],
        text.as_bytes(),
    ]
    .concat()
}

async fn read_frame(socket: &mut Socket) -> Result<Vec<u8>> {
    let _kind = socket.read_u8().await?;
    let length = match socket.read_u8().await? {
        126 => usize::from(socket.read_u16().await?),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await?;
    Ok(payload)
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
        .arg(dir);
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

async fn durable(dir: &Path, time: Duration) -> Result<()> {
    let store = dir.join("durable");
    let before = floor(&dir.join("floor"), time / 2)?;
    let server = Server::example(&["no-op", store.to_str().ok_or("not UTF-8")?])?;
    let message = frame(r#"{"id":"1","action":"no-op","payload":{"input":"orders.csv"}}"#);
    let mut waiting = JoinSet::new();
    let (started, cpu) = (Instant::now(), server.cpu()?);
    for _ in 0..WAITING {
        let (mut socket, message) = (open(&server.address, None).await?, message.clone());
        waiting.spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < time {
                socket.get_mut().write_all(&message).await?;
                while !read_frame(&mut socket)
                    .await?
                    .starts_with(br#"{"type":"complete""#)
                {}
                count += 1;
            }
            Result::Ok(count)
        });
    }
    let requests = total(waiting).await?;
    let cpu = (server.cpu()? - cpu) * 1e6 / requests;
    let rate = requests / started.elapsed().as_secs_f64();
    drop(server);
    let floor = f64::midpoint(before, floor(&dir.join("floor"), time / 2)?);
    println!(
        "| {rate:.0} | {floor:.0} | {:.2} | {cpu:.0} |",
        rate / floor
    );
    Ok(())
}

/// How often a second this disk takes an append and makes it durable.
fn floor(path: &Path, time: Duration) -> Result<f64> {
    let mut file = File::create(path)?;
    let block = [7; APPEND_BYTES];
    let (started, mut appends) = (Instant::now(), 0.0);
    while started.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        appends += 1.0;
    }
    Ok(appends / started.elapsed().as_secs_f64())
}

async fn tcp_echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on tcp://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(async move {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                let Some(read) = bytes.get(..count) else {
                    return;
                };
                if stream.write_all(read).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn gateway_echo() -> Result<()> {
    use lift_gateway::{Answer, Gateway, Integration, Invocation, InvokeError, Rules};
    #[derive(serde::Deserialize)]
    struct Event {
        body: String,
    }
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Proxy {
        status_code: u16,
        body: String,
    }
    let echo = tower::service_fn(async |invocation: Invocation| {
        let failed = |error: serde_json::Error| InvokeError::FunctionError {
            message: error.to_string(),
        };
        let Event { body } = serde_json::from_slice(&invocation.event.json()).map_err(failed)?;
        let answer = serde_json::to_vec(&Proxy {
            status_code: 200,
            body,
        })
        .map_err(failed)?;
        Ok::<_, InvokeError>(Answer::from(answer))
    });
    let gateway = Gateway::new(Rules::default().two_way("$default"), Integration::new(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on ws://{}", listener.local_addr()?);
    Ok(gateway.serve(listener, CancellationToken::new()).await?)
}

async fn no_op(dir: &Path) -> Result<()> {
    let mut limits = lift::limits::Limits::default();
    (limits.running_max, limits.running_per_owner_max) = (WAITING, WAITING);
    let app = lift::app::App::new()
        .limits(limits)
        .task("no-op", async |payload: lift::json::Json| {
            Ok::<_, lift::error::Error>(payload)
        });
    let any = "127.0.0.1:0".parse()?;
    let server =
        lift_server::server::Server::start(app, any, lift_server::server::Options::new(dir))
            .await?;
    println!("listens on {}", server.url());
    server.run(CancellationToken::new()).await;
    Ok(())
}
