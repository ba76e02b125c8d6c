//! Clients that are not ours, npm `ws` and Python `websockets`, walk the main job against the binary.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::support::home::Home;
use crate::support::{orders, within};

/// Every step that a client's script must name on its output, in this order.
const STEPS: [&str; 10] = [
    "unauthorized",
    "connected",
    "echo",
    "ping",
    "wrong",
    "acknowledged",
    "cut",
    "resumed",
    "binary",
    "large",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign")
}

async fn walk(program: &str, script: &str, installed: &str, install: &str) {
    // Not a setting of Streamer's: it counts the test as run where the registries cannot be reached.
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: {script} (SKIP_FOREIGN=1)");
        return;
    }
    let folder = folder();
    assert!(
        folder.join(installed).exists(),
        "{installed} is missing in tests/foreign; {install}"
    );
    let home = Home::new();
    let server = home.start(&["--process-checkpoint-every", "100ms"]).await;
    let objects = home.objects("acme");
    orders::write(&objects.join("orders.csv"), 200_000, 1);
    let payload = orders::payload("orders.csv", "out.csv").to_string();
    let mut command = Command::new(program);
    command
        .current_dir(&folder)
        .args([script, &server.url, &home.token("ada", "acme"), &payload])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within(script, command.output())
        .await
        .expect("the client runs");
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{script}: {said}\n{failed}");
    let steps: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    assert_eq!(steps, STEPS, "{said}\n{failed}");
    orders::check(&objects.join("orders.csv"), &objects.join("out.csv"));
}

#[tokio::test]
async fn npm_ws_walks_the_main_job() {
    let install = "install it with `npm ci --prefix tests/foreign`";
    walk("node", "ws_client.mjs", "node_modules/ws", install).await;
}

#[tokio::test]
async fn python_websockets_walks_the_main_job() {
    let install = "install it with `python3 -m venv tests/foreign/.venv && tests/foreign/.venv/bin/pip install -r tests/foreign/requirements.txt`";
    let python = folder().join(".venv/bin/python");
    walk(
        python.to_str().unwrap(),
        "websockets_client.py",
        ".venv/bin/python",
        install,
    )
    .await;
}
