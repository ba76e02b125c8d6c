//! Real programs are started, killed and asked what they use.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use lift_bench::{
    scenario,
    server::{CommandError, Output, Server, ServerError, run},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

const DEADLINE: Duration = Duration::from_secs(30);

/// Tells each client its process id and what is in its environment. It says more than a pipe holds before it listens.
const SERVER: &str = r#"
import os, socket, sys
host, port = sys.argv[1:3]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, int(port)))
print("chatter " * 20_000, file=sys.stderr)
listener.listen()
while True:
    client, _ = listener.accept()
    client.sendall(f"{os.getpid()} {os.environ['GREETING']}".encode())
    client.close()
"#;

fn described<const N: usize>(command: [&str; N]) -> scenario::Server {
    let text = r"{name: it, behaviours: {one: {}}, phases: [{name: one, duration: 1s}], server: {command: [x]}}";
    let mut server = scenario::Scenario::parse(text).unwrap().server.unwrap();
    server.command = command.map(str::to_owned).to_vec();
    server.environment = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
    server
}

/// A port that nobody listens on. Each test has an address of its own.
fn free(last: u8) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 17, last), 0));
    listener.unwrap().local_addr().unwrap()
}

fn python(at: SocketAddr) -> scenario::Server {
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    described(["python3", "-c", SERVER, &host, &port])
}

fn url(at: SocketAddr) -> String {
    format!("ws://{at}/path?token={{{{ token }}}}")
}

/// The process id of who answers, if anybody does.
async fn who(at: SocketAddr) -> Option<u32> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let mut answer = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    let id = answer.strip_suffix(" hello").expect("the environment");
    Some(id.parse().unwrap())
}

fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
    !fields.is_empty() && !fields.starts_with('Z')
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn number_in(path: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

#[tokio::test]
async fn a_server_is_killed_and_started_again() {
    let at = free(1);
    let mut server = Server::start(&python(at), &url(at), Output::Null)
        .await
        .unwrap();
    let first = who(at).await.expect("it is ready");
    assert_eq!(server.ended(), None);
    server.kill().await;
    assert_eq!(who(at).await, None);
    assert!(!runs(first));
    server.start_again().await.unwrap();
    let second = who(at).await.expect("it is ready");
    assert_ne!(second, first);
    let used = server.stop().await;
    assert_eq!(used.kills, 1);
    assert!(!runs(second));
}

#[tokio::test]
async fn what_a_server_uses_is_kept_when_it_is_killed() {
    let at = free(2);
    let mut server = Server::start(&python(at), &url(at), Output::Null)
        .await
        .unwrap();
    let mut sample = server.sample();
    let began = Instant::now();
    while sample.cpu < Duration::from_millis(50) {
        who(at).await.unwrap();
        sample = server.sample();
        assert!(began.elapsed() < DEADLINE, "{sample:?}");
    }
    assert!(sample.memory_bytes > 1_000_000, "{sample:?}");
    server.kill().await;
    assert_eq!(server.sample().memory_bytes, 0);
    let killed = server.used();
    assert!(killed.cpu_us >= 50_000, "{killed:?}");
    server.start_again().await.unwrap();
    server.sample();
    let used = server.used();
    assert!(used.cpu_us >= killed.cpu_us, "{used:?}");
    assert!(used.memory_max_bytes >= sample.memory_bytes, "{used:?}");
}

#[tokio::test]
async fn all_that_a_server_started_is_killed_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let at = free(3);
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let script = r#"sleep 600 & echo $! > "$0"; python3 -c "$1" "$2" "$3" & wait"#;
    let file = child.to_str().unwrap();
    let command = ["sh", "-c", script, file, SERVER, &host, &port];
    for ending in ["kill", "stop", "drop"] {
        let mut server = Server::start(&described(command), &url(at), Output::Null)
            .await
            .unwrap();
        let ids = [number_in(&child).unwrap(), who(at).await.unwrap()];
        assert!(ids.iter().all(|id| runs(*id)));
        match ending {
            "kill" => server.kill().await,
            "stop" => _ = server.stop().await,
            _ => drop(server),
        }
        until(ending, || !ids.iter().any(|id| runs(*id))).await;
    }
}

