//! More and more messages at a time, then none. Out: how many processes of the function there are.

use std::fs;
use std::time::Duration;

use crate::running::{Running, project, within};

/// Answers once as many invocations run as its message says.
const CODE: &str = "
import os, time
def handler(event, context):
    wanted = event['body']
    mine = 'here-%s-%s' % (wanted, os.getpid())
    open(mine, 'w').close()
    while sum(name.startswith('here-%s-' % wanted) for name in os.listdir()) < int(wanted):
        time.sleep(0.005)
    return {'statusCode': 200, 'body': str(os.getpid())}
";

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = { function = "meet", two_way = true }
[function.meet]
runtime = "python3.12"
handler = "app.handler"
code = "code"
timeout_s = 60
"#;

/// The processes that a process has started and that run this program.
fn children(parent: u32, program: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        // `ID (NAME) STATE PARENT …`
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        after.split(' ').nth(1) == Some(&parent.to_string()) && line.contains(program)
    })
    .collect()
}

async fn until_children(parent: u32, wanted: usize) {
    let reached = async {
        while children(parent, "python").len() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("{wanted} processes"), reached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_scale_out_to_the_limit_and_in_when_idle() {
    let home = project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)]);
    let template = home.path().join("lift.toml");
    // Five minutes, after which an idle environment is reclaimed, in three seconds.
    let flags = ["--time-scale", "100", "--environments", "5"];
    let mut running = Running::start(&template, &flags).await;
    for wanted in [1, 3, 5] {
        let mut clients = Vec::new();
        for _ in 0..wanted {
            let mut client = running.client("").await;
            client.send(&wanted.to_string()).await;
            clients.push(client);
        }
        let mut answers = Vec::new();
        for client in &mut clients {
            answers.push(client.next().await.parse::<u32>().unwrap());
        }
        answers.sort_unstable();
        answers.dedup();
        assert_eq!(answers.len(), wanted, "each in a process of its own");
        let there = children(running.id(), "python");
        assert!(answers.iter().all(|answer| there.contains(answer)));
    }
    assert_eq!(children(running.id(), "python").len(), 5);

    // One more than the limit finds no capacity; the others are not disturbed.
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = running.client("").await;
        client.send("6").await;
        clients.push(client);
    }
    let throttled = |line: &serde_json::Value| line["outcome"] == "TooManyRequestsException";
    let refused = running.line(throttled).await;
    assert_eq!(
        refused["help"],
        "none of at most 5 environments is free; `--environments` allows more"
    );
    fs::write(home.path().join("code/here-6-0"), "").unwrap();
    let mut refused = 0;
    for client in &mut clients {
        let answer = client.next().await;
        refused += usize::from(answer.contains("Internal server error"));
    }
    assert_eq!(refused, 1);

    until_children(running.id(), 0).await;
    running.stop().await;
}
