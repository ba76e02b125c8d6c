//! What the machine does to a server: no descriptors, a clock that jumps. It serves on.

use std::time::Duration;

use serde_json::json;

use crate::UNLIMITED;
use crate::raw::Raw;
use crate::support::home::Home;
use crate::support::{orders, within};

#[tokio::test]
async fn a_process_without_descriptors_serves_on_and_says_so_once() {
    let home = Home::new();
    let few = ["sh", "-c", r#"ulimit -n 48; exec "$0" "$@""#];
    let server = home.start_at("127.0.0.1:0", &few, &UNLIMITED).await;
    orders::write(&home.objects("acme").join("in.csv"), 10, 1);
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let mut clients = Vec::new();
    let said = |words: &str| home.logged().matches(words).count();
    let exhausted = async {
        while said("cannot accept connections") == 0 {
            clients.push(Raw::connect(&server.address).await.unwrap());
            let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
            let head = format!("{head}Authorization: Bearer {token}\r\n\r\n");
            let _ = clients.last_mut().unwrap().send(head.as_bytes()).await;
            ada.call("echo", json!(1)).await;
        }
    };
    within("descriptors run out", exhausted).await;
    for _ in 0..200 {
        let echo = tokio::time::timeout(Duration::from_secs(1), ada.call("echo", json!(1)));
        echo.await.expect("who is connected is served");
    }
    drop(clients);
    let calm = async {
        while said("accepting all connections again") == 0 {
            server.connect(&token).await;
        }
    };
    within("the shortage is over", calm).await;
    assert_eq!(said("cannot accept connections"), 1, "{}", home.logged());
    let id = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    assert_eq!(ada.ended(&id).await.message["type"], "complete");
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_either_way_changes_nothing() {
    // Debian's library; Rust's clocks are libc's.
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(
        std::path::Path::new(library).exists(),
        "this test needs libfaketime; install it with `apt-get install -y faketime`"
    );
    let home = Home::new();
    orders::write(&home.objects("acme").join("in.csv"), 100_000, 1);
    let offset = home.path().join("offset");
    let jump = |to: &str| {
        // Renamed into place: the library must not read half of it.
        let new = home.path().join("offset.new");
        std::fs::write(&new, to).unwrap();
        std::fs::rename(&new, &offset).unwrap();
    };
    jump("+0");
    let (preload, file) = (
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
    );
    let under = [
        "env",
        &preload,
        &file,
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ];
    // A deadline is a time of day: one within the jump passes.
    let mut args = UNLIMITED.to_vec();
    args.extend(["--process-checkpoint-every=50ms", "--request-timeout=4h"]);
    let mut server = home.start_at("127.0.0.1:0", &under, &args).await;
    let token = home.token_with("ada", "acme", |token| {
        token.expires_in = Duration::from_secs(4 * 3600)
    });
    let mut ada = server.connect(&token).await;
    let mut idle = server.connect(&token).await;
    for (index, to) in ["+3600s", "-3600s", "+0"].into_iter().enumerate() {
        let output = format!("out-{index}.csv");
        let id = ada
            .submit("process_data", orders::payload("in.csv", &output))
            .await;
        ada.progress(&id).await;
        jump(to);
        let view = ada.call("request.get", json!({"request_id": id})).await;
        assert_eq!(view["state"], "running", "{to}: {view}");
        let end = ada.ended(&id).await.message;
        assert_eq!(end["type"], "complete", "{to}: {end}");
        assert_eq!(ada.call("echo", json!(1)).await, 1, "{to}");
        assert_eq!(
            idle.call("echo", json!(2)).await,
            2,
            "{to}: an idle connection stays"
        );
        orders::check(
            &home.objects("acme").join("in.csv"),
            &home.objects("acme").join(&output),
        );
    }
    // A process that starts an hour before what it wrote.
    let id = ada
        .submit("process_data", orders::payload("in.csv", "last.csv"))
        .await;
    ada.progress(&id).await;
    server.kill().await;
    jump("-3600s");
    let server = home.start_at("127.0.0.1:0", &under, &args).await;
    // `iat` lies ahead of that clock.
    let token = home.token_with("ada", "acme", |token| token.now_ms -= 3_600_000);
    let mut ada = server.connect(&token).await;
    let ended = async {
        loop {
            let view = ada.call("request.get", json!({"request_id": id})).await;
            if view["state"] == "completed" {
                break;
            }
        }
    };
    within("what was accepted ends", ended).await;
}
