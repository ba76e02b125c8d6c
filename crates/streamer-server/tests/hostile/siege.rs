//! An attack comes in; the server under it, a good client that must not notice, and the memory
//! before, at the peak and after come out.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::connection::Connection;
use crate::support::home::{Home, Server};
use crate::support::within;

/// Within this a good client hears its echo, whatever others do.
const ECHO: Duration = Duration::from_secs(1);
/// Within this a new good client has connected and heard its echo.
const NEWCOMER: Duration = Duration::from_secs(5);
/// How often the good client may be told that the server has too much to do, and comes back when it was told to: a
/// machine whose processors are others' for a moment makes any server late three times in a row. An attack that does lasts
/// longer.
const OVERLOADED_MAX: u32 = 2;
/// How often the good client asks.
const PACE: Duration = Duration::from_millis(20);

/// What an attack may cost, in MiB of the server's resident memory beyond what it had.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) peak_mib: u64,
}

/// Runs an attack on a server of its own.
pub(crate) async fn under(
    name: &str,
    args: &[&str],
    bound: Memory,
    attack: impl AsyncFnOnce(&Home, &Server),
) {
    let home = Home::new();
    let server = home.start(args).await;
    during(name, &home, &server, bound, attack).await;
}

/// Runs an attack on this server, which stays. The good clients have a thread of their own: what
/// keeps an attacker busy keeps them from nothing.
pub(crate) async fn during(
    name: &str,
    home: &Home,
    server: &Server,
    bound: Memory,
    attack: impl AsyncFnOnce(&Home, &Server),
) {
    let (stop, mut good) = (CancellationToken::new(), JoinSet::new());
    let token = home.token("good", "acme");
    let first = server.connect(&token).await;
    forget_peak(server.pid());
    let before = resident(server.pid(), "VmRSS");
    let (address, stopped) = (server.address.clone(), stop.clone());
    good.spawn(async move { steady(first, stopped).await });
    let stopped = stop.clone();
    good.spawn(async move { newcomers(&address, &token, stopped).await });
    tokio::select! {
        () = attack(home, server) => {}
        Some(Err(failed)) = good.join_next() => std::panic::resume_unwind(failed.into_panic()),
    }
    stop.cancel();
    let slowest = within("the good clients' last echoes", good.join_all()).await;
    let peak = resident(server.pid(), "VmHWM");
    let after = resident(server.pid(), "VmRSS");
    let slowest: Vec<_> = slowest
        .iter()
        .map(|(who, time)| format!("{who} {time:?}"))
        .collect();
    println!(
        "{name}: memory {before} MiB before, {peak} at the peak, {after} after; slowest {}",
        slowest.join(", ")
    );
    assert!(
        peak <= before + bound.peak_mib,
        "{name}: {peak} MiB at the peak, {before} before; {} more are allowed",
        bound.peak_mib
    );
}

/// Asks over one connection, and gives the longest time it took.
async fn steady(mut client: Connection, stop: CancellationToken) -> (&'static str, Duration) {
    let (mut pace, mut slowest) = (interval(PACE), Duration::ZERO);
    let mut overloaded = 0;
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        let asked = Instant::now();
        let message = json!({"action": "echo", "payload": {"n": 1}});
        let echo = timeout(ECHO, client.ask(message)).await;
        let echo = echo.unwrap_or_else(|_| panic!("no echo within {ECHO:?} on an open connection"));
        slowest = slowest.max(asked.elapsed());
        if let Some(after) = told_to_come_back(&echo)
            && overloaded < OVERLOADED_MAX
        {
            overloaded += 1;
            pace.reset_after(after);
            continue;
        }
        assert_eq!(echo["data"], json!({"n": 1}), "{echo}");
    }
    if overloaded > 0 {
        println!("the good client was told {overloaded} times that the server has too much to do");
    }
    ("echo", slowest)
}

fn told_to_come_back(answer: &Value) -> Option<Duration> {
    let error = answer.get("error")?;
    let after = error["retry_after_ms"].as_u64().map(Duration::from_millis);
    after.filter(|_| error["code"] == "OVERLOADED")
}

/// Connects anew each time.
async fn newcomers(
    address: &str,
    token: &str,
    stop: CancellationToken,
) -> (&'static str, Duration) {
    let (mut pace, mut slowest) = (interval(PACE * 5), Duration::ZERO);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        let asked = Instant::now();
        let echo = timeout(NEWCOMER, async {
            let mut client = Connection::open(address, token).await.unwrap();
            let message = json!({"action": "echo", "payload": null});
            let mut echo = client.ask(message.clone()).await;
            if let Some(after) = told_to_come_back(&echo) {
                sleep(after).await;
                echo = client.ask(message).await;
            }
            assert_eq!(echo["type"], "response", "{echo}");
        });
        let echo = echo.await;
        assert!(echo.is_ok(), "no connection and echo within {NEWCOMER:?}");
        slowest = slowest.max(asked.elapsed());
    }
    ("newcomer", slowest)
}

/// Has the kernel count the peak from now on: opening a store takes more than serving.
fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// MiB of a process's memory, as the kernel counts it under this name.
fn resident(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// A number that a variable may raise.
pub(crate) fn count(variable: &str, default: usize) -> usize {
    std::env::var_os(variable).map_or(default, |given| given.to_str().unwrap().parse().unwrap())
}

/// Attackers at once, in groups so that connecting stays orderly.
pub(crate) async fn crowd<T>(
    at_once: usize,
    count: usize,
    make: impl AsyncFn(usize) -> T,
) -> Vec<T> {
    let (mut all, make) = (Vec::with_capacity(count), &make);
    for start in (0..count).step_by(at_once) {
        let group = start..count.min(start + at_once);
        all.extend(join_all(group.map(|index| make(index))).await);
    }
    all
}
