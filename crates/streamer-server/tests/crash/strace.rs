//! The server under `strace`: arguments come in, a running server and its log of calls go out.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::home::{Home, Server};
use crate::support::within;

/// Starts the server as the traced child of `strace`, so that killing it is killing the server.
pub(crate) async fn start(home: &Home, log: &Path, args: &[&str]) -> Server {
    let found = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    let found = found.is_ok_and(|found| found.success());
    assert!(
        found,
        "this test needs strace; install it with `apt-get install -y strace`"
    );
    let under = ["strace", "-D", "-f", "-y", "-o", log.to_str().unwrap()];
    home.start_at("127.0.0.1:0", &[&under, args].concat(), &[])
        .await
}

/// The whole log, once `strace` has written the end of the process with this id.
pub(crate) async fn log(path: &Path, pid: u32) -> String {
    let written = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let ended = |line: &str| {
                line.starts_with(&pid.to_string())
                    && (line.contains("+++ killed") || line.contains("+++ exited"))
            };
            if text.lines().any(ended) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the end of strace's log", written).await
}
