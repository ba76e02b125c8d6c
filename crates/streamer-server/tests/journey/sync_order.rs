//! `fdatasync` before the acknowledgment, and what happens when it fails: seen from outside by
//! `strace`, since a killed process alone keeps the page cache.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::server::{Data, Server, deduplicate, in_time};

/// No task runs, so that the only writes are those that accept requests.
const IDLE: [&str; 4] = ["--running-max", "0", "--log-level", "error"];

#[tokio::test]
async fn an_acknowledgment_is_written_after_the_fdatasync_that_covers_it() {
    let data = Data::new();
    data.orders(10);
    let trace = data.path().join("trace");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=fdatasync,sendto,sendmsg,write,writev",
        "-o",
    ]);
    command
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_streamer"))
        .arg("--data-dir")
        .arg(data.path());
    command.args(["--listen", "127.0.0.1:0"]).args(IDLE);
    let server = Server::spawn(command).await;
    let mut ada = server.connect(&data.token("ada", "acme")).await;
    const REQUESTS: usize = 20;
    for n in 0..REQUESTS {
        ada.submit(deduplicate(&format!("out-{n}.csv"))).await;
    }
    server.kill().await;

    // Each message is sent after the answer to the one before it, so between two acknowledgments
    // there is room for the sync of exactly one request.
    let (mut synced, mut acknowledged) = (0, 0);
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        if line.contains("fdatasync") && line.trim_end().ends_with("= 0") {
            synced += 1;
        } else if line.contains("acknowledgment") {
            assert!(
                synced > 0,
                "acknowledgment {acknowledged} was written before a sync: {line}"
            );
            (synced, acknowledged) = (0, acknowledged + 1);
        }
    }
    assert_eq!(acknowledged, REQUESTS);
}

#[tokio::test]
async fn when_the_disk_fails_new_requests_are_refused_and_earlier_ones_stay() {
    let data = Data::new();
    data.orders(10);
    let listen = ["--listen", "127.0.0.1:0"];
    let server = data.serve_with(&[&listen[..], &IDLE[..2]].concat()).await;
    let token = data.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let mut earlier = Vec::new();
    for n in 0..3 {
        earlier.push(ada.submit(deduplicate(&format!("out-{n}.csv"))).await);
    }
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:error=EIO",
            "-p",
        ])
        .arg(server.process.id().unwrap().to_string())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("strace: `cargo x test` installs it");
    let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
    let attached = async {
        while !said
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .contains("attached")
        {}
    };
    in_time("attaching", attached).await;
    let mut drain = tokio::task::JoinSet::new();
    drain.spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    for n in 0..2 {
        let answer = ada
            .ask("process_data", deduplicate(&format!("late-{n}.csv")))
            .await;
        assert_eq!(answer["type"], "error", "{answer}");
        assert_eq!(answer["error"]["code"], "OVERLOADED", "{answer}");
    }
    for request in &earlier {
        let view = ada.ask("request.get", json!({"request_id": request})).await;
        assert_eq!(view["data"]["state"], "queued", "{view}");
    }
    assert_eq!(server.get("/readyz", &[]).await.0, 503);
    strace.kill().await.unwrap();
    drain.shutdown().await;
    server.kill().await;

    let server = data.serve().await;
    let mut ada = server.connect(&token).await;
    for request in &earlier {
        assert_eq!(ada.resume(request).await["recovered"], true);
        assert_eq!(ada.ended(request).await["type"], "complete");
    }
}
