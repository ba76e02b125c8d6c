//! Clients that are not ours: npm `ws` and Python `websockets`, against the real server.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::server::{Data, in_time};

fn foreign() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign")
}

async fn check(program: &Path, script: &str, installed: &Path) {
    assert!(
        installed.exists(),
        "`{}` is missing: `cargo x test` installs it",
        installed.display()
    );
    let data = Data::new();
    data.orders(20_000);
    let server = data.serve().await;
    let mut client = Command::new(program);
    client
        .arg(foreign().join(script))
        .arg(server.url())
        .arg(data.token("ada", "acme"));
    let output = in_time(script, client.output()).await.unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && stdout.trim() == "ok",
        "{stdout}{stderr}"
    );
}

#[tokio::test]
async fn npm_ws_does_the_main_job() {
    check(
        Path::new("node"),
        "ws_client.mjs",
        &foreign().join("node_modules/ws"),
    )
    .await;
}

#[tokio::test]
async fn python_websockets_does_the_main_job() {
    let python = foreign().join(".venv/bin/python");
    check(&python, "websockets_client.py", &python).await;
}
