//! In: what this machine has. Out: an S3 with an empty bucket for tests, or that they are skipped, which is said. Tests of several crates have it by its path.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use lift_aws_client::client::{Client, Roots};
use lift_aws_client::clock::ServerClock;
use lift_aws_client::sigv4::Credentials;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the bucket is called.
pub(crate) const BUCKET: &str = "bucket";
const DEADLINE: Duration = Duration::from_secs(60);

/// moto's S3, which checks no signature; it ends with its owner.
pub(crate) struct S3 {
    _server: Child,
    _log: JoinSet<()>,
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
}

/// A file of `tests/foreign/`.
pub(crate) fn foreign(file: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../tests/foreign").join(file)
}

/// A client with the credentials `AKIDEXAMPLE` and `secret`.
pub(crate) fn aws(region: &str) -> Client {
    let credentials = Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
    };
    Client::new(region, credentials, &Roots::Public, ServerClock::default()).unwrap()
}

/// An S3 of its own, on a port that was free.
pub(crate) async fn start() -> Option<S3> {
    let program = foreign(".venv/bin/moto_server");
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") || !program.exists() {
        println!("skipped: an S3 (moto is not installed, or SKIP_FOREIGN=1)");
        return None;
    }
    let mut server = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listening = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("moto ended");
            if let Some((_, endpoint)) = line.split_once("Running on ") {
                return endpoint.trim().to_owned();
            }
        }
    };
    let endpoint = timeout(DEADLINE, listening).await.unwrap();
    let mut log = JoinSet::new();
    log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let put = Request::put(format!("/{BUCKET}")).body(Bytes::new());
    let s3 = aws("us-east-1").endpoint("s3", &endpoint).unwrap();
    let answer = s3.send(put.unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    Some(S3 {
        _server: server,
        _log: log,
        endpoint,
    })
}
