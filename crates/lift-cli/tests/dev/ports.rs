//! A template of several APIs. Out: where they listen, and that events name the right one.

use serde_json::Value;

use crate::running::{Client, Running, project};

const TEMPLATE: &str = r#"
[api.chat]
[api.chat.routes]
"$default" = { function = "where", two_way = true }
[api.feed]
[api.feed.routes]
"$default" = { function = "where", two_way = true }
[function.where]
runtime = "python3.12"
handler = "app.handler"
code = "code"
"#;

const CODE: &str = "
def handler(event, context):
    return {'statusCode': 200, 'body': event['requestContext']['domainName']}
";

fn authority(url: &str) -> &str {
    let rest = url.trim_start_matches("ws://");
    rest.split_once('/')
        .map_or(rest, |(authority, _)| authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_api_has_its_port_and_is_named_by_its_events() {
    let home = project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)]);
    let mut running = Running::start(&home.path().join("lift.toml"), &[]).await;
    let second = running.line(|line| line.get("url").is_some()).await;
    running
        .urls
        .push(second["url"].as_str().unwrap().to_owned());

    let ports: Vec<u16> = running
        .urls
        .iter()
        .map(|url| {
            let (_, port) = authority(url).rsplit_once(':').unwrap();
            port.parse().unwrap()
        })
        .collect();
    assert_eq!(ports[1], ports[0] + 1);
    assert_eq!(second["api"], Value::from("feed"));
    for url in running.urls.clone() {
        let mut client = Client::connect(&url).await.unwrap();
        client.send("where").await;
        assert_eq!(client.next().await, authority(&url));
    }
    assert_eq!(running.stop().await.code(), Some(0));
}
