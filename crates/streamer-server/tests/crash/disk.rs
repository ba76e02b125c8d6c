//! A disk that fails, and one that is full: new requests are refused, earlier ones stay.

use serde_json::{Value, json};

use crate::strace;
use crate::support::connection::Connection;
use crate::support::home::{Home, Server};
use crate::support::orders;
use crate::tmpfs::{Tmpfs, fill};

/// Submits until one is refused; the acknowledged ones and the refusal come out.
async fn submit_until_refused(ada: &mut Connection, at_most: u32) -> (Vec<String>, Value) {
    let mut acknowledged = Vec::new();
    for n in 0..at_most {
        let payload = orders::payload("in.csv", &format!("{n}.csv"));
        let mut answer = ada
            .ask(json!({"action": "process_data", "payload": payload}))
            .await;
        if answer["type"] == "error" {
            return (acknowledged, answer["error"].take());
        }
        assert_eq!(answer["type"], "acknowledgment", "{answer}");
        acknowledged.push(answer["request_id"].as_str().unwrap().to_owned());
    }
    panic!("{at_most} requests, none of them refused");
}

/// What a server with a broken disk must still do, and what the next one must know.
async fn refuses_and_keeps(home: &Home, server: &mut Server, repair: impl FnOnce()) {
    let token = home.token("ada", "acme");
    let mut ada = server.connect(&token).await;
    let (acknowledged, refusal) = submit_until_refused(&mut ada, 2_000).await;
    assert!(
        !acknowledged.is_empty(),
        "some are accepted before the disk breaks: {refusal}"
    );
    let typed = |error: &Value| error["code"] == "OVERLOADED" || error["code"] == "INTERNAL_ERROR";
    assert!(typed(&refusal) && refusal["retryable"] == true, "{refusal}");
    for n in 0..5 {
        let payload = orders::payload("in.csv", &format!("later-{n}.csv"));
        let error = ada.refused("process_data", payload).await;
        assert!(typed(&error), "{error}");
    }
    assert_eq!(
        ada.call("echo", json!(1)).await,
        1,
        "what needs no disk goes on"
    );
    let known = |view: &Value| view["action"] == "process_data";
    for request in &acknowledged {
        let view = ada
            .call("request.get", json!({"request_id": request}))
            .await;
        assert!(known(&view), "{view}");
    }
    server.kill().await;
    repair();
    let server = home.start(&[]).await;
    let mut ada = server.connect(&token).await;
    for request in &acknowledged {
        assert_eq!(
            ada.resume(request, 0).await["recovered"],
            true,
            "{}",
            home.logged()
        );
        let end = ada.ended(request).await.message;
        assert_eq!(end["type"], "complete", "{end}");
    }
    let request = ada
        .submit("process_data", orders::payload("in.csv", "new.csv"))
        .await;
    assert_eq!(ada.ended(&request).await.message["type"], "complete");
}

#[tokio::test]
async fn a_failing_fsync_refuses_new_requests_and_keeps_earlier_ones() {
    let home = Home::new();
    // Counted for each thread, and the store syncs on one.
    let inject = [
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=30+",
    ];
    let log = home.path().join("strace.log");
    let mut server = strace::start(&home, &log, &inject).await;
    orders::write(&home.objects("acme").join("in.csv"), 20, 1);
    refuses_and_keeps(&home, &mut server, || {}).await;
}

#[tokio::test]
async fn a_full_disk_refuses_new_requests_and_keeps_earlier_ones() {
    let home = Home::new();
    let Some(_disk) = Tmpfs::mount(&home.data(), 16) else {
        return;
    };
    let mut server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 20, 1);
    let filler = home.data().join("filler");
    fill(&filler, 256 * 1024);
    refuses_and_keeps(&home, &mut server, || {
        std::fs::remove_file(&filler).unwrap()
    })
    .await;
}
