//! Messages in a pipe or on the command line come in, replies and exit statuses come out.

use lift::{app::App, error::Error, json::Json};
use lift_server::server::{self, Options, Tls};
use tokio_util::sync::CancellationToken;

use crate::{
    run::{block_on, ended, lift, printed, with, ws},
    server::{Connection, Server, acknowledgment, complete, progress},
};

const CONNECTED: &str = "connected to ws://127.0.0.1:PORT/";

/// Answers each message with the response, or the error, that its action names.
async fn answer(connection: &mut Connection, messages: usize) {
    for _ in 0..messages {
        let text = connection.hear_text().await;
        let message: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        match message["action"].as_str() {
            Some("echo") => {
                connection
                    .respond(&message, &message["payload"].to_string())
                    .await
            }
            Some("ping") => {
                connection
                    .say(r#"{"type":"pong","server_time":"now"}"#)
                    .await
            }
            Some(_) => {
                let error =
                    r#"{"code":"UNKNOWN_ACTION","message":"no such action","suggestion":"echo"}"#;
                let id = &message["id"];
                connection
                    .say(&format!(r#"{{"type":"error","id":{id},"error":{error}}}"#))
                    .await;
            }
            None => {
                let error = r#"{"code":"INVALID_JSON","message":"no JSON"}"#;
                connection
                    .say(&format!(r#"{{"type":"error","error":{error}}}"#))
                    .await;
            }
        }
    }
}

async fn answers(server: Server, messages: usize) {
    let mut connection = server.accept().await;
    answer(&mut connection, messages).await;
    connection.hear_end().await;
}

/// Says all the lines when it heard one message.
async fn says(server: Server, lines: &[String]) {
    let mut connection = server.accept().await;
    connection.hear_text().await;
    for line in lines {
        connection.say(line).await;
    }
    connection.hear_end().await;
}

#[test]
fn each_line_is_a_message_and_each_reply_a_line() {
    let stdin = "{\"id\":\"a\",\"action\":\"echo\",\"payload\":1}\r\n{\"action\":\"echo\",\"payload\":2}\n{\"action\":\"ping\"}";
    let run = ws(&[], stdin, |server| answers(server, 3));
    let replies = [
        r#"{"type":"response","id":"a","data":1}"#,
        r#"{"type":"response","id":"lift-1","data":2}"#,
        r#"{"type":"pong","server_time":"now"}"#,
    ];
    assert_eq!(run, printed(0, &replies, &[CONNECTED]));
}

#[test]
fn nothing_to_send_is_no_failure() {
    let run = ws(&["--quiet"], "", |server| answers(server, 0));
    assert_eq!(run, printed(0, &[], &[]));
}

#[test]
fn a_message_keeps_what_was_said_about_it() {
    let message = r#"{"id":"a","action":"work","payload":{"n":1.00},"metadata":{"k":"v"},"idempotency_key":"key","timeout_ms":5000}"#;
    let run = ws(&["--send", message], "not read", |server| async move {
        let mut connection = server.accept().await;
        assert_eq!(connection.hear_text().await, message);
        connection
            .say(r#"{"type":"response","id":"a","data":null}"#)
            .await;
        connection.hear_end().await;
    });
    assert_eq!(run.exit, Some(0), "{run:?}");
}

#[test]
fn a_refused_message_is_shown_and_fails() {
    let run = ws(&[], r#"{"id":"a","action":"eco"}"#, |server| {
        answers(server, 1)
    });
    let reply = r#"{"type":"error","id":"a","error":{"code":"UNKNOWN_ACTION","message":"no such action","suggestion":"echo"}}"#;
    let stderr = [
        CONNECTED,
        "error: the server refused a message",
        "  cause: UNKNOWN_ACTION: no such action",
        "  help: did you mean `echo`?",
    ];
    assert_eq!(run, printed(1, &[reply], &stderr));
}

#[test]
fn what_a_refusal_rules_out_is_not_waited_for() {
    let args = [
        "--send",
        r#"{"id":"a","action":"eco"}"#,
        "--expect",
        "complete",
    ];
    let run = ws(&args, "", |server| answers(server, 1));
    let refused = "error: the server refused a message\n  cause: UNKNOWN_ACTION";
    assert_eq!(run.exit, Some(1));
    assert!(run.stderr.contains(refused), "{}", run.stderr);
}

#[test]
fn text_that_is_no_message_is_sent_as_it_is() {
    let run = ws(
        &[],
        "{nonsense\n\n{\"id\":\"a\",\"action\":\"echo\"}\n",
        |server| answers(server, 3),
    );
    let refused = r#"{"type":"error","error":{"code":"INVALID_JSON","message":"no JSON"}}"#;
    let reply = r#"{"type":"response","id":"a","data":null}"#;
    assert_eq!(
        run.stdout,
        printed(0, &[refused, refused, reply], &[]).stdout
    );
    assert_eq!(run.exit, Some(1), "{run:?}");
}

#[test]
fn a_line_that_fits_no_message_is_not_sent() {
    let mut stdin = b"{\"id\":\"a\",\"action\":\"echo\"}\n\xff\n".to_vec();
    stdin.extend([b'x'; 131_073]);
    let run = ws(&[], stdin, |server| answers(server, 1));
    let help = "  help: each line is one message: UTF-8 text of at most 128 KiB";
    let stderr = [
        CONNECTED,
        "error: line 2 was not sent",
        "  cause: it is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0",
        help,
        "error: line 3 was not sent",
        "  cause: it is longer than a message, 131072 bytes",
        help,
    ];
    assert_eq!(
        run,
        printed(1, &[r#"{"type":"response","id":"a","data":null}"#], &stderr)
    );
}

#[test]
fn a_task_is_followed_to_its_end() {
    let lines = [
        acknowledgment("a", "R1"),
        progress("a", "R1", 1, 50),
        complete("a", "R1", 2),
    ];
    let run = ws(&[], r#"{"id":"a","action":"work"}"#, |server| {
        says(server, &lines)
    });
    let shown: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(run, printed(0, &shown, &[CONNECTED]));
}

#[test]
fn a_request_that_fails_or_is_cancelled_fails_the_run() {
    let failed = r#"{"type":"error","id":"a","request_id":"R1","seq":1,"error":{"code":"TASK_FAILED","message":"row 3"}}"#;
    let cancelled = r#"{"type":"cancelled","id":"a","request_id":"R1","seq":1}"#;
    for (last, what, cause, help) in [
        (
            failed,
            "error: request `R1` failed",
            "  cause: TASK_FAILED: row 3",
            "  help: correct the message and send it again",
        ),
        (
            cancelled,
            "error: request `R1` was cancelled",
            "  cause: somebody asked for it",
            "  help: submit it again with a new `idempotency_key` to have it done",
        ),
    ] {
        let lines = [acknowledgment("a", "R1"), last.to_owned()];
        let run = ws(&[], r#"{"id":"a","action":"work"}"#, |server| {
            says(server, &lines)
        });
        assert_eq!(
            run,
            printed(1, &[&lines[0], last], &[CONNECTED, what, cause, help])
        );
    }
}

#[test]
fn messages_of_one_id_go_one_after_the_other() {
    let stdin = "{\"id\":\"a\",\"action\":\"echo\",\"payload\":1}\n{\"id\":\"a\",\"action\":\"echo\",\"payload\":2}\n";
    let run = ws(&[], stdin, |server| answers(server, 2));
    let replies = [
        r#"{"type":"response","id":"a","data":1}"#,
        r#"{"type":"response","id":"a","data":2}"#,
    ];
    assert_eq!(run, printed(0, &replies, &[CONNECTED]));
}

#[test]
fn expectations_are_met_in_their_order() {
    let lines = [
        acknowledgment("lift-1", "R1"),
        progress("lift-1", "R1", 1, 50),
        complete("lift-1", "R1", 2),
    ];
    let args = [
        "--send",
        r#"{"action":"work"}"#,
        "--expect",
        r#"{"percentage":50.0}"#,
        "--expect",
        "complete",
    ];
    let run = ws(&args, "", |server| says(server, &lines));
    let shown: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(run, printed(0, &shown, &[CONNECTED]));
}

#[test]
fn an_expected_refusal_is_no_failure() {
    let args = [
        "--send",
        r#"{"action":"eco"}"#,
        "--expect",
        r#"{"error":{"code":"UNKNOWN_ACTION"}}"#,
    ];
    let run = ws(&args, "", |server| answers(server, 1));
    assert_eq!((run.exit, run.stderr), (Some(0), format!("{CONNECTED}\n")));
}

#[test]
fn what_no_message_contains_cannot_be_expected() {
    let run = ws(&["--expect", "two words"], "", |server| answers(server, 0));
    let stderr = [
        "error: `two words` cannot be expected of this server",
        "  cause: it is neither a JSON object nor the name of a type",
        "  help: it speaks `streamer.v1`: expect a JSON object or a type, or add --raw",
    ];
    assert_eq!(run, printed(2, &[], &stderr));
}

#[test]
fn what_does_not_come_in_time_fails() {
    let help = "  help: check what is expected, or give it more --timeout";
    for (args, stderr) in [
        (
            vec![
                "--send",
                r#"{"id":"a","action":"echo"}"#,
                "--expect",
                "complete",
            ],
            [
                "error: no message that contains `complete` came in 500ms",
                r#"  cause: the last message was {"type":"response","id":"a","data":null}"#,
                help,
            ],
        ),
        (
            vec!["--expect", r#"{"a":1}"#],
            [
                r#"error: no message that contains `{"a":1}` came in 500ms"#,
                "  cause: no message came at all",
                help,
            ],
        ),
        (
            vec!["--send", r#"{"action":"quiet"}"#],
            [
                "error: it was not over in 500ms",
                "  cause: 1 messages have no answer, 0 requests have not ended",
                "  help: give it more --timeout; no request that was acknowledged is left open",
            ],
        ),
    ] {
        let answered = args.iter().any(|arg| arg.contains("echo"));
        let all = [&args[..], &["--timeout", "500ms"]].concat();
        let run = ws(&all, "", |server| async move {
            let mut connection = server.accept().await;
            answer(&mut connection, usize::from(answered)).await;
            connection.hear_end().await;
        });
        let stderr = [&[CONNECTED], &stderr[..]].concat();
        assert_eq!(
            (run.exit, &*run.stderr),
            (Some(3), &*printed(3, &[], &stderr).stderr)
        );
    }
}

#[test]
fn events_for_programs_say_all_that_happens() {
    let args = [
        "--json",
        "--quiet",
        "--send",
        r#"{"id":"a","action":"work"}"#,
    ];
    let run = ws(&args, "", |server| async move {
        let mut first = server.accept().await;
        let ask = first.hear("work").await;
        first.acknowledge(&ask, "R1").await;
        drop(first);
        let mut second = server.accept().await;
        let ask = second.hear("request.resume").await;
        second.resumed(&ask, "R1").await;
        second.say("no\nJSON").await;
        second
            .say(r#"{"type":"cancelled","id":"a","request_id":"R1","seq":1}"#)
            .await;
        second.hear_end().await;
    });
    let stdout = [
        r#"{"event":"state","state":"connected"}"#,
        r#"{"event":"message","message":{"type":"acknowledgment","id":"a","request_id":"R1","status":"queued"}}"#,
        r#"{"event":"state","state":"waiting","in_ms":N,"cause":"the connection was lost"}"#,
        r#"{"event":"state","state":"connecting"}"#,
        r#"{"event":"state","state":"connected"}"#,
        r#"{"event":"resumed","request_id":"R1","recovered":true}"#,
        r#"{"event":"message","message":"no\nJSON"}"#,
        r#"{"event":"message","message":{"type":"cancelled","id":"a","request_id":"R1","seq":1}}"#,
        r#"{"event":"end","exit_status":1,"error":"request `R1` was cancelled"}"#,
    ];
    let stderr = [
        "error: request `R1` was cancelled",
        "  cause: somebody asked for it",
        "  help: submit it again with a new `idempotency_key` to have it done",
    ];
    assert_eq!(run, printed(1, &stdout, &stderr));
}

#[test]
fn the_handshake_carries_what_was_asked_for() {
    for (args, variable, authorization, offered) in [
        (vec![], None, "", "streamer.v1"),
        (
            vec!["--token", "flag"],
            Some("env"),
            "Bearer flag",
            "streamer.v1",
        ),
        (vec![], Some("env\n"), "Bearer env", "streamer.v1"),
        (
            vec!["--subprotocol", "a", "--subprotocol", "b"],
            None,
            "",
            "a, b",
        ),
        (vec!["--raw"], None, "", ""),
        (vec!["--raw", "--subprotocol", "a"], None, "", "a"),
    ] {
        crate::run::block_on(async {
            let server = Server::bind().await;
            let mut command = lift(&[&["ws", &server.url], &args[..]].concat());
            if let Some(variable) = variable {
                command.env("LIFT_TOKEN", variable);
            }
            let child = command.stdin(std::process::Stdio::null()).spawn().unwrap();
            let connection = server.accept().await;
            assert_eq!(
                (&*connection.authorization, &*connection.offered),
                (authorization, offered)
            );
            connection.hear_end().await;
            assert_eq!(crate::run::ended(child).await.exit, Some(0));
        });
    }
}

#[test]
fn a_server_that_is_done_ends_the_run() {
    let left = [
        "error: the connection is closed for good",
        "  cause: the server closed with 1000: done",
        "  help: requests that were acknowledged go on: `/resume` follows one, `/list` shows them",
    ];
    for (answered, exit) in [(true, 0), (false, 1)] {
        let run = ws(
            &["--send", r#"{"id":"a","action":"echo"}"#],
            "",
            |server| async move {
                let mut connection = server.accept().await;
                if answered {
                    answer(&mut connection, 1).await;
                } else {
                    connection.hear("echo").await;
                }
                connection.close(1000).await;
            },
        );
        assert_eq!(run.exit, Some(exit), "{run:?}");
        if !answered {
            assert_eq!(run, printed(1, &[], &[&[CONNECTED], &left[..]].concat()));
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    crate::run::block_on(async {
        let server = Server::bind().await;
        let mut child = lift(&["ws", &server.url, "--send", r#"{"action":"echo"}"#])
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut connection = server.accept().await;
        answer(&mut connection, 1).await;
        connection.hear_end().await;
        let run = ended(child).await;
        assert_eq!(
            (run.exit, &*run.stderr),
            (Some(0), "connected to ws://127.0.0.1:PORT/\n")
        );
    });
}

#[test]
fn connections_that_cannot_be_made_say_why() {
    let refusal = |status: &'static str| {
        ws(&["--token", "a.b.c"], "", move |server| async move {
            server.refuse(status).await
        })
    };
    let refused = "error: `ws://127.0.0.1:PORT/` refused the connection";
    let run = ws(&[], "", async |server: Server| {
        server.refuse("401 Unauthorized").await
    });
    let stderr = [
        refused,
        "  cause: status 401: the server asks who connects, and no token was given",
        "  help: give what its authorizer reads: in the URL, or as `--token-file FILE`, sent as `Authorization: Bearer`; for Streamer `lift token mint --data-dir DIR --sub USER --tenant TENANT > FILE` makes one on the server's machine",
    ];
    assert_eq!(run, printed(5, &[], &stderr));
    for (status, cause, help) in [
        (
            "401 Unauthorized",
            "  cause: the handshake was answered with status 401",
            "  help: check what the authorizer reads, in the URL or the token; for Streamer `lift token inspect --data-dir DIR - < FILE` checks a token, and `lift token mint` makes one, for `--token-file` or LIFT_TOKEN",
        ),
        (
            "403 Forbidden",
            "  cause: the handshake was answered with status 403",
            "  help: the authorizer or the function behind `$connect` said no, or the URL's path names no stage; at Streamer the token is good but not allowed: use one for another tenant",
        ),
        (
            "404 Not Found",
            "  cause: the handshake was answered with status 404",
            "  help: check the path: an API's is its stage, like `/dev`; Streamer's on one machine is `/`",
        ),
        (
            "502 Bad Gateway",
            "  cause: the handshake was answered with status 502",
            "  help: the function behind `$connect` failed: its logs say why (`lift dev` prints them)",
        ),
    ] {
        assert_eq!(refusal(status), printed(5, &[], &[refused, cause, help]));
    }
    let mut command = lift(&["ws", "ws://127.0.0.1:1/", "--timeout", "1ms", "--json"]);
    command.stdin(std::process::Stdio::piped());
    let what = "cannot connect to `ws://127.0.0.1:PORT/`";
    let end = format!(r#"{{"event":"end","exit_status":4,"error":"{what}"}}"#);
    let stderr = [
        &format!("error: {what}"),
        "  cause: Connection refused (os error 111)",
        "  help: check that the server runs and that the URL is the one that it printed",
    ];
    assert_eq!(with(command, b""), printed(4, &[&end], &stderr));
}

#[test]
fn a_token_may_come_from_stdin() {
    let message = r#"{"id":"a","action":"echo","payload":1}"#;
    let args = ["--token-file", "-", "--send", message, "--quiet"];
    let run = ws(&args, "a.b.c\n", async |server: Server| {
        let mut connection = server.accept().await;
        assert_eq!(connection.authorization, "Bearer a.b.c");
        answer(&mut connection, 1).await;
        connection.hear_end().await;
    });
    assert_eq!(
        run,
        printed(0, &[r#"{"type":"response","id":"a","data":1}"#], &[])
    );
    let run = ws(&["--token-file", "-"], "", async |_| {});
    assert_eq!(run.exit, Some(2), "{run:?}");
}

#[test]
fn a_certificate_of_the_servers_own_is_asked_for_and_taken() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (ca, mut options) = (cert.clone(), Options::new(dir.path().join("data")));
    options.tls = Some(Tls { cert, key });
    block_on(async {
        let app = App::new().on("echo", async |payload: Json| Ok::<_, Error>(payload));
        let server = server::Server::start(app, ([127, 0, 0, 1], 0).into(), options);
        let (server, stop) = (server.await.unwrap(), CancellationToken::new());
        let (url, serving) = (server.url(), server.run(stop.clone()));
        let talking = async {
            let send = r#"{"action":"echo","payload":1}"#;
            let args = ["ws", &url, "--quiet", "--timeout", "2s", "--send", send];
            let stranger = ended(lift(&args).spawn().unwrap()).await;
            let help = "  help: if the server's certificate is its own, give it with `--ca FILE`";
            assert_eq!(stranger.exit, Some(4), "{stranger:?}");
            assert!(stranger.stderr.contains(help), "{stranger:?}");
            let args = [&args[..], &["--ca", ca.to_str().unwrap()]].concat();
            let friend = ended(lift(&args).spawn().unwrap()).await;
            assert_eq!(friend.exit, Some(0), "{friend:?}");
            stop.cancel();
        };
        tokio::join!(serving, talking);
    });
}
