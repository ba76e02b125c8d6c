//! Arguments and stdin come in, one run of the binary as a transcript goes out.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    runtime::Builder,
};

use crate::server::Server;

/// Longest time that any test may take.
const TEST_WITHIN: Duration = Duration::from_secs(30);

/// What a run printed and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary, in an environment that holds nothing of ours.
pub(crate) fn lift(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lift"));
    command
        .args(args)
        .env_remove("LIFT_TOKEN")
        .env_remove("STREAMER_DATA_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn ended(child: Child) -> Transcript {
    let output = child.wait_with_output().await.unwrap();
    Transcript {
        exit: output.status.code(),
        stdout: filtered(&output.stdout),
        stderr: filtered(&output.stderr),
    }
}

/// Text with ports and waits made the same in every run.
fn filtered(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for (before, shown) in [
        ("127.0.0.1:", "PORT"),
        ("again in ", "N"),
        ("\"in_ms\":", "N"),
    ] {
        let mut parts = text.split(before);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            out = format!("{out}{before}{shown}{rest}");
        }
        text = out;
    }
    text
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(TEST_WITHIN, test)
            .await
            .expect("it ends in time")
    })
}

/// Runs the binary by itself.
pub(crate) fn alone(args: &[&str], stdin: impl AsRef<[u8]>) -> Transcript {
    with(lift(args), stdin.as_ref())
}

pub(crate) fn with(mut command: Command, stdin: &[u8]) -> Transcript {
    block_on(async {
        let mut child = command.spawn().unwrap();
        // One that does not read stdin may have ended.
        let _ = child.stdin.take().unwrap().write_all(stdin).await;
        ended(child).await
    })
}

/// Runs `lift ws` against the script of a server, to the end of both.
pub(crate) fn ws<S: Future<Output = ()>>(
    args: &[&str],
    stdin: impl AsRef<[u8]>,
    script: impl FnOnce(Server) -> S,
) -> Transcript {
    block_on(async {
        let server = Server::bind().await;
        let mut all = vec!["ws", &server.url];
        all.extend(args);
        let mut child = lift(&all).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let write = async move {
            let _ = input.write_all(stdin.as_ref()).await;
        };
        let (transcript, (), ()) = tokio::join!(ended(child), write, script(server));
        transcript
    })
}

/// A transcript as it should be.
pub(crate) fn printed(exit: i32, stdout: &[&str], stderr: &[&str]) -> Transcript {
    let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect();
    Transcript {
        exit: Some(exit),
        stdout: lines(stdout),
        stderr: lines(stderr),
    }
}
