//! Connections that break come in, one conversation without a gap comes out.

use std::fs;

use crate::{
    run::{printed, ws},
    server::{complete, progress},
};

#[test]
fn a_request_is_resumed_and_shown_without_a_gap_or_a_repetition() {
    let run = ws(&[], r#"{"id":"a","action":"work"}"#, |server| async move {
        let mut first = server.accept().await;
        let ask = first.hear("work").await;
        first.acknowledge(&ask, "R1").await;
        first.say(&progress("a", "R1", 4, 40)).await;
        drop(first);
        let mut second = server.accept().await;
        let ask = second.hear("request.resume").await;
        assert_eq!(ask["payload"]["requests"][0]["after_seq"], 4, "{ask}");
        second.resumed(&ask, "R1").await;
        second.say(&progress("a", "R1", 4, 40)).await;
        second.say(&progress("a", "R1", 1_000_001, 60)).await;
        second.say(&complete("a", "R1", 1_000_002)).await;
        second.say(&complete("a", "R1", 1_000_002)).await;
        second.hear_end().await;
    });
    let stdout = [
        r#"{"type":"acknowledgment","id":"a","request_id":"R1","status":"queued"}"#,
        &progress("a", "R1", 4, 40),
        &progress("a", "R1", 1_000_001, 60),
        &complete("a", "R1", 1_000_002),
    ];
    let stderr = [
        "connected to ws://127.0.0.1:PORT/",
        "no connection: the connection was lost; trying again in N s",
        "connected again",
        "resumed R1",
    ];
    assert_eq!(run, printed(0, &stdout, &stderr));
}

#[test]
fn an_unanswered_message_is_sent_again_and_plain_text_is_not() {
    let stdin = "{\"id\":\"a\",\"action\":\"echo\"}\nplain\n";
    let args = ["--expect", "response"];
    let run = ws(&args, stdin, |server| async move {
        let mut first = server.accept().await;
        let lost = first.hear("echo").await;
        assert_eq!(first.hear_text().await, "plain");
        drop(first);
        let mut second = server.accept().await;
        let again = second.hear("echo").await;
        assert_eq!(again, lost);
        second.respond(&again, "1").await;
        second.hear_end().await;
    });
    assert_eq!(
        run.stdout,
        "{\"type\":\"response\",\"id\":\"a\",\"data\":1}\n"
    );
    assert_eq!(run.exit, Some(0), "{run:?}");
}

#[test]
fn the_token_file_is_read_before_every_connection() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "t1\n").unwrap();
    let args = [
        "--token-file",
        file.to_str().unwrap(),
        "--send",
        r#"{"id":"a","action":"work"}"#,
    ];
    let run = ws(&args, "", |server| {
        let file = file.clone();
        async move {
            let mut first = server.accept().await;
            assert_eq!(first.authorization, "Bearer t1");
            let ask = first.hear("work").await;
            first.acknowledge(&ask, "R1").await;
            fs::write(&file, "t2").unwrap();
            drop(first);
            let mut second = server.accept().await;
            assert_eq!(second.authorization, "Bearer t2");
            let ask = second.hear("request.resume").await;
            second.resumed(&ask, "R1").await;
            fs::write(&file, "t3").unwrap();
            drop(second);
            // Twice only if the token had changed meanwhile.
            server.refuse("401 Unauthorized").await;
        }
    });
    assert_eq!(run.exit, Some(5), "{run:?}");
    assert!(run.stderr.contains("refused the connection"), "{run:?}");
}
