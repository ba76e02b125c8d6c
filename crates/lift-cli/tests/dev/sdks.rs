//! The AWS CLI and boto3 call `@connections` unchanged, by the plain URL and over TLS.

use std::fs;

use serde_json::Value;
use tokio::process::Command;

use crate::running::{Running, root, within};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = { function = "who", two_way = true }

[function.who]
runtime = "python3.12"
handler = "app.handler"
code = "."
"#;

const CODE: &str = "\
import json
def handler(event, context):
    return {'statusCode': 200, 'body': json.dumps(event['requestContext'])}
";

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_the_aws_cli_reach_connections() {
    let home = tempfile::tempdir().unwrap();
    let template = home.path().join("lift.toml");
    fs::write(&template, TEMPLATE).unwrap();
    fs::write(home.path().join("app.py"), CODE).unwrap();
    let running = Running::start(&template, &[]).await;
    let mut client = running.client("").await;
    client.send("who am I").await;
    let context: Value = serde_json::from_str(&client.next().await).unwrap();
    let me = context["connectionId"].as_str().unwrap();
    let url = running.urls[0].replace("ws://", "http://");
    let authority = url.trim_start_matches("http://").trim_end_matches("/dev");
    assert_eq!(context["domainName"], authority);

    let foreign = root().join("tests/foreign");
    let certificate = home.path().join(".lift/ca.pem");
    let mut command = Command::new(foreign.join(".venv/bin/python"));
    command
        .arg(foreign.join("connections.py"))
        .args([&url, certificate.to_str().unwrap(), me])
        .kill_on_drop(true);
    let output = within("the SDKs", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    let each = ["identity 127.0.0.1", "gone", "too large"];
    let cli = [
        "post-to-connection 0",
        "get-connection 0",
        "delete-connection 0",
    ];
    let expected = [each, each, cli].concat();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{failed}");
    for text in ["boto3", "boto3", "cli"] {
        assert_eq!(client.next().await, text);
    }
    assert_eq!(client.closed().await, Some(1000));
}
