//! Servers with a protocol of their own come in; texts exactly as they are, and what is waited for, come out.

use crate::{
    run::{block_on, printed, ws},
    server::{Connection, Server},
    signals::Terminal,
};

const CONNECTED: &str = "connected to ws://127.0.0.1:PORT/";

/// Says back each message as it came, with a word before it.
async fn echo(connection: &mut Connection, messages: usize) {
    for _ in 0..messages {
        let text = connection.hear_text().await;
        connection.say(&format!("you said {text}")).await;
    }
}

async fn echoes(server: Server, messages: usize) {
    let mut connection = server.accept_plain().await;
    echo(&mut connection, messages).await;
    connection.hear_end().await;
}

#[test]
fn messages_go_out_and_come_in_as_they_are() {
    let message = r#"{"action":"post","text":"hello", "n":1.00}"#;
    let run = ws(&["--send", message, "--send", "hello"], "", |server| {
        echoes(server, 2)
    });
    let shown = format!("you said {message}");
    assert_eq!(run, printed(0, &[&shown, "you said hello"], &[CONNECTED]));
}

#[test]
fn each_line_of_stdin_is_one_message_however_many() {
    let lines: Vec<_> = (0..2_000).map(|n| format!("line {n}")).collect();
    let run = ws(&["--quiet"], lines.join("\n"), |server| {
        echoes(server, 2_000)
    });
    let shown: Vec<_> = lines
        .iter()
        .map(|line| format!("you said {line}"))
        .collect();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    assert_eq!(run, printed(0, &shown, &[]));
}

#[test]
fn raw_is_as_it_is_though_the_server_speaks_the_protocol() {
    let message = r#"{"action":"echo"}"#;
    let args = ["--raw", "--subprotocol", "streamer.v1", "--send", message];
    let run = ws(&args, "", |server| async move {
        let mut connection = server.accept().await;
        echo(&mut connection, 1).await;
        connection.hear_end().await;
    });
    assert_eq!(
        run,
        printed(0, &[r#"you said {"action":"echo"}"#], &[CONNECTED])
    );
}

#[test]
fn an_expected_text_ends_the_run_as_text_or_as_json() {
    let args = |expected| {
        [
            "--send",
            "hello",
            "--expect",
            expected,
            "--timeout",
            "500ms",
        ]
    };
    let says = |server: Server| async move {
        let mut connection = server.accept_plain().await;
        connection.hear_text().await;
        connection.say("welcome").await;
        connection.say(r#"{"type":"said","text":"hello"}"#).await;
        connection.say("you said hello").await;
        connection.hear_end().await;
    };
    for expected in ["you said hello", r#"{ "text": "hello", "type": "said" }"#] {
        let run = ws(&args(expected), "", says);
        assert_eq!(run.exit, Some(0), "{run:?}");
    }
    for expected in ["hello", r#"{"type":"said"}"#, "you\u{7}"] {
        let run = ws(&args(expected), "", says);
        let shown = expected.replace('\u{7}', "\\u0007");
        let stderr = [
            CONNECTED,
            &format!("error: no message that is `{shown}` came in 500ms"),
            "  cause: the last message was you said hello",
            "  help: check what is expected, or give it more --timeout",
        ];
        assert_eq!(
            (run.exit, run.stderr),
            (Some(3), printed(3, &[], &stderr).stderr)
        );
    }
}

#[test]
fn a_server_need_not_answer() {
    let quiet = ["--send", "a", "--send", "b", "--timeout", "500ms"];
    for (answered, came) in [(0, "nothing came"), (1, "1 came")] {
        let run = ws(&quiet, "", |server| async move {
            let mut connection = server.accept_plain().await;
            echo(&mut connection, answered).await;
            connection.hear_end().await;
        });
        let said =
            format!("2 sent, {came} in 500ms; a server need not answer, `--timeout` waits longer");
        let shown = if answered == 0 {
            &[][..]
        } else {
            &["you said a"]
        };
        assert_eq!(run, printed(0, shown, &[CONNECTED, &said]));
    }
}

#[test]
fn events_hold_json_as_it_came_and_text_as_a_string() {
    let args = [
        "--json", "--quiet", "--send", "1", "--send", "2", "--send", "3",
    ];
    let run = ws(&args, "", |server| async move {
        let mut connection = server.accept_plain().await;
        connection.say("{\"n\":\n1.00}").await;
        connection.say("two\nlines").await;
        connection.say_bytes(b"\0\x01").await;
        connection.hear_end().await;
    });
    let stdout = [
        r#"{"event":"state","state":"connected"}"#,
        r#"{"event":"message","message":{"n": 1.00}}"#,
        r#"{"event":"message","message":"two\nlines"}"#,
        r#"{"event":"end","exit_status":0}"#,
    ];
    assert_eq!(run, printed(0, &stdout, &[]));
}

#[test]
fn a_connection_that_ends_early_is_a_failure_that_says_why() {
    for (code, reason, cause, help) in [
        (
            1000,
            "bye",
            "the server closed with 1000: bye",
            "`lift explain 1000` says what may be behind it",
        ),
        (
            1008,
            "",
            "the server closed with 1008",
            "`lift explain 1008` says what may be behind it",
        ),
        (
            4001,
            "no\u{1b}[2J",
            "the server closed with 4001: no\\u001b[2J",
            "the code is the application's own",
        ),
    ] {
        let run = ws(&["--send", "hello"], "", |server| async move {
            let mut connection = server.accept_plain().await;
            connection.hear_text().await;
            connection.close_saying(code, reason).await;
        });
        let stderr = [
            CONNECTED,
            "error: the connection is closed",
            &format!("  cause: {cause}"),
            &format!("  help: {help}"),
        ];
        assert_eq!(run, printed(1, &[], &stderr));
    }
    let run = ws(&["--send", "hello"], "", |server| async move {
        let mut connection = server.accept_plain().await;
        connection.hear_text().await;
        connection.close_without_code().await;
    });
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(run.stderr.contains("closed without a code"), "{run:?}");
    let run = ws(&["--send", "hello"], "", |server| async move {
        drop(server.accept_plain().await);
    });
    assert_eq!(run.exit, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("cause: the connection was lost"),
        "{run:?}"
    );
}

#[test]
fn what_is_typed_on_a_terminal_is_sent_as_it_is() {
    block_on(async {
        let server = Server::bind().await;
        let mut terminal = Terminal::open(&server.url);
        let mut connection = server.accept_plain().await;
        terminal
            .shows(&["each line is sent as it is, `/quit` leaves", "> "])
            .await;
        for line in ["hello", "echo {\"n\":1}", "/nick ann", "{nonsense"] {
            terminal.keys(&format!("{line}\r")).await;
            assert_eq!(connection.hear_text().await, line);
            connection.say(&format!("\u{1b}[2J{line}\u{9b}")).await;
            let shown = format!("\\u001b[2J{line}\\u009b");
            terminal.shows(&[&format!("> {line}"), &shown]).await;
        }
        terminal.keys("\r/help\r").await;
        terminal.shows(&["any text, sent as it is typed"]).await;
        terminal.keys("typed").await;
        terminal.shows(&["> typed"]).await;
        terminal.keys("\x03").await;
        terminal.shows(&["Ctrl-C again leaves"]).await;
        terminal.keys("/quit\r").await;
        connection.hear_end().await;
        let output = terminal.child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    });
}
