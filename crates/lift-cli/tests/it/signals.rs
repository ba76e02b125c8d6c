//! Signals and keys come in, an orderly end comes out.

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use crate::{
    run::{block_on, ended, lift, printed},
    server::{Server, progress},
};

pub(crate) async fn kill(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
}

#[test]
fn a_signal_closes_in_order_and_says_what_goes_on() {
    for (signal, exit, cause) in [("-INT", 130, "Ctrl-C"), ("-TERM", 143, "SIGTERM")] {
        block_on(async {
            let server = Server::bind().await;
            let args = ["ws", &server.url, "--send", r#"{"id":"a","action":"work"}"#];
            let child = lift(&args).spawn().unwrap();
            let mut connection = server.accept().await;
            let ask = connection.hear("work").await;
            connection.acknowledge(&ask, "R1").await;
            // Whoever asks for what follows an acknowledgment has read it.
            drop(connection);
            let mut connection = server.accept().await;
            let ask = connection.hear("request.resume").await;
            connection.resumed(&ask, "R1").await;
            kill(&child, signal).await;
            connection.hear_end().await;
            let run = ended(child).await;
            let last = [
                "error: interrupted",
                &format!("  cause: {cause} came"),
                "  help: these requests go on, `/resume` follows them: R1",
            ];
            let last = printed(exit, &[], &last);
            assert_eq!(run.exit, last.exit);
            assert!(run.stderr.ends_with(&last.stderr), "{}", run.stderr);
        });
    }
}

#[test]
fn a_signal_ends_attempts_to_connect() {
    block_on(async {
        let server = Server::bind().await;
        let mut command = lift(&["ws", &server.url]);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        server.hang_up().await;
        kill(&child, "-INT").await;
        let stderr = [
            "error: interrupted",
            "  cause: Ctrl-C came",
            "  help: no connection was made yet",
        ];
        assert_eq!(ended(child).await, printed(130, &[], &stderr));
    });
}

#[test]
fn a_signal_ends_checks_that_wait() {
    block_on(async {
        let server = Server::bind().await;
        let child = lift(&["smoke", &server.url, "--token", "t"])
            .spawn()
            .unwrap();
        for _unrefused in 0..2 {
            server.accept().await.hear_end().await;
        }
        let mut connection = server.accept().await;
        connection.hear("ping").await;
        kill(&child, "-TERM").await;
        let run = ended(child).await;
        assert_eq!(
            (run.exit, run.stdout.lines().count()),
            (Some(143), 3),
            "{run:?}"
        );
        let stderr = [
            "error: interrupted",
            "  cause: SIGTERM came",
            "  help: the checks after the last line were not made",
        ];
        assert_eq!(run.stderr, printed(143, &[], &stderr).stderr);
    });
}

/// The binary on a terminal of its own, which `script` (bsdutils) makes.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    shown: String,
}

impl Terminal {
    pub(crate) fn open(url: &str) -> Self {
        // Without `exec` some shells stay, take Ctrl-C too and end with 130.
        let line = format!("exec {} ws {url}", env!("CARGO_BIN_EXE_lift"));
        let child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("LIFT_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let shown = String::new();
        Self { child, shown }
    }

    pub(crate) async fn keys(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Waits until all of that was shown since the last time, and forgets it.
    pub(crate) async fn shows(&mut self, parts: &[&str]) {
        while !parts.iter().all(|part| self.shown.contains(part)) {
            let mut read = Vec::new();
            let stdout = self.child.stdout.as_mut().unwrap();
            let length = stdout.read_buf(&mut read).await.unwrap();
            assert_ne!(length, 0, "not all of {parts:?} in {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&read));
        }
        self.shown.clear();
    }
}

#[test]
fn a_person_types_short_forms_on_a_terminal() {
    block_on(async {
        let server = Server::bind().await;
        let mut terminal = Terminal::open(&server.url);
        let mut connection = server.accept().await;
        terminal
            .shows(&["`/help` lists what can be typed", "> "])
            .await;
        terminal.keys("echo {\"n\":1}\r").await;
        let ask = connection.hear("echo").await;
        connection.respond(&ask, "{\"n\":1,\"\u{9b}\":2}").await;
        let reply = r#"{"type":"response","id":"lift-1","data":{"n":1,"\u009b":2}}"#;
        terminal
            .shows(&["> echo {\"n\":1}", reply, "answered in "])
            .await;
        terminal.keys("/nope\r").await;
        terminal.shows(&["error: there is no `/nope`"]).await;
        terminal.keys("/cut\r").await;
        connection.hear_end().await;
        let mut connection = server.accept().await;
        terminal.shows(&["connected again"]).await;
        terminal.keys("wrk\x7f\x7fork\r").await;
        let ask = connection.hear("work").await;
        connection.acknowledge(&ask, "R1").await;
        connection.say(&progress("lift-2", "R1", 1, 50)).await;
        terminal
            .shows(&["acknowledgment", "R1 =====", " 50 %"])
            .await;
        terminal.keys("half a li").await;
        connection.say(&progress("lift-2", "R1", 2, 60)).await;
        terminal.shows(&["> half a li"]).await;
        terminal.keys("\x15/get\r").await;
        let ask = connection.hear("request.get").await;
        assert_eq!(ask["payload"]["request_id"], "R1", "{ask}");
        connection.respond(&ask, "null").await;
        terminal.shows(&["lift-3"]).await;
        terminal.keys("typed").await;
        terminal.shows(&["> typed"]).await;
        terminal.keys("\x03").await;
        terminal.shows(&["Ctrl-C again leaves"]).await;
        terminal.keys("\x04").await;
        terminal
            .shows(&["these requests go on, `/resume` follows them: R1"])
            .await;
        connection.hear_end().await;
        let output = terminal.child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    });
}

#[test]
fn ctrl_c_twice_leaves_a_terminal() {
    block_on(async {
        let server = Server::bind().await;
        let mut terminal = Terminal::open(&server.url);
        let connection = server.accept().await;
        terminal.shows(&["> "]).await;
        terminal.keys("\x03").await;
        terminal.shows(&["Ctrl-C again leaves"]).await;
        terminal.keys("\x03").await;
        terminal.shows(&["error: interrupted"]).await;
        connection.hear_end().await;
        let output = terminal.child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
    });
}