#[tokio::test]
async fn a_server_that_ends_at_once_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    std::fs::write(&log, "of an earlier run\n").unwrap();
    let script = "echo out; echo no such flag >&2; exit 3";
    for (output, expected) in [
        (Output::Null, "no such flag"),
        (Output::File(log.clone()), "out\nno such flag"),
    ] {
        let at = free(4);
        let started = Server::start(&described(["sh", "-c", script]), &url(at), output).await;
        match started.unwrap_err() {
            ServerError::Ended { status, said, .. } => {
                assert_eq!(status.code(), Some(3));
                assert_eq!(said, expected);
            }
            other => panic!("{other}"),
        }
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log, "of an earlier run\nout\nno such flag\n");
}

#[tokio::test]
async fn a_server_that_never_listens_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    let at = free(5);
    let script = r#"echo $$ > "$0"; echo thinking >&2; exec sleep 600"#;
    let mut described = described(["sh", "-c", script, file.to_str().unwrap()]);
    described.ready_within = Duration::from_millis(400);
    let began = Instant::now();
    let started = Server::start(&described, &url(at), Output::Null).await;
    let error = started.unwrap_err();
    assert!(began.elapsed() >= described.ready_within);
    assert!(
        matches!(&error, ServerError::Late { said, .. } if said == "thinking"),
        "{error}"
    );
    assert!(!runs(number_in(&file).unwrap()));
}

#[tokio::test]
async fn who_is_at_the_target_already_is_not_taken_for_the_server() {
    let other = tokio::net::TcpListener::bind("127.0.17.6:0").await.unwrap();
    let at = other.local_addr().unwrap();
    let started = Server::start(&python(at), &url(at), Output::Null).await;
    assert!(matches!(started, Err(ServerError::Occupied(_))));
}

#[tokio::test]
async fn a_server_that_cannot_be_run_or_reached_is_told_apart() {
    let at = free(7);
    let missing = described(["/no/such/program"]);
    let started = Server::start(&missing, &url(at), Output::Null).await;
    assert!(matches!(started, Err(ServerError::Spawn { .. })));
    let started = Server::start(&missing, "http://localhost", Output::Null).await;
    assert!(matches!(started, Err(ServerError::Target(_))));
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_noticed() {
    let at = free(8);
    let mut server = Server::start(&python(at), &url(at), Output::Null)
        .await
        .unwrap();
    let id = who(at).await.unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    until("its end", || server.ended().is_some()).await;
    server.kill().await;
    assert_eq!(server.used().kills, 0, "it was dead before");
}

#[tokio::test]
async fn a_server_may_finish_its_work_before_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let at = free(9);
    let mut described = python(at);
    let polite = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))\n";
    described.command[2] = format!("{polite}{SERVER}");
    let server = Server::start(&described, &url(at), Output::File(log.clone())).await;
    server.unwrap().stop().await;
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.ends_with("bye\n"), "{said:?}");
}

#[tokio::test]
async fn a_server_that_does_not_stop_is_killed() {
    let at = free(10);
    let mut described = python(at);
    let deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n";
    described.command[2] = format!("{deaf}{SERVER}");
    let server = Server::start(&described, &url(at), Output::Null)
        .await
        .unwrap();
    let id = who(at).await.unwrap();
    // What it waits for does not come, so that the clock goes on to the deadline.
    tokio::time::pause();
    server.stop().await;
    tokio::time::resume();
    until("its end", || !runs(id)).await;
}

fn command<const N: usize>(command: [&str; N]) -> scenario::Command {
    scenario::Command {
        command: command.map(str::to_owned).to_vec(),
        at: Duration::ZERO,
        every: None,
    }
}

#[tokio::test]
async fn a_command_succeeds_or_says_why_not() {
    run(&command(["true"])).await.unwrap();
    let script = "echo first >&2; echo 'no route' >&2; exit 7";
    match run(&command(["sh", "-c", script])).await.unwrap_err() {
        CommandError::Failed { status, said, .. } => {
            assert_eq!(status.code(), Some(7));
            assert_eq!(said, "no route");
        }
        other => panic!("{other}"),
    }
    let missing = run(&command(["/no/such/program"])).await;
    assert!(matches!(missing, Err(CommandError::Spawn { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_end_is_killed() {
    let late = run(&command(["sh", "-c", "sleep 600 & wait"])).await;
    assert!(matches!(late, Err(CommandError::Late { .. })));
}
